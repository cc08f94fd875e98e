"""Reading a listing of Gamma page by page, without doing any I/O.

The machine says what to ask for (`next_request`) and is told what came back (`response_received`):

    ASKING ── page with a cursor ──────────────► ASKING the next page
           ── last page ───────────────────────► ASKING the next listing, or FINISHED
           ── 404, 405, 422 on a first page ───► ASKING the fallback of the listing
           ── 408, 425, 429, 5xx, garbage ─────► ASKING the same page again (Wait)
           ── anything else ───────────────────► an error, and no way on

Whoever drives it owns sockets, clocks and retries. The number of pages, the bytes of a page, the
repetitions of garbage and the longest wait are bounded here, so a server cannot keep a caller busy
for ever: the same cursor or the same page twice is an error.
"""

import email.utils
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import urlencode

from .errors import EndlessListing, Refused, RemoteError, WrongShape

PAGE_SIZE: Final = 100  # the most that the keyset listing of markets gives
NAMES_PER_REQUEST: Final = 20  # keeps a URL of long slugs under 8 KiB
CONDITIONS_PER_REQUEST: Final = 50  # the venue takes 100, but the URL would pass 8 KiB
PAGE_LIMIT: Final = 5_000
PAGE_BYTES_MAX: Final = 64 * 1024 * 1024
GARBAGE_MAX: Final = 3
NOT_OFFERED: Final = frozenset({404, 405, 422})
TRANSIENT: Final = frozenset({408, 425, 429})


class Paging(Enum):
    """How the next page is asked for."""

    KEYSET = "keyset"
    OFFSET = "offset"


@dataclass(frozen=True)
class Listing:
    """One list of the venue: its path, its filters, where the items stand, what to try instead."""

    path: str
    params: tuple[tuple[str, str], ...]
    paging: Paging
    member: str
    fallback: "Listing | None" = None


class Request(NamedTuple):
    """A GET to perform."""

    url: str
    params: tuple[tuple[str, str], ...]

    @property
    def full_url(self) -> str:
        return f"{self.url}?{urlencode(self.params)}"


class Entry(NamedTuple):
    """One market as it came, and the event that it was listed under, if any. Untyped on purpose."""

    market: object
    event: object


class Page(NamedTuple):
    """The markets of one answer; `last` when nothing is left to ask for; the path asked."""

    entries: tuple[Entry, ...]
    last: bool
    path: str = ""


class Wait(NamedTuple):
    """Perform the same request again, after `seconds` if the server said so, else as backoff says."""

    seconds: float | None
    error: RemoteError


def whole_venue(page_size: int = PAGE_SIZE) -> Listing:
    """Return the listing of every market that is not closed."""
    limit = ("limit", str(page_size))
    offered_before = Listing(
        "/markets",
        # Offsets mean nothing without an order that stands still.
        (("closed", "false"), limit, ("order", "id"), ("ascending", "true")),
        Paging.OFFSET,
        "markets",
    )
    return Listing(
        "/markets/keyset", (("closed", "false"), limit), Paging.KEYSET, "markets", offered_before
    )


def started_since(moment: str, page_size: int = PAGE_SIZE) -> Listing:
    """Return the listing of every open market with a start date from `moment` (ISO 8601) on.

    A server that ignores the filter gives more, one that refuses it is asked for everything.
    """
    everything = whole_venue(page_size)
    params = (*everything.params, ("start_date_min", moment))
    return Listing(everything.path, params, Paging.KEYSET, "markets", everything)


def conditions(
    condition_ids: Sequence[str], *, closed: bool, page_size: int = PAGE_SIZE
) -> list[Listing]:
    """Return the listings that hold the markets of these conditions: the closed or the open ones.

    A server that ignores the filter gives more than was asked for.
    """
    head = (("closed", "true" if closed else "false"), ("limit", str(page_size)))
    listings = []
    for start in range(0, len(condition_ids), CONDITIONS_PER_REQUEST):
        batch = condition_ids[start : start + CONDITIONS_PER_REQUEST]
        params = (*head, *(("condition_ids", name) for name in batch))
        offered_before = Listing("/markets", params, Paging.OFFSET, "markets")
        listings.append(
            Listing("/markets/keyset", params, Paging.KEYSET, "markets", offered_before)
        )
    return listings


