"""The files of the cache directory: made aside, named once they are whole, let go when they are too many.

Several programs may share the directory, and each may be killed at any moment. A file is made in a directory
of its own, which its maker holds locked; what nobody holds was left by one that died. A file that is gone
is made again when it is wanted, so whatever two programs do at the same time costs time and nothing else.
Nothing is touched whose name is not one that is given here.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

from pm_frames.lock import RunLock, is_locked

_MAKING: Final = "making-"
_MADE: Final = re.compile(r"[0-9A-Za-z]{64}\.pmck")


def cache_path(directory: Path, digest: str) -> Path:
    """Return the file of a run that was sealed under a digest of 64 letters and digits."""
    path = directory / f"{digest}.pmck"
    assert _MADE.fullmatch(path.name), path.name
    return path


@contextmanager
def made_aside(path: Path) -> Iterator[Path]:
    """Give the place of a file to be made; if it is there at the end, it becomes `path`, at once and whole.

    Raises OSError, or `BundleError` where the lock cannot be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=_MAKING, dir=path.parent))
    try:
        with RunLock(aside):
            yield aside / path.name
            with suppress(FileNotFoundError):
                os.replace(aside / path.name, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def note_use(path: Path) -> None:
    """Make a file the one that was used last."""
    with suppress(OSError):  # somebody else's, or gone: it has been read
        os.utime(path)


def let_go(directory: Path, *, bytes_max: int, keep: Path) -> None:
    """Remove what died programs left, and the files least recently used until the rest is small enough.

    `keep` stays, whatever its size.
    """
    made: list[tuple[int, str, int]] = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.startswith(_MAKING) and entry.is_dir(follow_symlinks=False):
                    if not is_locked(Path(entry.path)):
                        shutil.rmtree(entry.path, ignore_errors=True)
                elif _MADE.fullmatch(entry.name):
                    found = entry.stat(follow_symlinks=False)
                    if S_ISREG(found.st_mode):
                        made.append((found.st_mtime_ns, entry.name, found.st_size))
    excess = sum(size for _, _, size in made) - bytes_max
    for _, name, size in sorted(made):
        if excess <= 0:
            break
        if name != keep.name:
            with suppress(OSError):  # in use where that matters, or gone
                os.unlink(directory / name)
            excess -= size
