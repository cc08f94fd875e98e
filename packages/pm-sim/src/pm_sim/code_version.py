"""Which program computed a result: its version, and the sources that it really ran.

A result is reused only if the same code would compute it, so that an edit of one line is another program.
"""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pm_frames
import pm_sim

DIGITS = 16


@cache
def code_version() -> str:
    """Return the version and a digest of the sources of the simulation and of what it reads with."""
    digest = hashlib.sha256()
    for module in (pm_sim, pm_frames):
        assert module.__file__ is not None
        folder = Path(module.__file__).parent
        for path in sorted(
            folder.rglob("*.py"), key=lambda one: one.relative_to(folder).as_posix()
        ):
            # A checkout may have other line ends.
            data = path.read_bytes().replace(b"\r\n", b"\n")
            name = f"{module.__name__}/{path.relative_to(folder).as_posix()}"
            digest.update(f"{name}|{len(data)}\n".encode() + data)
    return f"{version('pm-sim')}+{digest.hexdigest()[:DIGITS]}"
