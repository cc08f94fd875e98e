"""Laws of reading: whatever arrives becomes a value or a known error, and the machine ends."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pm_universe.errors import RemoteError
from pm_universe.market import BadMarket, Market, parse
from pm_universe.query import Entry, Page, Query, Wait, decode, named, whole_venue
from pm_universe.selection import Wanted, select
from pm_universe.table import lines, table, tsv
from pm_universe.universe_file import Circumstances, describe, encode

LETTERS = st.characters(categories=None)  # all of them, half surrogate pairs too
TEXTS = st.one_of(
    st.text(LETTERS, max_size=12),
    st.sampled_from(
        ["[", '["1","2"]', "1,2", "1e999", "-0.5", "true", "v2", "[" * 2000, '{"rate":1}']
    ),
)
SCALARS = st.one_of(st.none(), st.booleans(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "id conditionId slug question category events negRisk negRiskMarketID orderPriceMinTickSize"
    " orderMinSize feesEnabled feeType feeSchedule secondsDelay endDate version clobTokenIds"
    " positionIds outcomes active closed volume24hr updatedAt rate exponent takerOnly"
).split()
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), VALUES)
USABLE = OBJECTS.map(
    lambda market: (
        market
        | {
            "conditionId": "0x1",
            "clobTokenIds": ["1", "2"],
            "outcomes": ["Yes", "No"],
            "version": None,
        }
    )
)


@given(st.one_of(VALUES, OBJECTS, USABLE), st.one_of(VALUES, OBJECTS))
def test_reading_a_market_is_total(market: object, event: object) -> None:
    """Whatever arrives becomes a Market or a BadMarket with a reason, never an exception."""
    assert isinstance(parse(Entry(market, event)), Market | BadMarket)


@given(st.lists(USABLE, min_size=1, max_size=3))
def test_whatever_was_read_can_be_written_and_printed(markets: list[dict[str, object]]) -> None:
    """A file in UTF-8, one line a market."""
    wanted = Wanted(max_markets=10)
    selection = select([parse(Entry(market, None)) for market in markets], wanted)
    universe = describe(
        selection,
        wanted,
        Circumstances("https://gamma.example", 1, 1, 2),
    )
    content = encode(universe)
    assert json.loads(content)["markets"] == json.loads(encode(universe).decode())["markets"]
    assert content.count(b"\n") == 2 + len(selection.selected)
    printed = lines(tsv(selection)).encode()
    assert printed.count(b"\n") == len(selection.selected) + len(selection.over_cap)
    assert printed.count(b"\t") == 3 * printed.count(b"\n")
    lines(table(selection.selected, width=80)).encode()


STATUSES = st.one_of(st.sampled_from([200, 200, 200, 404, 422, 429, 500]), st.integers(100, 599))
IDS = st.sampled_from(["1", "2", "3", None])
CURSORS = st.one_of(st.none(), st.text(max_size=3))
PAGES = st.builds(
    lambda member, ids, cursor: json.dumps(
        {member: [{"id": each, "markets": [{"id": each}]} for each in ids], "next_cursor": cursor}
    ).encode(),
    st.sampled_from(["markets", "events"]),
    st.lists(IDS, max_size=3),
    CURSORS,
)
ARRAYS = st.lists(IDS, max_size=3).map(lambda ids: json.dumps([{"id": i} for i in ids]).encode())
BODIES = st.one_of(
    PAGES, ARRAYS, st.binary(max_size=20), VALUES.map(lambda v: json.dumps(v).encode())
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "date"]), st.one_of(st.text(), st.sampled_from(["0", "1.5"]))
)


@given(
    st.lists(st.tuples(STATUSES, HEADERS, BODIES), max_size=30),
    st.booleans(),
    st.integers(min_value=1, max_value=6),
)
def test_the_machine_survives_any_script(
    script: list[tuple[int, dict[str, str], bytes]], is_named: bool, page_limit: int
) -> None:
    """Every answer gives a Page, a Wait or a RemoteError; the page limit is kept."""
    listings = named(["e"], ["m", "0x1"]) if is_named else [whole_venue()]
    query = Query("https://gamma.example", listings, page_limit=page_limit)
    said = ""
    for status, headers, body in script:
        request = query.next_request()
        if request is None:
            break
        assert request.full_url.startswith("https://gamma.example/")
        try:
            outcome = query.response_received(status, headers, body)
        except RemoteError as error:
            said = str(error)
            break
        assert isinstance(outcome, Page | Wait)
        if isinstance(outcome, Wait):
            assert query.next_request() == request
        else:
            assert outcome.last == (query.next_request() is None)
        assert query.pages <= page_limit + len(listings)
    assert not said or f"answered {status}, " in said


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_a_decimal_is_never_rewritten(value: object) -> None:
    """Numbers stay the text that was written."""
    assert decode(f'{{"x":{value:f}}}') == {"x": f"{value:f}"}
