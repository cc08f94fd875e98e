"""When each shard had a connection, and when and why it had none; pure, from runlog records.

This is about connections. How long the book of a token could not be trusted is longer, up to its next
snapshot, and is what `pm-audit ledger` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pm_audit.figures import whole
from pm_frames.records import stamp_of


class Link(StrEnum):
    """What a shard has at a moment."""

    WAITING = "waiting"  # no connection yet, or none that was needed
    CONNECTED = "connected"
    FAULT = "fault"  # lost by a fault, not yet back
    PLANNED = "planned"  # given up by ourselves, not yet back
    ENDED = "ended"  # closed because the run stops


class Band(NamedTuple):
    """A shard was in one state from `start_mono_ns` to before `end_mono_ns`; `why` names the trigger."""

    shard_id: int
    link: Link
    start_mono_ns: int
    end_mono_ns: int
    why: str | None


class _Shard:
    def __init__(self, start: int) -> None:
        self.link, self.since, self.why = Link.WAITING, start, None
        self.bands: list[tuple[Link, int, int, str | None]] = []

    link: Link
    since: int
    why: str | None

    def turn(self, link: Link, at: int, why: str | None = None) -> None:
        mended_before = at < self.since
        at = max(at, self.since)
        # A loss that was mended at once is one still, but not one that was over before the start.
        if at > self.since or (self.link is Link.FAULT and not mended_before):
            self.bands.append((self.link, self.since, at, self.why))
        self.link, self.since, self.why = link, at, why


def connection_bands(
    records: Iterable[Mapping[str, Any]], start_mono_ns: int, end_mono_ns: int
) -> list[Band]:
    """Return the bands of every shard that the records name, by shard and time.

    They cover `start_mono_ns` to `end_mono_ns` without a hole. A loss begins with the last frame
    (`since_mono_ns`), not when it was noticed. A connection on top of an open one is a loss of no length.
    """
    shards: dict[int, _Shard] = {}
    for record in records:
        kind = record.get("record_type")
        if kind not in ("shard_open", "ws_connect", "disconnect"):
            continue
        shard_id, at = whole(record, "shard_id"), stamp_of(record)
        if shard_id is None or at is None:
            continue
        at = min(at, end_mono_ns)
        shard = shards.setdefault(shard_id, _Shard(start_mono_ns))
        if kind == "ws_connect":
            if shard.link is Link.CONNECTED:
                shard.turn(Link.FAULT, at, "not told")
            shard.turn(Link.CONNECTED, at)
        elif kind == "disconnect" and shard.link is Link.CONNECTED:
            since = whole(record, "since_mono_ns")
            why = str(record.get("trigger"))
            shard.turn(_lost(record, why), at if since is None else min(since, at), why)
    for shard in shards.values():
        shard.turn(shard.link, end_mono_ns)
    return [
        Band(shard_id, *band) for shard_id, shard in sorted(shards.items()) for band in shard.bands
    ]


def _lost(record: Mapping[str, Any], why: str) -> Link:
    # Only what says that it was planned was planned.
    if record.get("planned") is not True:
        return Link.FAULT
    return Link.ENDED if why == "stop" else Link.PLANNED
