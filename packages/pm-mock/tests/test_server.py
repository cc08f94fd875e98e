"""The shell with real sockets on loopback: a real WebSocket client and a real HTTP client."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from pm_frames import read_frames
from pm_mock.compose import Options, compose, read_ingredients
from pm_mock.server import HIGH_WATER, Running, serve
from pm_mock.venue import Venue

REAL = Path(__file__).parents[4] / "shared" / "data" / "frames"
WAIT_S = 30


class Site:
    """A running venue, and the clients' side of it."""

    def __init__(self, running: Running, http: httpx2.AsyncClient) -> None:
        self.running = running
        self.http = http
        self.counts: dict[str, int | float] = {}

    def websocket(self, path: str = "/ws/market") -> connect:
        url = f"ws://{self.running.host}:{self.running.port}{path}"
        # This client stops reading when it closes, so a full pipe would make it wait for its timeout.
        return connect(url, proxy=None, max_size=None, ping_interval=None, close_timeout=0.2)

    async def get(self, path: str, **parameters: str) -> Any:
        answer = await self.http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    async def tokens(self) -> list[str]:
        """The tokens that have a book, by paging through Gamma as a client does."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.get("/markets/keyset", limit="7", **cursor)
            for market in page["markets"]:
                ids = market.get("clobTokenIds") or []
                ids = json.loads(ids) if isinstance(ids, str) else ids
                if len(ids) == 2 and market["acceptingOrders"] and market["active"]:
                    found += ids
            if "next_cursor" not in page:
                break
            cursor = {"after_cursor": page["next_cursor"]}
        books = await self.http.post("/books", json=[{"token_id": token} for token in found])
        return [book["asset_id"] for book in books.json()]


@contextlib.asynccontextmanager
async def site(options: Options, sent_log: Path | None = None) -> AsyncIterator[Site]:
    """Serve for the length of the block; the counts are there after it."""
    ingredients = read_ingredients(options)

    def make_venue(start_ns: int, wall_offset_ns: int) -> Venue:
        return compose(options, ingredients, start_ns=start_ns, wall_offset_ns=wall_offset_ns)

    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    served = asyncio.create_task(
        serve(
            make_venue,
            host="127.0.0.1",
            port=0,
            sent_log_dir=sent_log,
            on_ready=ready.set_result,
        )
    )
    running = await ready
    base = f"http://{running.host}:{running.port}"
    async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        made = Site(running, http)
        try:
            yield made
        finally:
            running.server.stop()
            made.counts = await asyncio.wait_for(served, WAIT_S)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


async def subscribe(websocket: ClientConnection, *tokens: str, **options: Any) -> None:
    form = {"assets_ids": tokens, "type": "market", **options}
    await websocket.send(json.dumps(form))


async def take(websocket: ClientConnection, count: int) -> list[bytes]:
    return [await websocket.recv(decode=False) for _ in range(count)]


async def until_closed(websocket: ClientConnection) -> tuple[list[bytes], ConnectionClosed]:
    got = []
    try:
        while True:
            got.append(await websocket.recv(decode=False))
    except ConnectionClosed as closed:
        return got, closed


def faults(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(text, encoding="utf-8")
    return path


def logged(directory: Path, number: int) -> list[bytes]:
    return [frame.payload for frame in read_frames(directory / f"connection_{number:04d}.frames")]


def lines(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "connections.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_what_a_client_gets_is_what_was_logged_and_it_adds_up(
    tmp_path: Path, naive_client: Callable[..., Any]
) -> None:
    got: list[bytes] = []
    facts: dict[str, Any] = {}
    local: list[str] = []

    async def scenario() -> None:
        async with site(Options(seed=7, markets=6, rate=0), tmp_path / "log") as venue:
            tokens = await venue.tokens()
            assert len(tokens) == 12
            for token in tokens:
                facts[token] = await venue.get("/book", token_id=token)
            async with venue.websocket() as websocket:
                host, port = websocket.local_address[:2]
                local.append(f"{host}:{port}")
                await subscribe(websocket, *tokens, custom_feature_enabled=True)
                got.extend(await take(websocket, 3000))
        assert venue.counts["frames_sent"] >= 3000
        assert venue.counts["handshakes"] == 1

    play(scenario)
    assert logged(tmp_path / "log", 1)[:3000] == got
    [line] = lines(tmp_path / "log")
    assert (line["connection"], line["remote"], line["how"]) == (1, local[0], "peer")
    client = naive_client(facts.__getitem__)
    client.play(got, leave=500)
    assert client.checked > 1000


def test_the_protocol_of_a_connection() -> None:
    async def scenario() -> None:
        async with site(Options(markets=4, rate=200, lifecycle_seconds=0)) as venue:
            tokens = await venue.tokens()
            async with venue.websocket() as websocket:
                await websocket.send("PING")
                assert await websocket.recv() == "PONG"
                await subscribe(websocket, "12345")
                assert await websocket.recv() == "[]"
                await subscribe(websocket, *tokens)
                assert await websocket.recv() == "INVALID OPERATION"
                await websocket.send("{")
                assert await websocket.recv() == "INVALID OPERATION"
                await websocket.send(b"binary")
                assert await websocket.recv() == "INVALID OPERATION"
                await websocket.send(json.dumps({"operation": "subscribe", "assets_ids": tokens}))
                array = json.loads(await websocket.recv())
                assert {book["asset_id"] for book in array} == set(tokens)
                deltas = await take(websocket, 20)
                assert all(delta.startswith((b'{"market":', b'[{"market":')) for delta in deltas)
                await websocket.send(json.dumps({"operation": "unsubscribe", "assets_ids": tokens}))
                await websocket.send("PING")
                while await websocket.recv() != "PONG":
                    pass
                await websocket.send("PING")
                assert await websocket.recv() == "PONG", "nothing came in between"

    play(scenario)


def test_two_connections_with_different_tokens() -> None:
    async def scenario() -> None:
        async with site(Options(markets=6, rate=500, lifecycle_seconds=0)) as venue:
            tokens = await venue.tokens()
            async with venue.websocket() as one, venue.websocket() as other:
                await subscribe(one, *tokens[:2])
                await subscribe(other, *tokens[2:])
                for websocket, own in ((one, tokens[:2]), (other, tokens[2:])):
                    for payload in await take(websocket, 15):
                        assert any(token.encode() in payload for token in own)

    play(scenario)


def test_http_requests_share_the_port_and_the_connection() -> None:
    async def scenario() -> None:
        async with site(Options(markets=5)) as venue:
            assert await venue.get("/ok") == "OK"
            assert await venue.get("/api/geoblock")
            assert (await venue.http.get("/nothing")).status_code == 404
            assert (await venue.http.get("/markets/keyset?limit=1000")).status_code == 422
            tokens = await venue.tokens()
            assert len(tokens) == 10
            event = (await venue.get("/events/keyset"))["events"][0]
            assert event["markets"]
            with pytest.raises(InvalidStatus, match="404"):
                async with venue.websocket("/ws/user"):
                    pass

    play(scenario)


def test_gamma_faults_reach_a_client(tmp_path: Path) -> None:
    script = faults(
        tmp_path,
        '[[fault]]\nkind="gamma_429"\ncount=1\nretry_after=1\n'
        '[[fault]]\nkind="gamma_500"\ncount=1\n[[fault]]\nkind="gamma_garbage"\ncount=1\n',
    )

    async def scenario() -> None:
        async with site(Options(markets=4, faults=script)) as venue:
            answers = [await venue.http.get("/markets/keyset") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [429, 500, 200, 200]
            assert answers[0].headers["Retry-After"] == "1"
            assert answers[2].text.startswith("<html>")
            assert answers[3].json()["markets"]

    play(scenario)


def test_connections_are_refused_and_closed_as_scripted(tmp_path: Path) -> None:
    script = faults(
        tmp_path,
        '[[fault]]\nkind="refuse"\nconnection=1\n'
        '[[fault]]\nkind="refuse"\nconnection=2\nstatus=0\n'
        '[[fault]]\nkind="close"\nsince="open"\nat=0.05\nconnection=3\ncode=1012\nreason="restart"\n'
        '[[fault]]\nkind="close"\nsince="open"\nat=0.05\nconnection=4\ncode=1006\n',
    )

    async def scenario() -> None:
        options = Options(markets=4, rate=500, faults=script)
        async with site(options, tmp_path / "log") as venue:
            tokens = await venue.tokens()
            with pytest.raises(InvalidStatus, match="503"):
                async with venue.websocket():
                    pass
            with pytest.raises((InvalidMessage, ConnectionError)):
                async with venue.websocket():
                    pass
            got: dict[int, list[bytes]] = {}
            for number in (3, 4):
                async with venue.websocket() as websocket:
                    await subscribe(websocket, *tokens)
                    got[number], closed = await until_closed(websocket)
                if number == 3:
                    assert closed.rcvd is not None
                    assert (closed.rcvd.code, closed.rcvd.reason) == (1012, "restart")
                else:
                    assert closed.rcvd is None
                sent = logged(tmp_path / "log", number)
                assert sent[: len(got[number])] == got[number]
            assert logged(tmp_path / "log", 3) == got[3], "a clean close loses nothing"

    play(scenario)
    assert [(line["connection"], line["how"]) for line in lines(tmp_path / "log")] == [
        (1, "refused"),
        (2, "refused"),
        (3, "fault"),
        (4, "fault"),
    ]


def test_a_frozen_connection_still_answers_ping_and_garbage_comes(tmp_path: Path) -> None:
    script = faults(
        tmp_path,
        '[[fault]]\nkind="garbage"\nsince="open"\nat=0\ntext="<oops>"\n'
        '[[fault]]\nkind="freeze"\nsince="open"\nat=0.1\n',
    )

    async def scenario() -> None:
        async with site(Options(markets=4, rate=500, faults=script)) as venue:
            async with venue.websocket() as websocket:
                assert await websocket.recv() == "<oops>"
                await subscribe(websocket, *await venue.tokens())
                await websocket.send("PING")
                while await websocket.recv() != "PONG":
                    pass
                faults_struck = 0
                while faults_struck < 2:
                    faults_struck = venue.running.server.venue.counts()["faults"]
                    await venue.get("/ok")
                await websocket.send("PING")
                while await websocket.recv() != "PONG":
                    pass
                await websocket.send("PING")
                assert await websocket.recv() == "PONG", "no data since the freeze"

    play(scenario)


def test_a_slow_reader_pauses_the_venue_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        options = Options(seed=2, markets=8, rate=0, lifecycle_seconds=0)
        async with site(options, tmp_path / "log") as venue:
            tokens = await venue.tokens()
            async with venue.websocket() as slow:
                await subscribe(slow, *tokens)
                [connection] = venue.running.server.connections.values()
                unsent = connection.transport.get_write_buffer_size
                # Nobody reads `slow`: the client, the kernel and then our buffer fill up.
                while unsent() <= HIGH_WATER // 2 or venue.running.server.venue.deadline():
                    await venue.get("/ok")
                before = venue.running.server.venue.counts()["engine_events"]
                for _ in range(20):
                    await venue.get("/ok")
                assert venue.running.server.venue.counts()["engine_events"] == before
                assert unsent() < 4 * HIGH_WATER
                backlog = venue.running.server.frames_sent
                got = await take(slow, backlog + 1000)
            assert logged(tmp_path / "log", 1)[: len(got)] == got

    play(scenario)


def test_a_recording_arrives_byte_for_byte(tmp_path: Path) -> None:
    sent = [
        b'[{"asset_id":"11","market":"0xc0","event_type":"book"}]',
        b"[]",
        b"x" * 70_000,
        b"{}  ",
    ]
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join(sent) + b"\n")

    async def scenario() -> None:
        options = Options(recording=path, repeat=300)
        async with site(options, tmp_path / "log") as venue:
            async with venue.websocket() as websocket:
                await subscribe(websocket, "11")
                assert await take(websocket, 1200) == sent * 300
                await websocket.send("PING")
                assert await websocket.recv() == "PONG"

    play(scenario)
    assert logged(tmp_path / "log", 1) == [*sent * 300, b"PONG"]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data beside the repository")
@pytest.mark.parametrize("name", ["frames_2025-12-23.jsonl", "vendor_semi_real_messages.jsonl"])
def test_a_real_recording_arrives_byte_for_byte_at_whoever_finds_its_tokens(name: str) -> None:
    sent = [line for line in (REAL / name).read_bytes().split(b"\n") if line]

    async def scenario() -> None:
        async with site(Options(recording=REAL / name)) as venue:
            markets = (await venue.get("/markets/keyset", limit="100"))["markets"]
            tokens = [token for one in markets for token in json.loads(one["clobTokenIds"])]
            assert tokens
            async with venue.websocket() as websocket:
                await subscribe(websocket, *tokens)
                assert await take(websocket, len(sent)) == sent

    play(scenario)


def test_the_venue_ends_by_itself_and_says_goodbye() -> None:
    async def scenario() -> None:
        async with site(Options(markets=4, duration_seconds=2)) as venue:
            async with venue.websocket() as websocket:
                await subscribe(websocket, *await venue.tokens())
                got, closed = await until_closed(websocket)
                assert got
                assert closed.rcvd is not None
                assert closed.rcvd.code == 1001
        assert venue.counts["elapsed_seconds"] >= 2

    play(scenario)


def test_bytes_that_are_no_http_are_answered() -> None:
    async def scenario() -> None:
        async with site(Options(markets=4)) as venue:
            reader, writer = await asyncio.open_connection("127.0.0.1", venue.running.port)
            writer.write(b"\x16\x03\x01\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            await writer.wait_closed()

    play(scenario)
