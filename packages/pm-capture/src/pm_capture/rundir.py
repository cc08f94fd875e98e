"""The directory of a run: made once, locked while the run lives, never entered again."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from pm_frames import paths
from pm_frames.errors import RunLocked
from pm_frames.files import Files, OsFiles
from pm_frames.lock import RunLock

NS_PER_S = 1_000_000_000


def new_run_id(wall_ns_utc: int, suffix: int) -> str:
    """Return `YYYYMMDDTHHMMSSZ-xxxxxxxx`; `suffix` is a random number of 32 bits."""
    moment = datetime.fromtimestamp(wall_ns_utc // NS_PER_S, UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{suffix:08x}"


def next_run_id(first: str, number: int) -> str:
    """Return the id of the run that is the `number`th of a capture (from 2) whose first run is `first`."""
    return f"{first}-{number:04d}"


class RunDirectory:
    """A run directory that this process has made and holds the lock of."""

    def __init__(self, data_dir: Path, run_id: str, files: Files | None = None) -> None:
        """Make and lock it.

        Raises ValueError for an id that cannot be a name, `RunLocked` when it exists, OSError when it
        cannot be made.
        """
        self.path = paths.run_dir(data_dir, run_id)
        self._files: Files = OsFiles() if files is None else files
        runs = self.path.parent
        runs.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir()
        except FileExistsError as error:
            raise RunLocked(
                "this run exists already; a run is never continued, choose another --run-id",
                path=self.path,
            ) from error
        for directory in (runs, data_dir):
            self._files.sync_directory(directory)
        self._lock = RunLock(self.path)
        self._lock.acquire()

    def release(self) -> None:
        """Give the lock back: from now on the run is not alive."""
        self._lock.release()

    def discard(self) -> None:
        """Remove a run that never began; one whose runlog has a record stays, whoever asks."""
        self.release()
        runlog = self.path / paths.RUNLOG
        if not runlog.exists() or not runlog.stat().st_size:
            shutil.rmtree(self.path, ignore_errors=True)
