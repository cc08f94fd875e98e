"""The shell against a real server on loopback."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.errors import EndlessListing, Refused, RemoteError, Unreachable, WrongShape
from pm_universe.http import Patience, fetch
from pm_universe.query import Page, Query, whole_venue

MakeMarket = Callable[..., dict[str, Any]]
MakePage = Callable[..., bytes]

QUICK = Patience(backoff_initial_seconds=0.001, backoff_jitter_seconds=0.001, attempts=4)


def ids(url: str, *, patience: Patience = QUICK, page_limit: int = 100, **query: Any) -> list[str]:
    found: list[str] = []

    def take(page: Page) -> None:
        found.extend(entry.market["id"] for entry in page.entries if isinstance(entry.market, dict))

    fetch(Query(url, [whole_venue()], page_limit=page_limit, **query), take, patience=patience)
    return found


def numbers(count: int) -> list[str]:
    return [str(500_000 + number) for number in range(count)]


def test_every_page_is_read_in_order(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(number) for number in range(8)])
    assert ids(venue.url) == numbers(8)
    assert [params.get("after_cursor") for _, params in venue.requests] == [None, ["3"], ["6"]]
    assert all(params["closed"] == ["false"] for _, params in venue.requests)


def test_the_older_listing_serves_where_keyset_is_not_offered(
    venue: Any, make_market: MakeMarket
) -> None:
    venue.lists([make_market(number) for number in range(5)])
    venue.first = [(422, {}, b'{"error":"id is invalid"}')]
    assert ids(venue.url) == numbers(5)
    assert [path for path, _ in venue.requests] == ["/markets/keyset", *["/markets"] * 3]


def test_a_rate_limit_is_waited_out_as_the_server_says(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(0)])
    venue.first = [(429, {"Retry-After": "0.01"}, b"slow down")]
    # Our own backoff would take longer than the whole test may.
    patience = Patience(backoff_initial_seconds=1e6, backoff_max_seconds=1e6)
    assert ids(venue.url, patience=patience) == numbers(1)


def test_a_wait_that_is_too_long_is_refused_at_once(venue: Any) -> None:
    venue.first = [(429, {"Retry-After": "3600"}, b"slow down")]
    with pytest.raises(Refused, match="asked to wait 3600 s, more than 30 s") as caught:
        ids(venue.url)
    assert caught.value.status == 429
    assert len(venue.requests) == 1


def test_failures_and_garbage_in_between_do_no_harm(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(number) for number in range(2)])
    venue.first = [(500, {}, b"oops"), (200, {}, b"<html>"), (503, {}, b"")]
    assert ids(venue.url) == numbers(2)


def test_a_server_that_keeps_failing_is_named_with_its_answer(venue: Any) -> None:
    venue.answer = lambda path, params: (500, {}, b"database on fire")
    with pytest.raises(Refused) as caught:
        ids(venue.url)
    assert len(venue.requests) == QUICK.attempts
    assert str(caught.value) == (
        f"refused: GET {venue.url}/markets/keyset?closed=false&limit=100"
        " answered 500, b'database on fire'"
    )


def test_garbage_that_stays_garbage_is_an_error(venue: Any) -> None:
    venue.answer = lambda path, params: (200, {}, b"<html>hello</html>")
    with pytest.raises(WrongShape, match=r"not JSON.*answered 200, b'<html>hello</html>'"):
        ids(venue.url)


def test_damaged_compression_is_garbage(venue: Any) -> None:
    venue.answer = lambda path, params: (200, {"Content-Encoding": "gzip"}, b"not gzip at all")
    with pytest.raises(WrongShape, match="an empty body"):
        ids(venue.url)


def test_an_answer_that_is_cut_off_is_asked_for_again(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(0)])
    venue.first = [(200, {"Content-Length": "1000", "Connection": "close"}, b'{"markets":')]
    assert ids(venue.url) == numbers(1)
    assert len(venue.requests) == 2


def test_a_page_that_is_too_long_is_not_read_to_its_end(venue: Any) -> None:
    venue.answer = lambda path, params: (200, {}, b"[" * 1_000_000)
    with pytest.raises(WrongShape, match="more than 1000 bytes") as caught:
        ids(venue.url, page_bytes_max=1000)
    assert len(caught.value.body) < 1_000_000


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"unreachable \(.+\): GET http://127"):
            ids(url)


def test_a_host_that_cannot_be() -> None:
    with pytest.raises(Unreachable):
        ids("http://a..b")


def test_a_cursor_that_never_ends_meets_the_page_limit(
    venue: Any, make_market: MakeMarket, make_page: MakePage
) -> None:
    def answer(path: str, params: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        number = int(params.get("after_cursor", ["0"])[0])
        return 200, {}, make_page([make_market(number)], str(number + 1))

    venue.answer = answer
    with pytest.raises(EndlessListing, match="more pages than the limit of 20"):
        ids(venue.url, page_limit=20)
    assert len(venue.requests) == 20


def test_a_server_that_never_answers_is_left_after_the_page_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        patience = Patience(page_timeout_seconds=0.05)
        with pytest.raises(Unreachable, match=r"no page within 0.05 s"):
            ids(url, patience=patience)


def test_the_whole_has_a_limit_too_and_tells_the_last_error(venue: Any) -> None:
    venue.answer = lambda path, params: (500, {}, b"oops")
    patience = Patience(total_timeout_seconds=1, backoff_initial_seconds=60, backoff_max_seconds=60)
    with pytest.raises(RemoteError, match=r"not finished after 1 s and 0 pages; last: refused"):
        ids(venue.url, patience=patience)


def test_the_rate_limit_is_kept(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(number) for number in range(8)], page_size=1)
    # Two at once, the third only after an hour: the total limit strikes first.
    patience = Patience(rate_requests=2, rate_period_seconds=7200, total_timeout_seconds=2)
    with pytest.raises(Unreachable, match="and 2 pages"):
        ids(venue.url, patience=patience)
    assert len(venue.requests) == 2


def test_requests_name_us_and_ask_for_json(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(0)])
    fetch(Query(venue.url, [whole_venue()]), lambda page: None, user_agent="tester/7")
    assert venue.headers[0]["user-agent"] == "tester/7"
    assert venue.headers[0]["accept"] == "application/json"
