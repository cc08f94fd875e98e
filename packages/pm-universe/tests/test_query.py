"""The query machine as timelines: what it asks, what it is told, what comes of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.errors import EndlessListing, Refused, WrongShape
from pm_universe.query import (
    GARBAGE_MAX,
    NAMES_PER_REQUEST,
    Page,
    Query,
    Wait,
    decode,
    named,
    retry_after_seconds,
    whole_venue,
)

MakePage = Callable[..., bytes]
BASE = "https://gamma.example"


def whole(**limits: Any) -> Query:
    return Query(BASE, [whole_venue()], **limits)


def asked(query: Query) -> str:
    request = query.next_request()
    assert request is not None
    return request.full_url.removeprefix(BASE)


def ids_of(outcome: Page | Wait) -> list[Any]:
    assert isinstance(outcome, Page)
    return [entry.market["id"] for entry in outcome.entries if isinstance(entry.market, dict)]


def test_a_cursor_leads_to_the_next_page_and_its_absence_to_the_end(make_page: MakePage) -> None:
    query = whole()
    assert asked(query) == "/markets/keyset?closed=false&limit=100"
    assert asked(query) == "/markets/keyset?closed=false&limit=100"
    first = query.response_received(200, {}, make_page([{"id": "1"}], "a/b="))
    assert (ids_of(first), first.last) == (["1"], False)  # type: ignore[union-attr]
    assert asked(query) == "/markets/keyset?closed=false&limit=100&after_cursor=a%2Fb%3D"
    second = query.response_received(200, {}, make_page([{"id": "2"}]))
    assert second == Page(second.entries, last=True, path="/markets/keyset")  # type: ignore[union-attr]
    assert query.next_request() is None
    assert query.pages == 2


@pytest.mark.parametrize("cursor", ["null", '""'])
def test_an_empty_cursor_is_the_end(cursor: str) -> None:
    query = whole()
    query.response_received(200, {}, f'{{"markets":[],"next_cursor":{cursor}}}'.encode())
    assert query.next_request() is None


@pytest.mark.parametrize("status", [404, 405, 422])
def test_offset_paging_goes_on_until_an_empty_page(status: int) -> None:
    query = whole()
    assert query.response_received(status, {}, b"") == Page((), last=False)
    head = "/markets?closed=false&limit=100&order=id&ascending=true"
    assert asked(query) == f"{head}&offset=0"
    # Fewer than asked for is not the end: a server may have a lower limit of its own.
    query.response_received(200, {}, b'[{"id":"1"},{"id":"2"}]')
    assert asked(query) == f"{head}&offset=2"
    query.response_received(200, {}, b'[{"id":"3"}]')
    assert asked(query) == f"{head}&offset=3"
    assert query.response_received(200, {}, b"[]") == Page((), last=True, path="/markets")
    assert query.next_request() is None
    assert query.pages == 3
    assert query.notes == [f"/markets/keyset answered {status}; asking /markets"]


def test_only_a_first_page_falls_back(make_page: MakePage) -> None:
    query = whole()
    query.response_received(200, {}, make_page([{"id": "1"}], "next"))
    with pytest.raises(Refused, match="after_cursor=next answered 422, b'bad cursor'"):
        query.response_received(422, {}, b"bad cursor")


def test_the_fallback_has_no_fallback() -> None:
    query = whole()
    query.response_received(404, {}, b"")
    with pytest.raises(Refused, match="answered 404, an empty body"):
        query.response_received(404, {}, b"")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 522])
def test_what_may_pass_is_asked_for_again(status: int) -> None:
    query = whole()
    before = query.next_request()
    outcome = query.response_received(status, {"retry-after": "2"}, b"")
    assert isinstance(outcome, Wait)
    assert outcome.seconds == 2.0
    assert query.next_request() == before
    assert query.pages == 0


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 418])
def test_what_will_not_pass_is_final(status: int) -> None:
    with pytest.raises(Refused, match=f"answered {status}"):
        whole().response_received(status, {}, b"no")


def test_a_wait_has_a_limit() -> None:
    with pytest.raises(Refused, match="asked to wait 31 s, more than 30 s"):
        whole().response_received(429, {"retry-after": "31"}, b"")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "."}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:07 GMT"}, None),
        (
            {
                "retry-after": "Sat, 21 Nov 2026 10:00:07 GMT",
                "date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            7.0,
        ),
        (
            {
                "retry-after": "Sat, 21 Nov 2026 09:00:00 GMT",
                "date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            0.0,
        ),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"markets":[', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "expected an object with 'markets', found an array"),
        (b'"markets"', "found a text or number"),
        (b"{}", "expected an array 'markets', found nothing"),
        (b'{"markets":{}}', "expected an array 'markets', found an object"),
        (b'{"markets":[],"next_cursor":{}}', "expected a text 'next_cursor', found an object"),
        (b'{"markets":[],"next_cursor":true}', "found a boolean"),
        (b'{"markets":[],"next_cursor":"\\ud800"}', "cannot stand in a URL"),
    ],
)
def test_garbage_is_asked_for_again_and_then_an_error(body: bytes, problem: str) -> None:
    query = whole()
    for _ in range(GARBAGE_MAX - 1):
        assert isinstance(query.response_received(200, {}, body), Wait)
    with pytest.raises(WrongShape, match=problem):
        query.response_received(200, {}, body)


def test_the_older_listing_must_be_an_array() -> None:
    query = whole()
    query.response_received(404, {}, b"")
    outcome = query.response_received(200, {}, b'{"markets":[]}')
    assert isinstance(outcome, Wait)
    assert "expected an array, found an object" in str(outcome.error)


def test_garbage_is_forgiven_after_a_good_page(make_page: MakePage) -> None:
    query = whole()
    for number in range(10):
        assert isinstance(query.response_received(200, {}, b"?"), Wait)
        page = make_page([{"id": str(number)}], str(number))
        assert isinstance(query.response_received(200, {}, page), Page)


def test_a_page_over_the_byte_limit_is_garbage() -> None:
    outcome = whole(page_bytes_max=10).response_received(200, {}, b'{"markets":[]}')
    assert isinstance(outcome, Wait)
    assert "a page of more than 10 bytes" in str(outcome.error)


def test_a_cursor_twice_is_an_error(make_page: MakePage) -> None:
    query = whole()
    query.response_received(200, {}, make_page([{"id": "1"}], "a"))
    query.response_received(200, {}, make_page([{"id": "2"}], "b"))
    with pytest.raises(EndlessListing, match="page 3 gives the cursor 'a' a second time"):
        query.response_received(200, {}, make_page([{"id": "3"}], "a"))


def test_the_same_markets_twice_are_an_error_even_if_their_prices_moved(
    make_page: MakePage,
) -> None:
    query = whole()
    query.response_received(200, {}, make_page([{"id": "1", "bestBid": 0.1}], "a"))
    with pytest.raises(EndlessListing, match="page 2 repeats an earlier page"):
        query.response_received(200, {}, make_page([{"id": "1", "bestBid": 0.2}], "b"))


def test_a_page_without_ids_is_known_by_its_bytes(make_page: MakePage) -> None:
    query = whole()
    query.response_received(200, {}, make_page([{"slug": "x"}], "a"))
    query.response_received(200, {}, make_page([{"slug": "y"}], "b"))
    query.response_received(200, {}, make_page([{"slug": "x"}], "c"))  # other bytes: the cursor
    assert query.pages == 3


def test_an_older_listing_that_ignores_offsets_is_an_error() -> None:
    query = whole()
    query.response_received(404, {}, b"")
    query.response_received(200, {}, b'[{"id":"1"}]')
    with pytest.raises(EndlessListing, match="repeats"):
        query.response_received(200, {}, b'[{"id":"1"}]')


def test_empty_pages_with_cursors_end_at_the_page_limit(make_page: MakePage) -> None:
    query = whole(page_limit=3)
    query.response_received(200, {}, make_page([], "a"))
    query.response_received(200, {}, make_page([], "b"))
    with pytest.raises(EndlessListing, match="more pages than the limit of 3"):
        query.response_received(200, {}, make_page([], "c"))


def test_exactly_as_many_pages_as_the_limit_are_fine(make_page: MakePage) -> None:
    query = whole(page_limit=2)
    query.response_received(200, {}, make_page([{"id": "1"}], "a"))
    assert query.response_received(200, {}, make_page([{"id": "2"}])).last  # type: ignore[union-attr]


def test_an_answer_without_a_question_is_misuse(make_page: MakePage) -> None:
    query = whole()
    query.response_received(200, {}, make_page([]))
    with pytest.raises(ValueError, match="nothing was asked for"):
        query.response_received(200, {}, make_page([]))


def test_names_are_asked_for_by_kind_one_listing_after_the_other(make_page: MakePage) -> None:
    query = Query(BASE, named(["big-event"], ["a-market", "0xAB", "b-market"]))
    assert asked(query) == "/events/keyset?closed=false&limit=100&slug=big-event"
    event = {"id": "7", "slug": "big-event", "markets": [{"id": "1"}, {"id": "2"}]}
    page = query.response_received(200, {}, make_page([event, "junk"], member="events"))
    assert isinstance(page, Page)
    # What is not an event is handed on, to be counted as not usable.
    assert [entry.market for entry in page.entries] == [{"id": "1"}, {"id": "2"}, "junk"]
    assert [entry.event for entry in page.entries] == [event, event, None]
    assert not page.last
    assert asked(query) == "/markets/keyset?closed=false&limit=100&slug=a-market&slug=b-market"
    query.response_received(200, {}, make_page([]))
    assert asked(query) == "/markets/keyset?closed=false&limit=100&condition_ids=0xab"
    assert query.response_received(200, {}, make_page([])).last  # type: ignore[union-attr]


def test_many_names_are_split() -> None:
    slugs = [f"slug-{number}" for number in range(NAMES_PER_REQUEST + 1)]
    lengths = [len(listing.params) for listing in named([], slugs)]
    assert lengths == [2 + NAMES_PER_REQUEST, 2 + 1]


def test_filters_that_are_refused_lead_to_the_whole_listing_once(make_page: MakePage) -> None:
    query = Query(BASE, named(["an-event"], ["a-market"]))
    query.response_received(422, {}, b"")
    assert asked(query) == "/markets/keyset?closed=false&limit=100"
    query.response_received(200, {}, make_page([{"id": "1"}]))
    assert "slug=a-market" in asked(query)
    assert query.response_received(422, {}, b"") == Page((), last=True)
    assert query.next_request() is None


def test_numbers_stay_the_text_that_was_written() -> None:
    text = '{"a":0.010,"b":5,"c":1e-7,"d":"0.5","e":[12345678901234567890.10]}'
    expected = {"a": "0.010", "b": "5", "c": "1e-7", "d": "0.5", "e": ["12345678901234567890.10"]}
    assert decode(text) == expected
    assert decode("1" * 10_000) == "1" * 10_000
    assert decode(json.dumps({"f": float("nan")})) == {"f": "NaN"}
