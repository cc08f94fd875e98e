"""picows and websockets, given the same bytes, tell the same; skipped where picows has no wheel."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidHandshake, InvalidStatus

from pm_capture import transport
from pm_capture.carriers import carrier
from pm_capture.shard_session import Ended
from pm_capture.transport import Connection, describe_failure
from pm_frames.layout import PAYLOAD_MAX

pytest.importorskip("picows", reason="the extra `picows` is not installed")

OPENERS = (carrier("websockets")[1], carrier("picows")[1])
WAIT_SECONDS = 20


class Told:
    """A sink that keeps what it is told; stamps count up."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, list[tuple[int, bytes]]]] = []
        self.addresses = ("", "")
        self.over: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._clock = 0

    def stamp(self) -> tuple[int, int]:
        self._clock += 1
        return self._clock, self._clock

    def opened(self, connection: Connection) -> None:
        opened = connection.described("", 0)
        self.addresses = (opened.local_address.split(":")[0], opened.remote_address.split(":")[0])
        connection.send_now("hello")

    def received(
        self, connection: Connection, frames: Sequence[tuple[int, bytes]], stamp: tuple[int, int]
    ) -> None:
        assert frames
        self.reads.append((stamp[0], list(frames)))

    def lost(self, connection: Connection, ended: Ended) -> None:
        self.over.set_result(ended)

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return [frame for _, frames in self.reads for frame in frames]


