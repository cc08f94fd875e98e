"""From a listing over HTTP to a selection: the library behind `pm-universe discover`."""

from collections.abc import Callable
from typing import NamedTuple

from .errors import NothingSelected
from .http import Patience, fetch
from .market import BadMarket, Market, parse
from .query import PAGE_LIMIT, Page, Query, named, whole_venue
from .selection import Selection, Wanted, select


class Discovery(NamedTuple):
    """What a discovery found, how many pages it read, and what it had to do differently."""

    selection: Selection
    pages: int
    notes: tuple[str, ...]


def discover(
    base_url: str,
    wanted: Wanted,
    *,
    page_limit: int = PAGE_LIMIT,
    patience: Patience | None = None,
    user_agent: str = "pm-universe",
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """Read the listing of the venue at `base_url` and select from it.

    `progress(pages, markets)` is called after every page.

    Raises:
        RemoteError: the venue is unreachable, refuses, or answers something else.
        NothingSelected: not one market qualifies; the message says what became of them.

    """
    patience = patience or Patience()
    is_named = wanted.events or wanted.markets
    query = Query(
        base_url,
        named(wanted.events, wanted.markets) if is_named else [whole_venue()],
        page_limit=page_limit,
        wait_max_seconds=patience.page_timeout_seconds,
    )
    parsed: list[Market | BadMarket] = []

    def take(page: Page) -> None:
        parsed.extend(map(parse, page.entries))
        if progress is not None:
            progress(query.pages, len(parsed))

    fetch(query, take, patience=patience, user_agent=user_agent)
    selection = select(parsed, wanted)
    if not selection.selected:
        raise NothingSelected(_explain(base_url, selection, wanted, query.pages))
    return Discovery(selection, query.pages, tuple(query.notes))


def _explain(base_url: str, selection: Selection, wanted: Wanted, pages: int) -> str:
    words = f"no market to select at {base_url}: {selection.markets_seen} seen on {pages} pages"
    if selection.over_cap:
        words += f", {len(selection.over_cap)} qualify, but no event fits --max-markets {wanted.max_markets}"
    if selection.left_out:
        words += ", left out: " + ", ".join(f"{n} {why}" for why, n in selection.left_out.items())
    if selection.not_found:
        words += f"; not found: {', '.join(selection.not_found)}"
    return words
