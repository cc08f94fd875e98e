"""A file through a bounded buffer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pm_frames.errors import MissingFile
from pm_frames.window import Window


@pytest.mark.parametrize("span", [1, 7, 64, 4096])
def test_any_place_in_any_order(tmp_path: Path, span: int) -> None:
    rng = random.Random(span)
    data = rng.randbytes(1000)
    path = tmp_path / "file"
    path.write_bytes(data)
    with Window(path, span=span) as window:
        assert window.size == 1000
        for _ in range(500):
            offset, length = rng.randrange(1100), rng.randrange(300)
            assert window.at(offset, length) == data[offset : offset + length]
            assert len(window.data) <= max(span, 300)


def test_what_is_appended_later_is_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with Window(path, span=2) as window:
        with path.open("ab") as file:
            file.write(b"67890")
        assert window.at(0, 99) == b"12345"


def test_a_file_that_is_cut_meanwhile_ends_earlier(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234567890")
    with Window(path, span=2) as window:
        assert window.at(0, 2) == b"12"
        with path.open("r+b") as file:
            file.truncate(6)
        assert window.at(4, 4) == b"56"
        assert window.size == 6


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no such file"):
        Window(tmp_path / "none")
