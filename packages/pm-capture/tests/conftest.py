"""An honest little venue on loopback, and what tests ask of a run."""

import asyncio
import contextlib
import errno
import itertools
import json
import signal
import ssl
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Protocol

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol

from pm_capture.actions import Action
from pm_capture.daemon import Shell, capture
from pm_capture.settings import resolve
from pm_capture.stamper import Stamper
from pm_frames import Frame
from pm_frames.bundle import open_bundle
from pm_frames.files import OsFiles
from pm_frames.runlog import read_runlog

Script = Callable[[ServerConnection, int], Awaitable[None]]


def book(token_id: str, **more: object) -> dict[str, object]:
    """A `book` event of a token."""
    return {
        "market": "0xm",
        "asset_id": token_id,
        "bids": [],
        "asks": [],
        **more,
        "event_type": "book",
    }


async def answer(connection: ServerConnection, number: int) -> None:
    """Behave: books for what is subscribed, PONG for PING, until the client goes."""
    async for text in connection:
        if text == "PING":
            await connection.send("PONG")
            continue
        request = json.loads(text)
        if request.get("operation") != "unsubscribe":
            await connection.send(json.dumps([book(token) for token in request["assets_ids"]]))


@dataclass
class Venue:
    """A market channel whose behaviour on each connection is a script."""

    script: Script = answer
    opened: int = 0
    heard: list[tuple[int, str]] = field(default_factory=list)
    server: Server | None = None

    async def __aenter__(self) -> "Venue":
        self.server = await serve(
            self._serve, "127.0.0.1", 0, ping_interval=None, max_size=None, compression=None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.server is not None
        self.server.close()
        await self.server.wait_closed()

    @property
    def url(self) -> str:
        assert self.server is not None
        port = next(iter(self.server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/ws/market"

    async def _serve(self, connection: ServerConnection) -> None:
        self.opened += 1
        number = self.opened
        try:
            await self.script(connection, number)
        except ConnectionClosed:
            pass


@dataclass
class LeftRun:
    """What a run left on disk."""

    path: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(read_runlog(self.path / "runlog.ndjson"))

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["record_type"] in types]

    def frames(self, shard_id: int = 0) -> list[Frame]:
        [shard] = [s for s in open_bundle(self.path).shards() if s.shard_id == shard_id]
        return list(shard.frames())

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))


Feed = Callable[[int], object]
Seen = list[tuple[int, object]]


class Machine(Protocol):
    """The house protocol of policies."""

    def deadline(self) -> int | None: ...

    def deadline_reached(self, now: int, /) -> list[Action]: ...


def _play(machine: Machine, script: list[tuple[int, Feed]], *, until: int) -> Seen:
    """Drive a machine as the daemon does, with a clock that is a variable.

    Returns what it did when its deadlines came, and what the feeds returned, each with its moment.
    """
    seen: Seen = []
    for now, feed in [*script, (until, lambda _: None)]:
        while (due := machine.deadline()) is not None and due <= now:
            assert machine.deadline_reached(due - 1) == []
            done = machine.deadline_reached(due)
            assert done or machine.deadline() != due, (
                "a deadline at which nothing happens, for ever"
            )
            seen += [(due, action) for action in done]
        answer = feed(now)
        seen += [(now, action) for action in answer] if isinstance(answer, list) else []
    return seen


@pytest.fixture
def play() -> Callable[..., Seen]:
    return _play


class FullDisk(OsFiles):
    """The real files until `room` bytes have been written to paths with `suffix`; then the disk is full."""

    def __init__(self, room: int, suffix: str = "") -> None:
        self.room = room
        self._suffix = suffix
        self._watched: set[int] = set()

    def open_append(self, path: Path) -> int:
        fd = super().open_append(path)
        if path.name.endswith(self._suffix):
            self._watched.add(fd)
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if fd in self._watched:
            taken = min(len(data), self.room)
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= taken
            data = data[:taken]
        return super().write(fd, data)


class BrokenSync(OsFiles):
    """The real files, but paths with `suffix` do not become durable any more once `broken` is set."""

    broken = False

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._watched: set[int] = set()

    def open_append(self, path: Path) -> int:
        fd = super().open_append(path)
        (self._watched.add if path.name.endswith(self._suffix) else self._watched.discard)(fd)
        return fd

    def sync(self, fd: int) -> None:
        if self.broken and fd in self._watched:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)


