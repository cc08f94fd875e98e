"""What is left beside the records, and in which order."""

import json
from pathlib import Path

from pm_capture.fatal import Fatal
from pm_capture.last_frames import BYTES_MAX
from pm_capture.last_words import bytes_for_each, leave
from pm_capture.reasons import FatalReason
from pm_capture.recorder import Recorder
from pm_capture.stamper import Stamper


def call(recorder: Recorder, reason: FatalReason) -> list[str]:
    said: list[str] = []
    leave(
        recorder, [], Fatal(reason, "why"), counts={"frames_total": 1}, recent_heartbeats=[],
        backpressure_ns_p99=0, tail_bytes_max=BYTES_MAX, say=said.append,
    )  # fmt: skip
    return said


def test_the_first_fatal_wins_in_every_file(tmp_path: Path, ticking: Stamper) -> None:
    (tmp_path / "r").mkdir()
    recorder = Recorder(tmp_path / "r", "r", shards=1, stamper=ticking)
    recorder.frames(0, [(1, b"x")], ticking.frames())
    assert call(recorder, FatalReason.LOW_DISK) == []
    names = ("fatal.json", "missing_tokens.json", "last_frames_shard_00.bin")
    before = [(tmp_path / "r" / name).read_bytes() for name in names]
    recorder.frames(0, [(1, b"y")], ticking.frames())
    assert call(recorder, FatalReason.INTERNAL_ASSERT) == []
    assert [(tmp_path / "r" / name).read_bytes() for name in names] == before
    recorder.abandon()


def test_a_file_that_cannot_be_written_does_not_keep_the_next(
    tmp_path: Path, ticking: Stamper
) -> None:
    (tmp_path / "r").mkdir()
    recorder = Recorder(tmp_path / "r", "r", shards=1, stamper=ticking)
    recorder.frames(0, [(1, b"x")], ticking.frames())
    (tmp_path / "r" / ".missing_tokens.json.tmp").touch()
    [words] = call(recorder, FatalReason.LOW_DISK)
    assert words.startswith("missing_tokens.json could not be written")
    assert json.loads((tmp_path / "r" / "fatal.json").read_text())["fatal_reason"] == "LOW_DISK"
    assert (tmp_path / "r" / "last_frames_shard_00.bin").stat().st_size == 37
    recorder.abandon()


def test_all_shards_together_fit_into_the_reserve() -> None:
    assert bytes_for_each(16 << 20, 8) == BYTES_MAX
    assert bytes_for_each(16 << 20, 100) * 100 <= 12 << 20
    assert bytes_for_each(0, 8) == BYTES_MAX
    assert bytes_for_each(0, 1560) * 1560 <= 64 << 20
