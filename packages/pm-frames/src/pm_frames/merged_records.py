"""Which records of a runlog are merged with the frames, and what they are good for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pm_frames.continuity import Basis
from pm_frames.errors import BundleError
from pm_frames.records import CONTINUITY, stamp_of
from pm_frames.runlog import RunlogReader


class MergedRecords:
    """Chooses the continuity records of a runlog and those of some other types; ask it once for each, in order.

    A continuity record is always chosen: where its stamp is impossible or goes back, that is damage, which
    the merge raises. Any other is left out and counted then: `unusable`, `out_of_order` (which is none, for
    only continuity records keep the order).
    """

    def __init__(self, also: Collection[str] = ()) -> None:
        """`also` are the other types."""
        self._also = frozenset(also)
        self._last = 0
        self.unusable = 0
        self.out_of_order = 0

    def __call__(self, record: Mapping[str, Any]) -> bool:
        kind = record.get("record_type")
        if not isinstance(kind, str):
            return False
        stamp = stamp_of(record)
        if kind not in CONTINUITY:
            if kind not in self._also:
                return False
            if stamp is None:
                self.unusable += 1
                return False
            if stamp < self._last:
                self.out_of_order += 1
                return False
        self._last = stamp or 0
        return True


def basis_of(runlog_path: Path) -> Basis:
    """Return what the continuity of a run is judged by: its runlog, if that names subscribed tokens.

    The first record that tells decides: a `run_start` with `boot_id` is of a writer that names them, a
    `subscribe_attempt` does or does not. Lines that cannot be read tell nothing. Where none tells, and
    where there is no runlog, it is the flags of the frames.
    """
    if not runlog_path.is_file():
        return Basis.FLAGS
    with RunlogReader(runlog_path) as runlog:
        while True:
            try:
                for record in runlog:
                    kind = record.get("record_type")
                    if kind == "run_start" and "boot_id" in record:
                        return Basis.RUNLOG
                    if kind == "subscribe_attempt":
                        return Basis.RUNLOG if "token_ids" in record else Basis.FLAGS
                return Basis.FLAGS
            except BundleError:
                pass  # the next line may tell