def wire(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 0x10000:
        return bytes([first, 126]) + length.to_bytes(2, "big") + payload
    return bytes([first, 127]) + length.to_bytes(8, "big") + payload


async def both(
    bare_venue: Callable[..., Any],
    script: Callable[[Any, int], Awaitable[None]],
    drive: Callable[[Any], Awaitable[None]] | None = None,
) -> list[tuple[Any, ...]]:
    """Run a script against both; return (frames, ended without the words of errors, addresses)."""
    results = []
    for open_connection in OPENERS:

        async def listening(one: Any, number: int) -> None:
            await script(one, number)
            while await one.reader.read(65536):
                pass

        async with asyncio.timeout(WAIT_SECONDS), bare_venue(listening) as venue:
            told = Told()
            connection: Any = await open_connection(
                venue.url, told, open_seconds=10.0, user_agent="test"
            )
            if drive is not None:
                await drive(connection)
            ended = await told.over
            await connection.wait_closed()
        stamps = [at for at, _ in told.reads]
        assert stamps == sorted(set(stamps)), "one stamp for each read, and none twice"
        verdict = (ended.close_code, ended.close_reason, ended.close_was_clean, ended.error is None)
        results.append((told.frames, verdict, told.addresses))
    return results


def alike(run: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    websockets, picows = run(both(*arguments))
    assert picows == websockets
    return picows  # type: ignore[no-any-return]


def sends(*reads: bytes, reset: bool = False) -> Callable[[Any, int], Awaitable[None]]:
    """Accept, hear the greeting, send bytes, and close the socket."""

    async def script(one: Any, number: int) -> None:
        one.writer.write(one.response)
        await one.heard()
        for read in reads:
            one.writer.write(read)
            await one.writer.drain()
        if reset:
            raw = one.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.writer.transport.abort()
        else:
            one.writer.write_eof()

    return script


TEXT = wire(0x81, b'{"a":1}')
CASES = {
    "nothing": b"",
    "text": TEXT,
    "all types": TEXT + wire(0x82, b"\x00\xff") + wire(0x81, b"") + wire(0x81, b"PONG"),
    "long": wire(0x81, b"x" * 125) + wire(0x81, b"y" * 126) + wire(0x81, b"z" * 70_000),
    "not UTF-8": wire(0x81, b"\xff\xfe"),
    "fragments": wire(0x01, b"a") + wire(0x89, b"p") + wire(0x00, b"b") + wire(0x80, b"c") + TEXT,
    "fragments of a PONG": wire(0x01, b"PO") + wire(0x80, b"NG"),
    "binary fragments": wire(0x02, b"a") + wire(0x80, b"b"),
    "ping, pong": wire(0x89, b"x" * 125) + wire(0x8A, b"unasked") + TEXT,
    "close": TEXT + wire(0x88, b"\x03\xe8bye") + wire(0x81, b"late"),
    "close of the application": wire(0x88, b"\x0f\xa1why"),
    "close without a code": wire(0x88, b""),
    "close with one byte": wire(0x88, b"\x03"),
    "close with a code of nobody": wire(0x88, b"\x03\xee"),
    "close with code 0": wire(0x88, b"\x00\x00"),
    "close with bad words": wire(0x88, b"\x03\xe8\xff"),
    "masked": TEXT + b"\x81\x81\x00\x00\x00\x00x",
    "reserved bit": TEXT + wire(0xC1, b"x") + TEXT,
    "reserved opcode": TEXT + wire(0x83, b"x") + TEXT,
    "long control frame": TEXT + wire(0x89, b"x" * 126),
    "control frame in fragments": TEXT + wire(0x09, b"x"),
    "continuation of nothing": TEXT + wire(0x80, b"x") + TEXT,
    "text among fragments": wire(0x01, b"a") + TEXT + TEXT,
    "over the limit": TEXT + b"\x81\x7f" + (PAYLOAD_MAX + 1).to_bytes(8, "big") + b"x" * 99,
    "beyond all limits": TEXT + b"\x81\x7f" + b"\xff" * 8,
    "garbage": TEXT + b"HTTP/1.1 200 OK\r\n\r\n" + b"not what you think" * 9,
    "torn": TEXT + b"\x81\x7e\x01",
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_bytes_are_told_alike(
    name: str, run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    alike(run_in_loop, bare_venue, sends(CASES[name]))


def test_what_is_told_is_what_was_sent(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    stream = CASES["fragments"] + CASES["all types"] + CASES["close"]
    frames, verdict, addresses = alike(run_in_loop, bare_venue, sends(stream))
    assert [payload for _, payload in frames] == [
        b"abc", b'{"a":1}', b'{"a":1}', b"\x00\xff", b"", b"PONG", b'{"a":1}',
    ]  # fmt: skip
    assert [flags for flags, _ in frames] == [0x101, 1, 1, 2, 1, 0x201, 1]
    assert verdict == (1000, "bye", True, True)
    assert addresses == ("127.0.0.1", "127.0.0.1")


def test_a_reset_is_an_error(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    _, verdict, _ = alike(run_in_loop, bare_venue, sends(reset=True))
    assert verdict == (1006, "", False, False)


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 30])
def test_frames_that_come_with_the_handshake(
    cut: int, run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    first = TEXT + wire(0x81, b"second")

    async def script(one: Any, number: int) -> None:
        one.writer.write(one.response + first[:cut])
        await one.heard()
        one.writer.write(first[cut:])
        one.writer.write_eof()

    frames, _, _ = alike(run_in_loop, bare_venue, script)
    assert [payload for _, payload in frames] == [b'{"a":1}', b"second"]


def test_our_close_takes_what_was_still_under_way(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    async def script(one: Any, number: int) -> None:
        one.writer.write(one.response)
        await one.closing()
        assert one.protocol.close_rcvd.code == 1000
        assert one.protocol.close_rcvd.reason == "the run ends"
        one.writer.write(TEXT + b"".join(one.protocol.data_to_send()))

    async def drive(connection: Any) -> None:
        await connection.close(reason="the run ends")

    frames, verdict, _ = alike(run_in_loop, bare_venue, script, drive)
    assert [payload for _, payload in frames] == [b'{"a":1}']
    assert verdict == (1000, "the run ends", True, True)


def test_a_ping_is_answered_with_what_it_carried(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    answers: list[tuple[int, bytes]] = []

    async def script(one: Any, number: int) -> None:
        one.writer.write(one.response)
        await one.heard()
        one.writer.write(wire(0x89, b"are you there") + TEXT)
        data = await one.reader.read(65536)  # one small frame, in one piece
        one.protocol.receive_data(data)
        answers.extend((int(f.opcode), bytes(f.data)) for f in one.protocol.events_received())
        one.writer.write_eof()

    alike(run_in_loop, bare_venue, script)
    assert answers == [(0x0A, b"are you there")] * 2


def test_a_drop_needs_no_answer(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any]
) -> None:
    async def drive(connection: Any) -> None:
        connection.drop()
        connection.send_now("into nothing")

    async def script(one: Any, number: int) -> None:
        one.writer.write(one.response)

    _, verdict, _ = alike(run_in_loop, bare_venue, script, drive)
    assert verdict == (1006, "", False, True)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_stream_in_any_reads(data: st.DataObject, bare_venue: Callable[..., Any]) -> None:
    """Regular and irregular frames of all sizes, cut anywhere."""
    frame = st.builds(
        wire,
        st.one_of(
            st.sampled_from([0x81, 0x81, 0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88]),
            st.integers(0, 255),
        ),
        st.one_of(st.binary(max_size=130), st.sampled_from([125, 126, 65536, 300_000]).map(bytes)),
    )
    stream = b"".join(data.draw(st.lists(frame, max_size=8)))
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    edges = sorted({0, len(stream), *places})
    reads = [stream[a:b] for a, b in pairwise(edges)]
    alike(asyncio.run, bare_venue, sends(*reads))


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def refused(answer: bytes | None, open_seconds: float = 10.0) -> list[tuple[str, str]]:
    """Return how both fail at a server that answers the handshake so; None: never."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    found = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for open_connection in OPENERS:
            with pytest.raises((OSError, EOFError, InvalidHandshake)) as caught:
                await open_connection(url, Told(), open_seconds=open_seconds, user_agent="test")
            found.append(describe_failure(caught.value))
        over.set()
    return found


def test_a_refusal_has_its_status(run_in_loop: Callable[..., Any]) -> None:
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    websockets, picows = run_in_loop(refused(answer))
    assert picows == websockets == (InvalidStatus.__name__, websockets[1])
    assert "503" in websockets[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"HTTP/1.1 101 X\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
)
def test_a_wrong_answer_is_a_failed_attempt(answer: bytes, run_in_loop: Callable[..., Any]) -> None:
    assert len(run_in_loop(refused(answer))) == 2


def test_no_answer_is_a_timeout(run_in_loop: Callable[..., Any]) -> None:
    websockets, picows = run_in_loop(refused(None, 0.1))
    assert picows == websockets == ("TimeoutError", "timed out during opening handshake")


def test_nobody_there(run_in_loop: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"ws://127.0.0.1:{free.getsockname()[1]}/"
        kinds = []
        for open_connection in OPENERS:
            with pytest.raises(ConnectionRefusedError) as caught:
                await open_connection(url, Told(), open_seconds=5.0, user_agent="test")
            kinds.append(type(caught.value).__name__)
        return kinds

    assert run_in_loop(main()) == ["ConnectionRefusedError"] * 2


def test_a_run_records_the_same(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    """The whole program, in this process: only the transport differs."""

    async def script(connection: Any, number: int) -> None:
        await connection.recv()
        await connection.send('[{"event_type":"book","asset_id":"10"}]')
        await connection.send(["frag", "mented"])
        await connection.ping()
        if number == 1:
            await connection.close(1011, "the engine restarts")
        else:
            async for text in connection:
                await connection.send("PONG" if text == "PING" else "?")

    async def main(name: str) -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url,
                run_id=name,
                duration_seconds=0.5,
                ws_ping_interval_seconds=0.05,
                ws_reconnect_backoff_seconds=0.001,
                ws_reconnect_backoff_max_seconds=0.001,
                clocks=dict(zip(("transport", "open"), carrier(name), strict=True)),
            )

    told = []
    for name in ("websockets", "picows"):
        done = run_in_loop(main(name))
        assert done.code == 0
        assert done.left.json("manifest.json")["environment"]["transport"] == name
        frames = [(frame.flags, frame.payload) for frame in done.left.frames()]
        assert (0x201, b"PONG") in frames
        fields = ("record_type", "trigger", "reason", "close_code", "close_reason",
                  "close_was_clean", "planned", "token_ids")  # fmt: skip
        records = [
            [record.get(field) for field in fields]
            for record in done.left.records
            if "shard_id" in record
        ]
        told.append(([frame for frame in frames if frame[1] != b"PONG"], records))
    assert told[1] == told[0]
    assert ["disconnect", "peer_closed"] in [record[:2] for record in told[0][1]]


def test_which_carrier() -> None:
    assert carrier("auto")[0] == "picows"
    assert carrier("websockets") == ("websockets", transport.open_connection)


@pytest.mark.parametrize(("wanted", "code"), [("picows", 2), ("auto", 0), ("curl", 2)])
def test_a_carrier_that_is_not_installed(
    wanted: str, code: int, tmp_path: Path, universe_file: Path
) -> None:
    without = (
        "import sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Gone(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'picows': raise ModuleNotFoundError('No module named picows', name=name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "from pm_capture.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, "--ws-transport", wanted, "--data-dir", str(tmp_path),
         "--universe", str(universe_file), "--duration-seconds", "0.1", "--min-free-disk-gb", "0",
         "--clob-ws-url", "ws://127.0.0.1:9/"],
        capture_output=True, text=True, timeout=60, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PM_")},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    if code:
        assert not (tmp_path / "runs").exists()
        words = {"picows": "pip install 'pm-capture[picows]'", "curl": "must be auto or websockets"}
        assert words[wanted] in done.stderr
