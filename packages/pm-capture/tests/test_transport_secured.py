"""TLS, and an HTTP proxy on the way, with real certificates and real sockets, for both carriers."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from pm_capture.carriers import carrier

HOST = "venue.test"  # nobody's name: only the proxy knows where it is
BOOK = b'[{"event_type":"book","asset_id":"10"},{"event_type":"book","asset_id":"11"}]'
LONG = b'{"filler":"' + bytes(range(97, 123)) * 30_000 + b'"}'  # many TLS records
SECRET = "swordfish"


def wire(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    return bytes([first, 127]) + length.to_bytes(8, "big") + payload


SENT = (
    wire(0x81, BOOK), wire(0x82, b"\x00\xff"), wire(0x01, b"frag"), wire(0x80, b"mented"),
    wire(0x81, LONG), *(wire(0x81, b'{"n":%d}' % number) for number in range(300)),
)  # fmt: skip
PAYLOADS = [
    BOOK, b"\x00\xff", b"fragmented", LONG, *(b'{"n":%d}' % number for number in range(300)),
]  # fmt: skip


async def sending(one: Any, number: int) -> None:
    """Behave as a venue, and end with a close frame."""
    one.writer.write(one.response)
    await one.heard()
    for frame in SENT:
        one.writer.write(frame)
        await one.writer.drain()
    one.writer.write(wire(0x88, b"\x03\xf3restart"))
    while await one.reader.read(65536):
        pass


async def torn(one: Any, number: int) -> None:
    """Send one frame, and cut the TCP stream without a word of TLS."""
    one.writer.write(one.response)
    await one.heard()
    one.writer.write(wire(0x81, BOOK))
    await one.writer.drain()
    await one.heard()  # a PING: the book has been read
    one.writer.transport.abort()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that OpenSSL believes, as an operator makes it believe one of theirs."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


def serving(authority: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **more).configure_cert(context)
    return context


@dataclass
class Proxy:
    """An HTTP proxy on loopback that takes every CONNECT to one port; or answers something else."""

    target: int
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    heads: list[str] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Proxy"]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        if b" 200 " in self.answer:
            there = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(_pumped(reader, there[1]), _pumped(there[0], writer))
        writer.close()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(params=["websockets", "picows"])
def capture_by(
    request: pytest.FixtureRequest, capture_venue: Callable[..., Any]
) -> Callable[..., Any]:
    """Capture with one of the carriers, in this process."""
    if request.param == "picows":
        pytest.importorskip("picows", reason="the extra `picows` is not installed")
    clocks = dict(zip(("transport", "open"), carrier(request.param), strict=True))

    async def run(url: str, until_said: str, **flags: object) -> Any:
        return await capture_venue(
            url, until_said=until_said, clocks=clocks, duration_seconds=20,
            ws_reconnect_backoff_seconds=30, **flags,
        )  # fmt: skip

    return run


def test_over_tls_every_byte_arrives(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_by: Callable[..., Any],
    trusted: trustme.CA,
) -> None:
    async def main() -> Any:
        async with bare_venue(sending, serving(trusted, "127.0.0.1")) as venue:
            return await capture_by(venue.url, "connection lost")

    done = run_in_loop(main())
    assert done.code == 0
    assert [frame.payload for frame in done.left.frames()] == PAYLOADS
    [opened], [lost] = done.left.of("ws_connect"), done.left.of("disconnect")
    assert opened["url"].startswith("wss://127.0.0.1:")
    assert opened["remote_address"].startswith("127.0.0.1:")
    told = (lost["trigger"], lost["close_code"], lost["close_reason"], lost["close_was_clean"])
    assert told == ("peer_closed", 1011, "restart", True)
    stamps = [frame.rx_mono_ns for frame in done.left.frames()]
    assert stamps == sorted(stamps)
    assert stamps[0] > opened["ts_mono_ns"]


def test_a_stream_that_is_cut_is_no_clean_end(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_by: Callable[..., Any],
    trusted: trustme.CA,
) -> None:
    async def main() -> Any:
        async with bare_venue(torn, serving(trusted, "127.0.0.1")) as venue:
            return await capture_by(venue.url, "connection lost", ws_ping_interval_seconds=0.05)

    done = run_in_loop(main())
    assert done.code == 0
    assert [frame.payload for frame in done.left.frames()] == [BOOK]
    [lost] = done.left.of("disconnect")
    assert (lost["planned"], lost["close_code"], lost["close_was_clean"]) == (False, 1006, False)


LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "more", "is_known", "words"),
    [
        (["127.0.0.1"], {}, False, "unable to get local issuer certificate"),
        (["example.org"], {}, True, "IP address mismatch"),
        (["127.0.0.1"], {"not_before": LONG_AGO, "not_after": LONG_AGO}, True, "has expired"),
    ],
)
def test_a_certificate_that_does_not_hold_is_a_failed_attempt_and_says_why(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_by: Callable[..., Any],
    trusted: trustme.CA,
    names: list[str],
    more: dict[str, Any],
    is_known: bool,
    words: str,
) -> None:
    tls = serving(trusted if is_known else trustme.CA(), *names, **more)

    async def main() -> Any:
        async with bare_venue(sending, tls) as venue:
            done = await capture_by(venue.url, "no connection")
            assert venue.opened == 0, "a request went to whom nobody trusts"
            return done

    done = run_in_loop(main())
    assert done.code == 0
    [failed] = done.left.of("connect_failed")
    assert (failed["attempt"], failed["error"]) == (1, "SSLCertVerificationError")
    assert words in failed["message"]
    assert done.left.of("ws_connect") == []
    assert any(words in said for said in done.words)


def test_a_peer_without_tls_is_a_failed_attempt(
    run_in_loop: Callable[..., Any], bare_venue: Callable[..., Any], capture_by: Callable[..., Any]
) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> Any:
        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await capture_by(f"wss://127.0.0.1:{port}/", "no connection")

    done = run_in_loop(main())
    assert done.code == 0
    [failed] = done.left.of("connect_failed")
    assert failed["error"] == "SSLError"


@pytest.mark.parametrize(("scheme", "port"), [("wss", 443), ("ws", 80)])
def test_through_a_proxy_every_byte_arrives(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_by: Callable[..., Any],
    trusted: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    port: int,
) -> None:
    async def main() -> tuple[Any, Proxy]:
        tls = serving(trusted, HOST) if scheme == "wss" else None
        async with bare_venue(sending, tls) as venue, Proxy(venue.port).listening() as proxy:
            monkeypatch.setenv("https_proxy", f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
            return await capture_by(f"{scheme}://{HOST}/ws/market", "connection lost"), proxy

    done, proxy = run_in_loop(main())
    assert done.code == 0
    assert [frame.payload for frame in done.left.frames()] == PAYLOADS
    [head] = proxy.heads
    assert head.startswith(f"CONNECT {HOST}:{port} HTTP/1.1\r\n")
    assert f"Proxy-Authorization: Basic {b64encode(f'me:{SECRET}'.encode()).decode()}\r\n" in head
    assert SECRET not in "".join(done.words)
    for path in done.left.path.rglob("*.*json"):
        assert SECRET not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ""),
        (b"", ""),
        (None, ""),  # nobody there
    ],
)
def test_a_proxy_that_does_not_connect_is_a_failed_attempt(
    run_in_loop: Callable[..., Any],
    capture_by: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    words: str,
) -> None:
    async def main() -> Any:
        async with Proxy(0, answer or b"").listening() as proxy:
            monkeypatch.setenv("https_proxy", f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
            if answer is not None:
                return await capture_by(f"wss://{HOST}/ws/market", "no connection")
        return await capture_by(f"wss://{HOST}/ws/market", "no connection")

    done = run_in_loop(main())
    assert done.code == 0
    [failed] = done.left.of("connect_failed")
    assert words in failed["message"]
    assert SECRET not in failed["message"]


def test_loopback_is_never_proxied(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_by: Callable[..., Any],
    trusted: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> Any:
        tls = serving(trusted, "127.0.0.1")
        async with bare_venue(sending, tls) as venue, Proxy(0).listening() as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            await capture_by(venue.url, "connection lost")
            return proxy.heads

    assert run_in_loop(main()) == []