@pytest.fixture
def full_disk() -> type[FullDisk]:
    return FullDisk


@pytest.fixture
def broken_sync() -> type[BrokenSync]:
    return BrokenSync


@pytest.fixture
def left_run() -> type[LeftRun]:
    return LeftRun


@pytest.fixture
def ticking() -> Stamper:
    """A stamper whose clocks move on by one with every reading."""
    mono, wall = itertools.count(1), itertools.count(1_000_000)
    return Stamper(lambda: next(mono), lambda: next(wall))


def universe_text(tokens: int) -> bytes:
    """A universe of markets with two tokens each: `10` and `11`, `20` and `21`, …"""
    markets = [
        {
            "market_id": str(number),
            "condition_id": f"0x{number:064x}",
            "tokens": [{"token_id": f"{number}{leg}", "outcome": leg} for leg in "01"],
        }
        for number in range(1, tokens // 2 + 1)
    ]
    document = {"universe_version": 0, "kind": "full", "selection": {}, "markets": markets}
    return json.dumps(document).encode()


@dataclass
class Done:
    """How a capture ended, what it left, and what it said."""

    code: int
    left: LeftRun
    words: list[str]


Capture = Callable[..., Awaitable[Done]]


@pytest.fixture
def universe_file(tmp_path: Path) -> Path:
    path = tmp_path / "universe.json"
    path.write_bytes(universe_text(2))
    return path


@pytest.fixture
def capture_venue(tmp_path: Path, universe_file: Path) -> Capture:
    """Capture a venue in this process until a signal, the duration, a fatal error, or certain words."""

    async def run(
        url: str,
        *,
        until_said: str | None = None,
        clocks: Mapping[str, Callable[[], int]] = MappingProxyType({}),
        **flags: object,
    ) -> Done:
        words: list[str] = []

        def say(text: str) -> None:
            words.append(text)
            if until_said is not None and until_said in text:
                signal.raise_signal(signal.SIGTERM)

        announced: list[Path] = []
        given = {"run_id": "r", "data_dir": str(tmp_path), "universe": str(universe_file),
                 "clob_ws_url": url, "ws_shards": 1,
                 "capture_reserve_mb": 0, "min_free_disk_gb": 0, **flags}  # fmt: skip
        shell = Shell(say=say, announce=announced.append, environ={}, event_loop="x", **clocks)  # type: ignore[arg-type]
        resolved = resolve(flags={k: str(v) for k, v in given.items()}, environ={})
        code = await capture(resolved, shell)
        path = tmp_path / "runs" / str(given["run_id"])
        assert announced[:1] in ([path], []), "announced before a socket opens, or not at all"
        return Done(code, LeftRun(path), words)

    return run


@pytest.fixture(params=["asyncio", "uvloop"])
def run_in_loop(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end, on each event loop that pm-capture can run on."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run


@pytest.fixture
def new_venue() -> Callable[..., Venue]:
    return Venue


@pytest.fixture
def answering() -> Script:
    return answer


@dataclass
class Wire:
    """One bare socket of a venue, after the client's handshake request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: ServerProtocol
    response: bytes  # what accepts the handshake

    async def heard(self) -> None:
        """Wait for a whole message of the client."""
        while not self.protocol.events_received():
            self.protocol.receive_data(await self.reader.read(65536))

    async def closing(self) -> None:
        """Wait for the client's close frame; returning closes the socket, which is the answer."""
        while self.protocol.close_rcvd is None and (data := await self.reader.read(65536)):
            self.protocol.receive_data(data)


@dataclass
class BareVenue:
    """A server that does with each bare socket only what its script does."""

    script: Callable[[Wire, int], Awaitable[None]]
    tls: ssl.SSLContext | None = None
    opened: int = 0
    server: asyncio.Server | None = None

    async def __aenter__(self) -> "BareVenue":
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.server is not None
        self.server.close()

    @property
    def url(self) -> str:
        scheme = "ws" if self.tls is None else "wss"
        return f"{scheme}://127.0.0.1:{self.port}/ws/market"

    @property
    def port(self) -> int:
        assert self.server is not None
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        [request] = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        response = b"".join(protocol.data_to_send())
        with contextlib.suppress(OSError):
            await self.script(Wire(reader, writer, protocol, response), number)
        writer.close()


@pytest.fixture
def bare_venue() -> type[BareVenue]:
    return BareVenue


# Stands in for pm-universe: the generation that it is asked for, if the test has laid it out.
PROGRAM = """\
import hashlib, json, pathlib, shutil, sys, time
words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
here = pathlib.Path(__file__).parent
since = words.get("--since")
versions = [int(p.stem) for p in pathlib.Path(since).glob("[0-9]*.json")] if since else [-1]
given = here / f"{max(versions) + 1}.json"
(here / "asked").open("a").write(" ".join(sys.argv[1:]) + "\\n")
if since and (here / "hang").exists():
    (pathlib.Path(words["--out"]).parent / "left over").write_text("x")
    (here / "hanging").write_text("x")
    time.sleep(600)
if since and (here / "refuse").exists():
    sys.exit("first words\\nthe venue said no")
if given.exists():
    shutil.copy(given, words["--out"])
print(json.dumps({"gamma_pages_fetched": 3, "markets_seen": 9, "tokens_selected": 4}))
"""


@dataclass
class Listing:
    """The universes that the stand-in for pm-universe will find, one after the other."""

    folder: Path
    version: int = 0

    @staticmethod
    def row(name: str, *tokens: str) -> dict[str, Any]:
        """A market of the listing."""
        return {
            "market_id": name, "condition_id": f"0x{name}",
            "tokens": [{"token_id": token, "outcome": token} for token in tokens],
        }  # fmt: skip

    def full(self, *markets: dict[str, Any]) -> None:
        document = {"universe_version": 0, "kind": "full", "markets": markets}
        (self.folder / "0.json").write_text(json.dumps(document))

    def delta(
        self, added: Sequence[dict[str, Any]] = (), removed: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.version += 1
        gone = [
            {**{k: each[k] for k in ("market_id", "condition_id")}, "reason": "closed",
             "token_ids": [token["token_id"] for token in each["tokens"]]}
            for each in removed
        ]  # fmt: skip
        document = {
            "universe_version": self.version, "kind": "delta", "changed": [], "added": added,
            "since": {"universe_version": self.version - 1}, "removed": gone,
        }  # fmt: skip
        aside = self.folder / "aside"
        aside.write_text(json.dumps(document))
        aside.rename(self.folder / f"{self.version}.json")

    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "pm-universe"
    program.write_text(f"#!{sys.executable} -S\n{PROGRAM}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Listing(folder)


@pytest.fixture
def follow_venue(
    tmp_path: Path, listing: Listing, left_run: Callable[..., Any]
) -> Callable[..., Any]:
    """Capture what `listing` finds, asking it again every 50 ms, until a signal or certain words."""

    async def run(
        url: str,
        *,
        until_said: str | None = None,
        heard: Callable[[str], None] = lambda _: None,
        **flags: object,
    ) -> SimpleNamespace:
        words: list[str] = []

        def say(text: str) -> None:
            words.append(text)
            heard(text)
            if until_said is not None and until_said in text:
                signal.raise_signal(signal.SIGTERM)

        given = {
            "run_id": "r", "data_dir": str(tmp_path), "clob_ws_url": url, "ws_shards": 1,
            "capture_universe_refresh_interval_seconds": 0.05,
            "capture_universe_refresh_stagger_seconds": 0.01,
            "capture_universe_refresh_max_churn_pct": 0, "ws_reconnect_backoff_seconds": 0.001,
            "duration_seconds": 60, **flags,
        }  # fmt: skip
        shell = Shell(
            say=say, announce=lambda _: None, environ={"PATH": str(listing.folder)}, event_loop="x"
        )
        resolved = resolve(flags={k: str(v) for k, v in given.items()}, environ={})
        code = await capture(resolved, shell)
        left = left_run(tmp_path / "runs" / str(given["run_id"]))
        return SimpleNamespace(code=code, left=left, words=words)

    return run
