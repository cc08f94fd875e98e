"""`fatal.json`: why a run could not go on. The first fatal error wins; later ones change nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pm_capture.durable import write_file
from pm_capture.reasons import FatalReason
from pm_frames import BundleError, paths
from pm_frames.files import Files


class GivenUp(Exception):
    """The run has to end for a reason that is no error of the program."""

    def __init__(self, reason: FatalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fatal:
    """One fatal error, with the exception behind it where there is one."""

    reason: FatalReason
    message: str
    error: BaseException | None = None


def fatal_of(error: BaseException) -> Fatal:
    """Name the reason of an exception that nothing else has dealt with."""
    if isinstance(error, GivenUp):
        return Fatal(error.reason, str(error))
    if isinstance(error, BundleError):
        runlog = error.path is not None and error.path.name == paths.RUNLOG
        reason = FatalReason.RUNLOG_FAILURE if runlog else FatalReason.FRAME_WRITER_ERROR
        return Fatal(reason, str(error), error)
    if isinstance(error, OSError):
        return Fatal(FatalReason.WRITE_FAILED, str(error), error)
    return Fatal(FatalReason.INTERNAL_ASSERT, f"{type(error).__name__}: {error}", error)


def write_fatal(
    run_dir: Path,
    fatal: Fatal,
    *,
    run_id: str,
    stamp: tuple[int, int],
    counts: dict[str, int],
    recent_heartbeats: Sequence[dict[str, int]],
    files: Files | None = None,
) -> None:
    """Write `fatal.json` unless there is one; `stamp` is (monotonic ns, wall ns). Raises OSError."""
    path = run_dir / paths.FATAL
    if path.exists():
        return
    mono, wall = stamp
    document = {
        "fatal_reason": fatal.reason,
        "fatal_message": fatal.message,
        "run_id": run_id,
        "ts_mono_ns": mono,
        "ts_wall_ns_utc": wall,
        **counts,
        "first_error": _described(fatal.error),
        "recent_heartbeats": list(recent_heartbeats),
    }
    write_file(path, json.dumps(document, indent=2).encode("utf-8") + b"\n", files)


def _described(error: BaseException | None) -> dict[str, object] | None:
    if error is None:
        return None
    cause = error if isinstance(error, OSError) else error.__cause__
    path = error.path if isinstance(error, BundleError) else getattr(error, "filename", None)
    return {
        "type": type(error).__name__,
        "message": str(error),
        "errno": cause.errno if isinstance(cause, OSError) else None,
        "path": str(path) if path else None,
        "offset": error.offset if isinstance(error, BundleError) else None,
    }
