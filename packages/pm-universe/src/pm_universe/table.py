"""A universe as lines of text: a table for eyes, tab-separated values for programs."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from .generation import Delta
from .market import MarketRow
from .selection import Selection

ROWS_SHOWN = 50
_COLUMNS = ("MARKET", "OUTCOMES", "TICK", "ENDS", "QUESTION")
_COLUMN_MAX = 24
_BREAKS = re.compile(r"\s+")


def plain(text: str) -> str:
    """Return `text` on one line and without control characters, which a terminal would obey."""
    return "".join(
        letter
        for letter in _BREAKS.sub(" ", text).strip()
        if unicodedata.category(letter) not in ("Cc", "Cf", "Cs")
    )


def tsv(selection: Selection) -> Iterator[str]:
    """Yield every candidate: id, `selected` or `over_cap`, slug, question. No header."""
    for status, rows in (("selected", selection.selected), ("over_cap", selection.over_cap)):
        for row in rows:
            yield "\t".join((plain(row.market_id), status, plain(row.slug), plain(row.question)))


def changes(delta: Delta, selection: Selection) -> Iterator[str]:
    """Yield what changed: id, `removed`, `changed` or `added`, slug, question, why. No header."""
    listed = [(row, "removed", reason) for row, reason in selection.lost]
    listed += [(each.market, "changed", ",".join(each.fields)) for each in delta.changed]
    listed += [(row, "added", "") for row in delta.added]
    for row, status, why in listed:
        cells = (row.market_id, status, row.slug, row.question, why)
        yield "\t".join(map(plain, cells))


def table(rows: Sequence[MarketRow], *, width: int) -> Iterator[str]:
    """Yield the first rows as columns that fit into `width`, and say how many are left."""
    cells = [_COLUMNS, *(_cells(row) for row in rows[:ROWS_SHOWN])]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS) - 1)]
    for line in cells:
        left = "  ".join(cell.ljust(size) for cell, size in zip(line[:-1], widths, strict=True))
        yield _shortened(f"{left}  {line[-1]}", width).rstrip()
    if len(rows) > ROWS_SHOWN:
        yield f"… and {len(rows) - ROWS_SHOWN:,} more (all of them: --tsv or --json)"


def summary(selection: Selection, *, pages: int) -> str:
    """Return one line on what was read and what became of it."""
    out = ", ".join(f"{count:,} {reason}" for reason, count in selection.left_out.items())
    return (
        f"{len(selection.selected):,} markets selected of {selection.markets_seen:,} on {pages:,} pages; "
        f"{len(selection.over_cap):,} over the cap; left out: {out or 'none'}"
    )


def _cells(row: MarketRow) -> tuple[str, ...]:
    outcomes = " / ".join(plain(token.outcome) for token in row.tokens)
    return (
        _shortened(plain(row.market_id), _COLUMN_MAX),
        _shortened(outcomes, _COLUMN_MAX),
        row.tick_size or "?",
        _shortened(plain(row.end_date or "?")[:16].replace("T", " "), _COLUMN_MAX),
        plain(row.question or row.slug),
    )


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def lines(texts: Iterable[str]) -> str:
    """Join lines into what a stream takes."""
    return "".join(f"{text}\n" for text in texts)
