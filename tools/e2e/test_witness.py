"""The witness must be able to say no: each kind of lie in a venue's log is found."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import witness

from pm_frames import Frame, encode_frame, read_frames


@pytest.fixture
def captured(venue: Callable, capture: Callable, tmp_path: Path) -> tuple[Path, Path]:
    """A short honest capture and the venue's log of it."""
    sent = tmp_path / "sent"
    served = venue("--seed", "5", "--markets", "4", "--rate", "500", "--sent-log", str(sent))
    assert (
        capture(served, "short", "--ws-shards", "1", "--duration-seconds", "2").wait(timeout=60)
        == 0
    )
    served.stop()
    return tmp_path / "runs" / "short", sent


def rewritten(sent: Path, change: Callable[[list[Frame]], list[Frame]]) -> Path:
    """A copy of the venue's log with the frames of its first connection changed."""
    copy = sent.with_name("changed")
    shutil.copytree(sent, copy)
    [path] = copy.glob("connection_*.frames")

    def encoded(frames: list[Frame]) -> Iterator[bytes]:
        for frame in frames:
            yield encode_frame(
                frame.payload,
                rx_mono_ns=frame.rx_mono_ns,
                rx_wall_ns_utc=frame.rx_wall_ns_utc,
                flags=frame.flags,
            )

    path.write_bytes(b"".join(encoded(change(list(read_frames(path))))))
    return copy


def test_an_honest_log_agrees(captured: tuple[Path, Path]) -> None:
    [verdict] = witness.judge(*captured)
    assert verdict.ok
    assert verdict.captured > 100


def test_a_frame_that_was_sent_and_is_not_there(captured: tuple[Path, Path]) -> None:
    run_dir, sent = captured
    extra = rewritten(
        sent, lambda frames: [*frames[:50], frames[49]._replace(payload=b"lost"), *frames[50:]]
    )
    [verdict] = witness.judge(run_dir, extra)
    assert not verdict.ok
    assert verdict.first_difference == 50


def test_a_changed_byte(captured: tuple[Path, Path]) -> None:
    run_dir, sent = captured

    def flip(frames: list[Frame]) -> list[Frame]:
        payload = bytearray(frames[7].payload)
        payload[3] ^= 1
        return [*frames[:7], frames[7]._replace(payload=bytes(payload)), *frames[8:]]

    [verdict] = witness.judge(run_dir, rewritten(sent, flip))
    assert verdict.first_difference == 7


def test_a_loss_before_the_gap_that_the_bundle_declares(captured: tuple[Path, Path]) -> None:
    run_dir, sent = captured

    def late(frames: list[Frame]) -> list[Frame]:
        early = frames[0]
        return [*frames, frames[-1]._replace(payload=b"lost", rx_wall_ns_utc=early.rx_wall_ns_utc)]

    [verdict] = witness.judge(run_dir, rewritten(sent, late))
    assert verdict.first_difference is None
    assert verdict.missing_outside_gap == 1
    assert not verdict.ok