def events_by_id(event_ids: Sequence[str], *, page_size: int = PAGE_SIZE) -> list[Listing]:
    """Return the listings that hold these events with all their markets.

    A server that ignores the filter gives more than was asked for.
    """
    listings = []
    for start in range(0, len(event_ids), NAMES_PER_REQUEST):
        batch = event_ids[start : start + NAMES_PER_REQUEST]
        params = (
            ("closed", "false"), ("limit", str(page_size)), *(("id", name) for name in batch)
        )  # fmt: skip
        offered_before = Listing("/events", params, Paging.OFFSET, "events")
        listings.append(Listing("/events/keyset", params, Paging.KEYSET, "events", offered_before))
    return listings


def is_condition_id(name: str) -> bool:
    """Tell a condition id from a slug."""
    return name[:2].lower() == "0x"


def named(
    events: Sequence[str], markets: Sequence[str], *, page_size: int = PAGE_SIZE
) -> list[Listing]:
    """Return the listings that hold the named events and markets (slugs or 0x condition ids).

    The filters only save work: a server that ignores them gives more than was asked for, one that
    refuses them is asked for everything, and the selection sorts it out in both cases.
    """
    everything = whole_venue(page_size)
    conditions = [name.lower() for name in markets if is_condition_id(name)]
    slugs = [name for name in markets if not is_condition_id(name)]
    asked = [
        ("/events/keyset", "slug", "events", events),
        ("/markets/keyset", "slug", "markets", slugs),
        ("/markets/keyset", "condition_ids", "markets", conditions),
    ]
    return [
        Listing(
            path,
            (
                ("closed", "false"),
                ("limit", str(page_size)),
                *((key, name) for name in names[start : start + NAMES_PER_REQUEST]),
            ),
            Paging.KEYSET,
            member,
            everything,
        )
        for path, key, member, names in asked
        for start in range(0, len(names), NAMES_PER_REQUEST)
    ]


