"""Where the reports go, and how: aside and renamed, never over what is there, never into what must not change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pm_frames import paths
from pm_frames.bundle import Bundle, RunState
from pm_frames.command import UsageError
from pm_frames.errors import RunLocked, WriteFailed


class Targets(NamedTuple):
    """The files to be written; `page` only if it was asked for."""

    report: Path
    text: Path
    page: Path | None


def report_targets(bundle: Bundle, out: Path | None, page: Path | None) -> Targets:
    """Return where the reports of a run go: into it, or into the directory `out`."""
    where = bundle.path if out is None else out
    return Targets(where / paths.LATENCY_REPORT, where / paths.LATENCY_REPORT_TEXT, page)


def check_targets(bundle: Bundle, targets: Targets, *, force: bool) -> None:
    """Raise `UsageError` or `RunLocked` where a file must not be written; nothing is written here.

    Into a bundle go the two reports alone, and not while its run lives.
    """
    run_dir = bundle.path.resolve()
    for path in targets:
        if path is None:
            continue
        if path.parent.resolve() == run_dir and path.name in paths.UNSEALED:
            if bundle.state() is RunState.RUNNING:
                raise UsageError(
                    "the run is still being captured: give --out DIR", path=bundle.path
                )
        elif path.resolve().is_relative_to(run_dir):
            raise UsageError(
                "no tool adds such a file to a bundle: choose another place", path=path
            )
        if path.exists() and not force:
            raise RunLocked("exists: give --force to overwrite it", path=path)


def write_reports(targets: Targets, texts: Sequence[str | None]) -> None:
    """Write a text into each target, none where it is None; raises `WriteFailed`."""
    for path, text in zip(targets, texts, strict=True):
        if path is not None and text is not None:
            _write(path, text)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink()
        raise WriteFailed(f"cannot write: {error.strerror}", path=path) from error
