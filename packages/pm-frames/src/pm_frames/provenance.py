"""Where a bundle that is not a capture itself came from: `slice.json` (docs/spec/run-bundle.md).

A slice holds a window of a run, and before it a lead-in: frames that arrived earlier and without which the
books at its start would not be known. Readers replay them silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_frames.bundle import read_json
from pm_frames.errors import BundleError, MissingFile
from pm_frames.paths import SLICE

SLICE_VERSION: Final = 1


class EmitWindow(NamedTuple):
    """What counts in a slice: receive stamps from `from_mono_ns` to before `before_mono_ns`.

    `before_mono_ns` None: up to the end of what is there.
    """

    from_mono_ns: int
    before_mono_ns: int | None

    def holds(self, mono_ns: int) -> bool:
        """Return whether a stamp lies in the window."""
        return self.from_mono_ns <= mono_ns and (
            self.before_mono_ns is None or mono_ns < self.before_mono_ns
        )


class Parent(NamedTuple):
    """The bundle that a slice was cut out of; `seal_sha256` is None if it was not sealed."""

    run_id: str
    slice_id: str | None
    state: str
    seal_sha256: str | None


class Provenance(NamedTuple):
    """What `slice.json` says; `ancestors` begins with the capture itself and ends with the parent."""

    slice_id: str
    window: EmitWindow
    ancestors: tuple[Parent, ...]
    document: Mapping[str, Any]  # the whole file

    @property
    def parent(self) -> Parent:
        """The bundle that was read to make this one."""
        return self.ancestors[-1]

    @property
    def origin(self) -> Parent:
        """The capture at the beginning of the chain."""
        return self.ancestors[0]


def read_provenance(run_dir: Path) -> Provenance | None:
    """Return where the bundle in `run_dir` came from, None for one that is no slice.

    Raises `BundleError` with the file and the key where `slice.json` is damaged or of a later version.
    """
    path = run_dir / SLICE
    try:
        document = read_json(path)
    except MissingFile:
        return None
    version = _value(path, document, "slice_version", int)
    if version != SLICE_VERSION:
        raise BundleError(
            "a version of slice.json that this reader does not know",
            path=path,
            expected=SLICE_VERSION,
            found=version,
        )
    ancestors = _value(path, document, "ancestors", list)
    if not ancestors:
        raise BundleError("ancestors: a slice has at least one", path=path, found=ancestors)
    before = document.get("emit_before_mono_ns")
    return Provenance(
        _value(path, document, "slice_id", str),
        EmitWindow(
            _value(path, document, "emit_from_mono_ns", int),
            None if before is None else _value(path, document, "emit_before_mono_ns", int),
        ),
        tuple(_parent(path, ancestor) for ancestor in ancestors),
        document,
    )


def _parent(path: Path, value: object) -> Parent:
    if not isinstance(value, dict):
        raise BundleError("ancestors: expected objects", path=path, found=value)
    run_id, state = (_value(path, value, key, str) for key in ("run_id", "state"))
    texts = [
        None if value.get(key) is None else _value(path, value, key, str)
        for key in ("slice_id", "seal_sha256")
    ]
    return Parent(run_id, texts[0], state, texts[1])


def _value(path: Path, values: Mapping[str, Any], key: str, kind: type) -> Any:
    value = values.get(key)
    sound = isinstance(value, kind) and not isinstance(value, bool)
    if not sound or (isinstance(value, int) and value < 0):
        raise BundleError(
            f"{key} is not as it must be", path=path, expected=kind.__name__, found=value
        )
    return value