class Query:
    """Reads listings to their end, one request at a time."""

    def __init__(
        self,
        base_url: str,
        listings: Sequence[Listing],
        *,
        page_limit: int = PAGE_LIMIT,
        page_bytes_max: int = PAGE_BYTES_MAX,
        wait_max_seconds: float = 30.0,
    ) -> None:
        self.pages = 0
        self.notes: list[str] = []
        self.page_bytes_max = page_bytes_max
        self._base_url = base_url.rstrip("/")
        self._page_limit = page_limit
        self._wait_max_seconds = wait_max_seconds
        self._left = list(listings)
        self._begun: set[Listing] = set()
        self._listing: Listing | None = None
        self._first_page = True
        self._cursor: str | None = None
        self._offset = 0
        self._cursors: set[str] = set()
        self._digests: set[bytes] = set()
        self._garbage = 0
        self._begin_next()

    def next_request(self) -> Request | None:
        """Return what to ask for now; None when everything has been read.

        Asking twice gives the same request: only an answer moves the machine.
        """
        if self._listing is None:
            return None
        position: tuple[tuple[str, str], ...] = ()
        if self._listing.paging is Paging.OFFSET:
            position = (("offset", str(self._offset)),)
        elif self._cursor is not None:
            position = (("after_cursor", self._cursor),)
        return Request(self._base_url + self._listing.path, (*self._listing.params, *position))

    def response_received(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> Page | Wait:
        """Take the answer to `next_request()`; header names are in lower case.

        Raises:
            Refused: a status that is final, or a wait longer than allowed.
            WrongShape: an answer that is no page of markets, again and again.
            EndlessListing: a page or a cursor came twice, or there are too many pages.

        """
        request, listing = self.next_request(), self._listing
        if request is None or listing is None:
            raise ValueError("an answer arrived, but nothing was asked for")
        if status in TRANSIENT or 500 <= status <= 599:
            return self._wait(request, status, headers, body)
        if status in NOT_OFFERED and listing.fallback is not None and self._first_page:
            self.notes.append(f"{listing.path} answered {status}; asking {listing.fallback.path}")
            self._begin(listing.fallback)
            return Page((), self._listing is None)
        if status != 200:
            raise Refused("refused", url=request.full_url, status=status, body=body)
        try:
            items, cursor = _page(body, listing, self.page_bytes_max)
        except ValueError as problem:
            self._garbage += 1
            error = WrongShape(str(problem), url=request.full_url, status=status, body=body)
            if self._garbage < GARBAGE_MAX:
                return Wait(None, error)
            raise error from None
        self._garbage = 0
        self.pages += 1
        self._check_progress(items, cursor, request, body)
        self._advance(items, cursor)
        return Page(tuple(_entries(items, listing)), self._listing is None, listing.path)

    def _wait(self, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Wait:
        seconds = retry_after_seconds(headers)
        if seconds is not None and seconds > self._wait_max_seconds:
            problem = f"asked to wait {seconds:g} s, more than {self._wait_max_seconds:g} s"
            raise Refused(problem, url=request.full_url, status=status, body=body)
        return Wait(seconds, Refused("refused", url=request.full_url, status=status, body=body))

    def _check_progress(
        self, items: list[object], cursor: str | None, request: Request, body: bytes
    ) -> None:
        def endless(problem: str) -> EndlessListing:
            return EndlessListing(problem, url=request.full_url, status=200, body=body)

        if cursor is not None and cursor in self._cursors:
            raise endless(f"page {self.pages} gives the cursor {cursor[:80]!r} a second time")
        if items:
            digest = _identity(items, body)
            if digest in self._digests:
                raise endless(f"page {self.pages} repeats an earlier page")
            self._digests.add(digest)
        is_more = bool(items) if self._offset_paging else cursor is not None
        if is_more and self.pages >= self._page_limit:
            raise endless(f"more pages than the limit of {self._page_limit}")

    def _advance(self, items: list[object], cursor: str | None) -> None:
        self._first_page = False
        if self._offset_paging:
            # A server may give fewer than asked for; only an empty page is the end.
            self._offset += len(items)
            if not items:
                self._begin_next()
            return
        self._cursor = cursor
        if cursor is None:
            self._begin_next()
        else:
            self._cursors.add(cursor)

    @property
    def _offset_paging(self) -> bool:
        return self._listing is not None and self._listing.paging is Paging.OFFSET

    def _begin_next(self) -> None:
        self._listing = None
        if self._left:
            self._begin(self._left.pop(0))

    def _begin(self, listing: Listing) -> None:
        if listing in self._begun:
            # Two named listings may both have fallen back to the same one.
            self._begin_next()
            return
        self._begun.add(listing)
        self._listing = listing
        self._first_page = True
        self._cursor = None
        self._offset = 0
        self._cursors = set()
        self._digests = set()
        self._garbage = 0


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a Retry-After header asks for, in seconds; None if it does not say.

    A date is counted from the server's own Date header, so our clock is not needed.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        since = email.utils.parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - since).total_seconds())
    except (TypeError, ValueError):
        return None


def decode(body: bytes | str) -> object:
    """Decode JSON, keeping every number as the text that was written.

    Raises:
        ValueError: not JSON, or nested without reason.

    """
    try:
        return json.loads(body, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _page(body: bytes, listing: Listing, bytes_max: int) -> tuple[list[object], str | None]:
    if len(body) > bytes_max:
        raise ValueError(f"a page of more than {bytes_max} bytes")
    try:
        document = decode(body)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if listing.paging is Paging.OFFSET:
        if not isinstance(document, list):
            raise ValueError(f"expected an array, found {_kind(document)}")
        return document, None
    if not isinstance(document, dict):
        raise ValueError(f"expected an object with {listing.member!r}, found {_kind(document)}")
    items, cursor = document.get(listing.member), document.get("next_cursor")
    if not isinstance(items, list):
        raise ValueError(f"expected an array {listing.member!r}, found {_kind(items)}")
    if cursor is not None and not isinstance(cursor, str):
        raise ValueError(f"expected a text 'next_cursor', found {_kind(cursor)}")
    if cursor is not None and not cursor.isprintable():
        raise ValueError("a 'next_cursor' that cannot stand in a URL")
    return items, cursor or None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text or number", bool: "a boolean"}
    return names.get(type(value), "nothing")


def _identity(items: list[object], body: bytes) -> bytes:
    """Return what makes a page this page: its ids, since prices in it may have moved."""
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    known = [name for name in ids if isinstance(name, str)]
    told = "\n".join(known).encode("utf-8", "surrogatepass") if len(known) == len(ids) else body
    return hashlib.sha256(told).digest()


def _entries(items: list[object], listing: Listing) -> Iterator[Entry]:
    for item in items:
        if listing.member == "markets" or not isinstance(item, dict):
            yield Entry(item, None)
            continue
        markets = item.get("markets")
        for market in markets if isinstance(markets, list) else ():
            yield Entry(market, item)
