"""Real run bundles, written by pm_frames into a temporary directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pm_frames import Bundle, ShardWriter, open_bundle
from pm_frames.events import Event, EventReader
from pm_frames.runlog import RunlogWriter
from pm_replay.pipeline import Request, Result, replay

T0 = 1_000_000_000
WALL = 1_766_448_000_000_000_000

WHOLE = Request()
# shard, rx_mono_ns, payload, and flags where they are not those of all
FrameSpec = tuple[int, int, bytes] | tuple[int, int, bytes, int]
RecordSpec = tuple[int, str, Mapping[str, Any]]  # ts_mono_ns, record_type, fields


class Made:
    """A bundle in a temporary directory, and what a replay of it gives."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def bundle(self) -> Bundle:
        return open_bundle(self.path)

    def replay(self, request: Request = WHOLE) -> tuple[Result, bytes]:
        out: list[bytes] = []
        result = replay(self.bundle, request, out.append)
        return result, b"".join(out)

    def events(self, request: Request = WHOLE) -> list[Event]:
        from io import BytesIO

        return list(EventReader(BytesIO(self.replay(request)[1])))


Maker = Callable[..., Made]


def make_at(
    path: Path,
    frames: Iterable[FrameSpec],
    records: Iterable[RecordSpec] | None = None,
    *,
    universe: Mapping[str, Any] | None = None,
    version: int = 2,
    flags: int | Sequence[int] = 1,
) -> Made:
    """Write a sealed-looking bundle: the seal is there, so that the replay is strict."""
    (path / "capture").mkdir(parents=True)
    manifest = {
        "manifest_version": 1,
        "run_id": path.name,
        "t0_mono_ns": T0,
        "t0_wall_ns_utc": WALL,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    writers: dict[int, ShardWriter] = {}
    for number, (shard, mono, payload, *own) in enumerate(frames):
        if shard not in writers:
            writers[shard] = ShardWriter(path / "capture", shard, version=version)
        marks = flags if isinstance(flags, int) else flags[number % len(flags)]
        writers[shard].append(
            [(own[0] if own else marks, payload)], rx_mono_ns=mono, rx_wall_ns_utc=WALL + mono - T0
        )
    for writer in writers.values():
        writer.close()
    if records is not None:
        with RunlogWriter(path / "runlog.ndjson", path.name) as runlog:
            for mono, kind, fields in records:
                runlog.append(kind, fields, ts_mono_ns=mono, ts_wall_ns_utc=WALL + mono - T0)
    if universe is not None:
        (path / "universe").mkdir()
        (path / "universe" / "000000.json").write_text(json.dumps(universe))
    (path / "seal.json").write_text("{}")
    return Made(path)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def levels(side: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in side.items()]


def book(
    token: str,
    bids: Mapping[str, str],
    asks: Mapping[str, str],
    *,
    ts: str = "1790000000000",
    **more: Any,
) -> dict[str, Any]:
    return {
        "market": "0xaa", "asset_id": token, "timestamp": ts, "hash": "h", "bids": levels(bids),
        "asks": levels(asks), "event_type": "book", **more,
    }  # fmt: skip


def change(
    token: str, price: str, size: str, side: str, *, bid: str = "", ask: str = "", hash: str = "c"
) -> dict[str, str]:
    return {
        "asset_id": token, "price": price, "size": size, "side": side, "hash": hash,
        "best_bid": bid, "best_ask": ask,
    }  # fmt: skip


def price_change(*changes: dict[str, str], ts: str = "1790000000001") -> dict[str, Any]:
    return {
        "market": "0xaa",
        "price_changes": list(changes),
        "timestamp": ts,
        "event_type": "price_change",
    }


def subscribed(
    *tokens: str, at: int = T0 + 1, shard: int = 0, connection: int = 1
) -> list[RecordSpec]:
    """The records with which a connection begins."""
    return [
        (at, "ws_connect", {"shard_id": shard, "connection": connection}),
        (
            at + 1,
            "subscribe_attempt",
            {"shard_id": shard, "connection": connection, "token_ids": list(tokens)},
        ),
    ]
