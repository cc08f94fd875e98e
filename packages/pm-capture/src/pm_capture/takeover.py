"""The universe of a run that follows another: the full file that the older run's generations amount to.

Markets are carried over byte for byte and put in the order that run-bundle.md demands of every full file,
so what the next discovery compares with is what pm-universe would have written itself.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pm_capture.generation import Identity
from pm_capture.universe import Universe, UniverseError, parse_universe
from pm_frames import paths

IdKey = tuple[int, int, str]


class _Token(msgspec.Struct, frozen=True):
    token_id: str


class _Market(msgspec.Struct, frozen=True):
    market_id: str
    condition_id: str
    tokens: list[_Token]
    event_id: str | None = None
    event_slug: str | None = None


class _Removed(msgspec.Struct, frozen=True):
    market_id: str
    condition_id: str
    token_ids: list[str]


class _Changed(msgspec.Struct, frozen=True):
    market: msgspec.Raw


class _Generation(msgspec.Struct, frozen=True):
    markets: list[msgspec.Raw] = []
    removed: list[_Removed] = []
    changed: list[_Changed] = []
    added: list[msgspec.Raw] = []


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the universe of a run comes from: a generation of the run before it."""

    run_id: str
    universe_version: int
    sha256: str


def take_over(run_dir: Path, run_id: str, version: int) -> tuple[Universe, Origin]:
    """Return generation `version` of a run as generation 0 of the next one; in any thread.

    A universe that never changed is passed on byte for byte. Raises `UniverseError` or OSError.
    """
    files = [paths.universe_path(run_dir, number) for number in range(version + 1)]
    data = files[-1].read_bytes()
    origin = Origin(run_id, version, hashlib.sha256(data).hexdigest())
    if version:
        try:
            data = _folded([path.read_bytes() for path in files])
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            raise UniverseError(f"{run_dir}: generations that do not fit: {error}") from error
    return parse_universe(data, f"generation {version} of {run_id}"), origin


def _folded(generations: list[bytes]) -> bytes:
    """Return one full file; its head is that of the newest generation, but for what a delta alone has."""
    rows: dict[Identity, tuple[_Market, bytes]] = {}

    def put(raw: msgspec.Raw) -> None:
        market = msgspec.json.decode(raw, type=_Market)
        tokens = tuple(sorted(token.token_id for token in market.tokens))
        rows[market.market_id, market.condition_id, tokens] = (market, bytes(raw))

    for data in generations:
        step = msgspec.json.decode(data, type=_Generation)
        for gone in step.removed:
            del rows[gone.market_id, gone.condition_id, tuple(sorted(gone.token_ids))]
        for raw in (*step.markets, *(change.market for change in step.changed), *step.added):
            put(raw)
    head: dict[str, Any] = msgspec.json.decode(generations[-1])
    head = {
        **{key: value for key, value in head.items() if key not in _Generation.__struct_fields__},
        "universe_version": 0,
        "kind": "full",
    }
    head.pop("since", None)
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    ordered = sorted(rows.values(), key=lambda row: _file_order(row[0]))
    lines = b",".join(b"\n" + raw for _, raw in ordered)
    return text[:-1] + b',"markets":[' + lines + b"\n]}\n"


def _file_order(market: _Market) -> tuple[IdKey, str, IdKey, str, str]:
    """By event, then by market, numbers as numbers and what has no id last; as pm-universe orders."""
    event = ""
    if market.event_id is None:
        alone = f" {market.market_id or market.condition_id}"
        event = alone if market.event_slug is None else market.event_slug
    return (
        _id_key(market.event_id), event, _id_key(market.market_id), market.condition_id,
        market.market_id,
    )  # fmt: skip


def _id_key(text: str | None) -> IdKey:
    if not text:
        return 2, 0, ""
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, text
