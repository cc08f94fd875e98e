"""fatal.json: the first one wins."""

import errno
import json
from pathlib import Path

from pm_capture.fatal import Fatal, GivenUp, fatal_of, write_fatal
from pm_capture.reasons import FatalReason
from pm_frames.errors import WriteFailed


def write(run_dir: Path, fatal: Fatal) -> None:
    write_fatal(
        run_dir, fatal, run_id="r", stamp=(5, 50), counts={"frames_total": 3},
        recent_heartbeats=[{"hb_mono_ns": 4}],
    )  # fmt: skip


def test_reasons_come_from_the_file_that_refused() -> None:
    frames = WriteFailed("no", path=Path("capture/shard_00.frames"))
    runlog = WriteFailed("no", path=Path("runlog.ndjson"))
    assert fatal_of(frames).reason is FatalReason.FRAME_WRITER_ERROR
    assert fatal_of(runlog).reason is FatalReason.RUNLOG_FAILURE
    assert fatal_of(OSError(28, "full")).reason is FatalReason.WRITE_FAILED
    given = fatal_of(GivenUp(FatalReason.LOW_DISK, "full"))
    assert given == Fatal(FatalReason.LOW_DISK, "full")
    odd = fatal_of(KeyError("x"))
    assert (odd.reason, odd.message) == (FatalReason.INTERNAL_ASSERT, "KeyError: 'x'")


def test_it_tells_the_first_error(tmp_path: Path) -> None:
    error = WriteFailed("write failed", path=Path("runlog.ndjson"), offset=7)
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    write(tmp_path, fatal_of(error))
    assert json.loads((tmp_path / "fatal.json").read_text()) == {
        "fatal_reason": "RUNLOG_FAILURE",
        "fatal_message": "runlog.ndjson: offset 7: write failed",
        "run_id": "r",
        "ts_mono_ns": 5,
        "ts_wall_ns_utc": 50,
        "frames_total": 3,
        "first_error": {
            "type": "WriteFailed",
            "message": "runlog.ndjson: offset 7: write failed",
            "errno": errno.ENOSPC,
            "path": "runlog.ndjson",
            "offset": 7,
        },
        "recent_heartbeats": [{"hb_mono_ns": 4}],
    }


def test_a_later_one_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, Fatal(FatalReason.INTERNAL_ASSERT, "first"))
    before = (tmp_path / "fatal.json").read_bytes()
    write(tmp_path, Fatal(FatalReason.RUNLOG_FAILURE, "second"))
    assert (tmp_path / "fatal.json").read_bytes() == before
