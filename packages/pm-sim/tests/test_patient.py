"""A patient source gives what a pipe gives, and lets go when it is told to."""

import os
from collections.abc import Iterator
from io import FileIO

import pytest

from pm_sim.patient import PatientSource


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    read, write = os.pipe()
    with FileIO(read, "rb") as source, FileIO(write, "wb") as sink:
        yield source, sink


def test_it_gives_every_byte_and_then_none(pipe: tuple[FileIO, FileIO]) -> None:
    source, sink = pipe
    patient = PatientSource(source, lambda: True)
    sink.write(b"abcdef")
    assert patient.read(4) + patient.read(4) == b"abcdef"
    sink.write(b"gh")
    sink.close()
    assert [patient.read(4), patient.read(4), patient.read(4)] == [b"gh", b"", b""]


def test_it_asks_while_nothing_comes_and_gives_up(pipe: tuple[FileIO, FileIO]) -> None:
    source, sink = pipe
    answers = [True, True, False]
    patient = PatientSource(source, lambda: answers.pop(0), tick_s=0.01)
    assert (patient.read(4), answers) == (b"", [])
    sink.close()  # lets the thread go


def test_what_reading_raises_comes_through() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise OSError(5, "gone")

    with pytest.raises(OSError, match="gone"):
        PatientSource(Broken(), lambda: True).read(1)
