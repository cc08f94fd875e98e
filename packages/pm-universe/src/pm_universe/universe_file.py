"""The universe document: what was selected, how, and everything a reader will need about it later.

One JSON object in UTF-8, its keys always in the order of the fields below, one market a line. The
same listing, selection and stamps give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from .market import MarketRow
from .selection import MODE, Selection, Wanted

VERSION_FULL: Final = 0
_MARK: Final = b'"markets":[]}'


class SelectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the universe was selected."""

    universe_mode: str
    capture_use_market_filters: bool
    market_regex_effective: str | None
    max_markets: int
    gamma_base_url: str
    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How much was read and what became of it.

    `markets_seen` = selected + dropped by the cap + the sum of `markets_left_out` by reason.
    """

    gamma_pages_fetched: int
    markets_seen: int
    markets_selected: int
    markets_dropped_by_cap: int
    tokens_selected: int
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


def describe(
    selection: Selection,
    wanted: Wanted,
    *,
    gamma_base_url: str,
    pages: int,
    created_wall_ns_utc: int,
    created_mono_ns: int,
) -> UniverseFile:
    """Put a selection into the form of the file."""
    return UniverseFile(
        universe_version=VERSION_FULL,
        kind="full",
        created_wall_ns_utc=created_wall_ns_utc,
        created_mono_ns=created_mono_ns,
        selection=SelectionRecord(
            universe_mode=MODE,
            capture_use_market_filters=False,
            market_regex_effective=None,
            max_markets=wanted.max_markets,
            gamma_base_url=gamma_base_url,
            events=wanted.events,
            markets=wanted.markets,
        ),
        stats=Stats(
            gamma_pages_fetched=pages,
            markets_seen=selection.markets_seen,
            markets_selected=len(selection.selected),
            markets_dropped_by_cap=len(selection.over_cap),
            tokens_selected=sum(len(row.tokens) for row in selection.selected),
            markets_left_out=selection.left_out,
        ),
        markets=selection.selected,
    )


def encode(universe: UniverseFile) -> bytes:
    """Return the bytes of the file: the head on the first line, then one market a line."""
    head = msgspec.json.encode(msgspec.structs.replace(universe, markets=()))
    if not head.endswith(_MARK):
        raise AssertionError(f"the markets are not the last field: {head[-40:]!r}")
    rows = b",\n".join(msgspec.json.encode(row) for row in universe.markets)
    return head[: -len(b"]}")] + b"\n" + rows + b"\n]}\n"


def read(path: Path) -> UniverseFile:
    """Read a universe file back; unknown keys are ignored.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is not a universe document.

    """
    return msgspec.json.decode(path.read_bytes(), type=UniverseFile)
