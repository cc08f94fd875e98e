"""The universe document: what was selected, how, and everything a reader will need about it later.

One JSON object in UTF-8, its keys always in the order of the fields below, one market a line. The
same listing, selection and stamps give the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from .market import MarketRow
from .selection import MODE, Selection, Wanted

VERSION_FULL: Final = 0
FULL: Final = "full"


class SelectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the universe was selected."""

    universe_mode: str
    capture_use_market_filters: bool
    market_regex_effective: str | None
    max_markets: int
    gamma_base_url: str
    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    sweep: str = "whole"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How much was read and what became of it.

    `markets_seen` = selected + dropped by the cap + the sum of `markets_left_out` by reason.
    """

    gamma_pages_fetched: int
    markets_seen: int
    markets_selected: int
    markets_dropped_by_cap: int
    tokens_selected: int
    events_split_by_cap: int = 0
    markets_left_out: Mapping[str, int] = {}


class UniverseFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole universe document. Stamps are nanoseconds: UTC, and of the monotonic clock."""

    universe_version: int
    kind: str
    created_wall_ns_utc: int
    created_mono_ns: int
    selection: SelectionRecord
    stats: Stats
    markets: tuple[MarketRow, ...]


class Circumstances(NamedTuple):
    """What a document says about how it came about, besides what was selected."""

    gamma_base_url: str
    pages: int
    created_wall_ns_utc: int
    created_mono_ns: int
    sweep: str = "whole"


def describe(selection: Selection, wanted: Wanted, how: Circumstances) -> UniverseFile:
    """Put a selection into the form of a full file, the first generation."""
    return UniverseFile(
        universe_version=VERSION_FULL,
        kind=FULL,
        created_wall_ns_utc=how.created_wall_ns_utc,
        created_mono_ns=how.created_mono_ns,
        selection=selection_record(wanted, how),
        stats=stats(selection, how),
        markets=selection.selected,
    )


def selection_record(wanted: Wanted, how: Circumstances) -> SelectionRecord:
    """Say how the universe was selected."""
    return SelectionRecord(
        universe_mode=MODE,
        capture_use_market_filters=wanted.market_regex is not None,
        market_regex_effective=wanted.market_regex,
        max_markets=wanted.max_markets,
        gamma_base_url=how.gamma_base_url,
        events=wanted.events,
        markets=wanted.markets,
        sweep=how.sweep,
    )


def stats(selection: Selection, how: Circumstances) -> Stats:
    """Count what was read and what became of it."""
    return Stats(
        gamma_pages_fetched=how.pages,
        markets_seen=selection.markets_seen,
        markets_selected=len(selection.selected),
        markets_dropped_by_cap=len(selection.over_cap),
        tokens_selected=sum(len(row.tokens) for row in selection.selected),
        events_split_by_cap=selection.events_split,
        markets_left_out=selection.left_out,
    )


def encode(universe: UniverseFile) -> bytes:
    """Return the bytes of the file: the head on the first line, then one market a line."""
    head = msgspec.json.encode(msgspec.structs.replace(universe, markets=()))
    return with_lines(head, {"markets": universe.markets})


def with_lines(head: bytes, members: Mapping[str, Sequence[msgspec.Struct]]) -> bytes:
    """Return an object whose last members are lists, empty in `head`, with one item of them a line."""
    empty = ",".join(f'"{name}":[]' for name in members).encode() + b"}"
    if not head.endswith(empty):
        raise AssertionError(f"expected {empty!r} at the end, found {head[-len(empty) :]!r}")
    lists = [
        f'"{name}":['.encode()
        + b",".join(b"\n" + msgspec.json.encode(item) for item in items)
        + b"\n]"
        for name, items in members.items()
    ]
    return head[: -len(empty)] + b",".join(lists) + b"}\n"


def read(path: Path) -> UniverseFile:
    """Read a full file back; unknown keys are ignored.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is not a universe document.

    """
    return msgspec.json.decode(path.read_bytes(), type=UniverseFile)
