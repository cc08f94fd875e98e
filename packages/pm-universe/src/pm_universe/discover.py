"""From a listing over HTTP to a selection: the library behind `pm-universe discover`."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from .errors import NothingSelected, Refused
from .http import Patience, fetch
from .market import BadMarket, Market, MarketRow, members_of, parse
from .order import listing_key
from .query import (
    NOT_OFFERED,
    PAGE_LIMIT,
    Listing,
    Page,
    Query,
    conditions,
    events_by_id,
    named,
    started_since,
    whole_venue,
)
from .selection import Selection, Wanted, select
from .universe_file import UniverseFile

WHOLE: Final = "whole"
RECENT: Final = "recent"
# Generations are written only when something changed, and clocks differ.
RECENT_MARGIN: Final = timedelta(hours=1)


class Discovery(NamedTuple):
    """What a discovery found, how many pages it read, and what it had to do differently."""

    selection: Selection
    pages: int
    notes: tuple[str, ...]
    sweep: str = WHOLE


def discover(
    base_url: str,
    wanted: Wanted,
    *,
    since: UniverseFile | None = None,
    sweep: str = WHOLE,
    page_limit: int = PAGE_LIMIT,
    patience: Patience | None = None,
    user_agent: str = "pm-universe",
    progress: Callable[[int, int], None] | None = None,
) -> Discovery:
    """Read the listing of the venue at `base_url` and select from it.

    The markets of `since` are incumbents: they stay before others, and those that the listing did
    not show are asked for by name, so that a page that slipped is not taken for a closed market.
    With the sweep `recent` the listing itself is only asked for the incumbents and for markets that
    started since (less `RECENT_MARGIN`). `progress(pages, markets)` is called after every page.
    Of the neg-risk events among what is selected, the venue is asked how many markets they have.

    Raises:
        RemoteError: the venue is unreachable, refuses, or answers something else.
        NothingSelected: not one market qualifies; the message says what became of them.
        ValueError: the sweep `recent` without `since`.

    """
    incumbents = () if since is None else since.markets
    condition_ids = list(dict.fromkeys(row.condition_id for row in incumbents))
    listings: Sequence[Listing]
    if wanted.events or wanted.markets:
        listings, sweep = named(wanted.events, wanted.markets), WHOLE
    elif sweep == RECENT:
        if since is None:
            raise ValueError("a sweep of what is recent needs a universe that it follows")
        moment = _iso(since.created_wall_ns_utc)
        listings = [started_since(moment), *conditions(condition_ids, closed=False)]
    else:
        listings = [whole_venue()]
    reading = _Reading(base_url, page_limit, patience or Patience(), user_agent, progress)
    reading.read(listings)
    keys = {listing_key(each.row) for each in reading.parsed if isinstance(each, Market)}
    missing = [row.condition_id for row in incumbents if listing_key(row) not in keys]
    if missing:
        reading.look_up(list(dict.fromkeys(missing)))
    selection = select(reading.parsed, wanted, incumbents=incumbents)
    if not selection.selected:
        raise NothingSelected(_explain(base_url, selection, wanted, reading.pages))
    members = reading.count_members(selection.selected)
    selection = selection._replace(
        selected=tuple(
            msgspec.structs.replace(row, event_markets=members[row.event_id])
            if row.neg_risk and row.event_id is not None and row.event_id in members
            else row
            for row in selection.selected
        )
    )
    return Discovery(selection, reading.pages, tuple(reading.notes), sweep)


class _Reading:
    """Everything that was read, over any number of queries."""

    def __init__(
        self,
        base_url: str,
        page_limit: int,
        patience: Patience,
        user_agent: str,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.parsed: list[Market | BadMarket] = []
        self.pages = 0
        self.notes: list[str] = []
        self.members: dict[str, int] = {}  # markets by event, of events that came with theirs
        self._base_url = base_url
        self._page_limit = page_limit
        self._patience = patience
        self._user_agent = user_agent
        self._progress = progress

    def read(self, listings: Iterable[Listing], only: Set[str] | None = None) -> None:
        """Read listings to their end; of them only the conditions in `only`, if it is given."""
        query = Query(
            self._base_url,
            list(listings),
            page_limit=self._page_limit,
            wait_max_seconds=self._patience.page_timeout_seconds,
        )
        before = self.pages

        def take(page: Page) -> None:
            self.members.update(filter(None, (members_of(each.event) for each in page.entries)))
            for market in map(parse, page.entries):
                if only is None or (isinstance(market, Market) and market.row.condition_id in only):
                    self.parsed.append(market)
            self.pages = before + query.pages
            if self._progress is not None:
                self._progress(self.pages, len(self.parsed))

        try:
            fetch(query, take, patience=self._patience, user_agent=self._user_agent)
        finally:
            self.notes += [note for note in query.notes if note not in self.notes]

    def look_up(self, condition_ids: Sequence[str]) -> None:
        """Ask by name for markets that a listing did not show; noted where that is not offered."""
        try:
            for closed in (True, False):
                self.read(conditions(condition_ids, closed=closed), only=set(condition_ids))
        except Refused as error:
            if error.status not in NOT_OFFERED:
                raise
            self.notes.append(
                f"{len(condition_ids)} markets are not listed, and asking for them by name: {error}"
            )

    def count_members(self, rows: Iterable[MarketRow]) -> Mapping[str, int]:
        """Return how many markets events have, closed ones included: what a neg-risk set must have.

        Events of neg-risk rows that did not come with their markets are asked for; noted where that is not
        offered. Only the venue can say it: a listing of what is open, a filter or the cap leave markets out.
        """
        wanted = dict.fromkeys(row.event_id for row in rows if row.neg_risk and row.event_id)
        missing = [event_id for event_id in wanted if event_id not in self.members]
        if not missing:
            return self.members
        try:
            self.read(events_by_id(missing), only=frozenset())
        except Refused as error:
            if error.status not in NOT_OFFERED:
                raise
            self.notes.append(
                f"how many markets {len(missing)} events have is not known, and asking: {error}"
            )
        return self.members


def _iso(wall_ns_utc: int) -> str:
    moment = datetime.fromtimestamp(wall_ns_utc // 10**9, UTC) - RECENT_MARGIN
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _explain(base_url: str, selection: Selection, wanted: Wanted, pages: int) -> str:
    words = f"no market to select at {base_url}: {selection.markets_seen} seen on {pages} pages"
    if selection.over_cap:
        words += f", {len(selection.over_cap)} qualify, but no event fits --max-markets {wanted.max_markets}"
    if selection.left_out:
        words += ", left out: " + ", ".join(f"{n} {why}" for why, n in selection.left_out.items())
    if selection.not_found:
        words += f"; not found: {', '.join(selection.not_found)}"
    return words
