"""A venue on loopback that serves listings the way Gamma does, and markets to list."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import settings

from pm_universe.__main__ import main

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

Answer = tuple[int, dict[str, str], bytes]
Params = dict[str, list[str]]


def market_of(number: int, **changes: Any) -> dict[str, Any]:
    """Return a market in Gamma's own mixture of types; a change to `...` removes the field."""
    market: dict[str, Any] = {
        "id": str(500_000 + number),
        "question": f"Will number {number} come up?",
        "conditionId": f"0x{number:064x}",
        "slug": f"number-{number}",
        "outcomes": '["Yes", "No"]',
        "clobTokenIds": json.dumps([str(10**70 + 2 * number), str(10**70 + 2 * number + 1)]),
        "active": True,
        "closed": False,
        "archived": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "negRisk": False,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "volume24hr": 10.5,
        "endDate": "2026-12-31T00:00:00Z",
        "updatedAt": "2026-11-21T00:00:00Z",
        "feesEnabled": False,
        "events": [{"id": str(9_000 + number), "slug": f"event-{number}"}],
    } | changes
    return {key: value for key, value in market.items() if value is not ...}


def page_of(items: list[Any], cursor: str | None = None, member: str = "markets") -> bytes:
    page: dict[str, Any] = {member: items}
    return json.dumps(page | ({"next_cursor": cursor} if cursor else {})).encode()


class Venue:
    """Answers on loopback; what was asked is in `requests` as (path, params)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, Params]] = []
        self.headers: list[dict[str, str]] = []
        self.first: list[Answer] = []
        self.answer: Callable[[str, Params], Answer] = lambda path, params: (404, {}, b"")

    def lists(self, markets: list[dict[str, Any]], page_size: int = 3) -> None:
        """Serve the keyset listing and the older one of these markets."""

        def answer(path: str, params: Params) -> Answer:
            key = "offset" if path == "/markets" else "after_cursor"
            start = int(params.get(key, ["0"])[0])
            items = markets[start : start + page_size]
            if path == "/markets":
                return 200, {}, json.dumps(items).encode()
            if path != "/markets/keyset":
                return 404, {}, b'{"error":"not found"}'
            end = start + page_size
            return 200, {}, page_of(items, str(end) if end < len(markets) else None)

        self.answer = answer

    def filters(self, markets: list[dict[str, Any]], page_size: int = 100) -> None:
        """Serve the keyset listing of these markets, with the filters that Gamma has."""

        def answer(path: str, params: Params) -> Answer:
            if path != "/markets/keyset":
                return 404, {}, b'{"error":"not found"}'
            is_closed = params.get("closed", ["false"]) == ["true"]
            names = params.get("condition_ids")
            since = params.get("start_date_min", [""])[0]
            rows = [
                market
                for market in markets
                if bool(market.get("closed")) is is_closed
                and (names is None or market["conditionId"] in names)
                and (not since or market.get("startDate", "") >= since)
            ]
            start = int(params.get("after_cursor", ["0"])[0])
            end = start + page_size
            more = str(end) if end < len(rows) else None
            return 200, {}, page_of(rows[start:end], more)

        self.answer = answer

    def take(self, path: str, params: Params) -> Answer:
        self.requests.append((path, params))
        return self.first.pop(0) if self.first else self.answer(path, params)


@pytest.fixture
def make_market() -> Callable[..., dict[str, Any]]:
    return market_of


@pytest.fixture
def make_page() -> Callable[..., bytes]:
    return page_of


@pytest.fixture
def venue() -> Iterator[Venue]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # head and body leave together

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            served.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = served.take(parts.path, parse_qs(parts.query))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # a client that hangs up is part of some tests

    with Server(("127.0.0.1", 0), Handler) as server:
        served = Venue(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the program as a process of its own, without what the caller's environment says."""
    environment = {key: value for key, value in os.environ.items() if key[:3] != "PM_"}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "pm_universe", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, timeout=60, env=environment, check=False
        )

    return run


@pytest.fixture
def call(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the program in this process: what `run` does, where a process of its own adds nothing."""
    for name in os.environ:
        if name.startswith("PM_"):
            monkeypatch.delenv(name)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        argv = list(map(str, arguments))
        capsysbinary.readouterr()
        try:
            code = main(argv)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        printed = capsysbinary.readouterr()
        return subprocess.CompletedProcess(argv, code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Return the folder of recorded Gamma answers, which stands beside the repository."""
    folder = Path(__file__).parents[4] / "shared" / "data" / "gamma"
    if not folder.is_dir():
        pytest.skip(f"no recorded answers at {folder}")
    return folder
