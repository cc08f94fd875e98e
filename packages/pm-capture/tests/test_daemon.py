"""A capture over real sockets: what arrives is what the bundle holds, and what is missing is accounted for."""

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from pm_frames import Flag
from pm_frames.watermark import read_watermark

TEXT, BINARY = int(Flag.TEXT), int(Flag.BINARY)
FIRST, KEEPALIVE = int(Flag.FIRST), int(Flag.KEEPALIVE)


def stop() -> None:
    """What the operator does."""
    signal.raise_signal(signal.SIGTERM)


def trigger_of(left: Any) -> list[str]:
    return [record["trigger"] for record in left.of("reconnect")]


def book(token: str) -> str:
    return json.dumps([{"asset_id": token, "event_type": "book"}])


def test_every_payload_is_recorded_byte_for_byte(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    big = '{"asset_id":"10", "event_type":"book"}' + " " * 700_000
    sent: list[Any] = [
        "[]", book("10"), "ä€\U0001f600\n", "", b"\x00\xff\xfe", ["frag", "", "ment", "ed"],
        [b"\x01", b"\x02"], "PONG", big, "PONG\n", ["PO", "NG"], "after",
    ]  # fmt: skip

    async def script(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        for message in sent:
            await connection.send(message)
        stop()
        await connection.wait_closed()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url)

    done = run_in_loop(main())
    assert done.code == 0
    frames = done.left.frames()
    wanted = [
        (TEXT | FIRST, b"[]"), (TEXT, book("10").encode()), (TEXT, "ä€\U0001f600\n".encode()),
        (TEXT, b""), (BINARY, b"\x00\xff\xfe"), (TEXT, b"fragmented"), (BINARY, b"\x01\x02"),
        (TEXT | KEEPALIVE, b"PONG"), (TEXT, big.encode()), (TEXT | KEEPALIVE, b"PONG\n"),
        (TEXT | KEEPALIVE, b"PONG"), (TEXT, b"after"),
    ]  # fmt: skip
    assert [(frame.flags, frame.payload) for frame in frames] == wanted
    seal = done.left.json("seal.json")
    assert (seal["frames_total"], seal["stop_reason"]) == (len(sent), "SIGTERM")
    [last] = done.left.of("disconnect")
    assert (last["planned"], last["close_was_clean"]) == (True, True)
    assert last["since_mono_ns"] == frames[-1].rx_mono_ns
    assert read_watermark(done.left.path / "capture" / "watermark") >= frames[-1].rx_mono_ns


def test_records_and_frames_are_in_order(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        for _ in range(200):
            await connection.send(book("10"))
        stop()
        await connection.wait_closed()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url)

    done = run_in_loop(main())
    records = done.left.records
    assert [record["record_type"] for record in records] == [
        "run_start", "monotonic_precision", "capture_start", "shard_open", "ws_connect",
        "subscribe_attempt", "subscribe_confirm_success", "disconnect", "capture_stop",
    ]  # fmt: skip
    stamps = [record["ts_mono_ns"] for record in records]
    assert stamps == sorted(set(stamps))
    frames = done.left.frames()
    rx = [frame.rx_mono_ns for frame in frames]
    assert rx == sorted(rx)
    by_type = {record["record_type"]: record["ts_mono_ns"] for record in records}
    assert by_type["subscribe_attempt"] < rx[0] < by_type["subscribe_confirm_success"]
    assert rx[-1] < by_type["disconnect"] < by_type["capture_stop"]
    manifest = done.left.json("manifest.json")
    assert manifest["t0_mono_ns"] < stamps[0]
    assert manifest["shards"]["assignments"]["0"]["token_ids"] == ["10", "11"]
    assert records[-1]["durable_frames_total"] == 200


def test_frames_that_come_with_the_handshake_belong_to_the_connection(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(wire: Any, _: int) -> None:
        wire.writer.write(wire.response + b"\x81\x05first\x81\x06sec")
        await wire.heard()
        wire.writer.write(b"ond")
        stop()
        await wire.closing()

    async def main() -> Any:
        async with bare_venue(script) as venue:
            return await capture_venue(venue.url)

    done = run_in_loop(main())
    assert done.code == 0
    frames = done.left.frames()
    assert [frame.payload for frame in frames] == [b"first", b"second"]
    [connected] = done.left.of("ws_connect")
    assert connected["ts_mono_ns"] < frames[0].rx_mono_ns
    assert connected["connect_ns"] > 0


def test_what_the_kernel_holds_when_the_peer_closes_is_not_lost(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    frame = b"\x81\x7e\x04\x00" + b"x" * 1024

    async def script(wire: Any, number: int) -> None:
        wire.writer.write(wire.response)
        # A server that closes with our request unread resets the connection, and its own kernel
        # throws away what it had not sent; that is not the loss this is about.
        await wire.heard()
        if number == 1:
            wire.writer.write(frame * 3000 + b"\x88\x02\x03\xe9")
            return
        stop()
        await wire.closing()

    async def main() -> Any:
        async with bare_venue(script) as venue:
            return await capture_venue(venue.url, ws_reconnect_backoff_seconds=0.001)

    done = run_in_loop(main())
    frames = done.left.frames()
    assert len(frames) == 3000
    assert {frame.payload for frame in frames} == {b"x" * 1024}
    lost, _ = done.left.of("disconnect")
    assert (lost["trigger"], lost["close_code"]) == ("peer_closed", 1001)
    assert lost["since_mono_ns"] == frames[-1].rx_mono_ns


def test_a_peer_that_closes_midway_is_accounted_for(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send(book("10"))
        if number == 1:
            await connection.close(1012, "restart")
            return
        stop()
        await connection.wait_closed()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url, ws_reconnect_backoff_seconds=0.001)

    done = run_in_loop(main())
    first, second = done.left.frames()
    assert first.flags == second.flags == TEXT | FIRST
    lost, planned = done.left.of("disconnect")
    assert (lost["connection"], lost["planned"], lost["trigger"]) == (1, False, "peer_closed")
    assert (lost["close_code"], lost["close_reason"], lost["close_was_clean"]) == (
        1012, "restart", True,
    )  # fmt: skip
    assert lost["since_mono_ns"] == first.rx_mono_ns
    assert (planned["connection"], planned["planned"]) == (2, True)
    [again] = done.left.of("reconnect")
    assert (again["reconnects"], again["trigger"]) == (1, "peer_closed")
    one, two = done.left.of("ws_connect")
    assert (one["connection"], two["connection"]) == (1, 2)
    assert one["local_address"] != two["local_address"]
    assert first.rx_mono_ns < lost["ts_mono_ns"] < two["ts_mono_ns"] < second.rx_mono_ns


def test_a_reset_is_an_exception_and_reconnects(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        if number == 1:
            connection.transport.abort()
            return
        stop()
        await connection.wait_closed()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url, ws_reconnect_backoff_seconds=0.001)

    done = run_in_loop(main())
    lost, _ = done.left.of("disconnect")
    assert lost["trigger"] in {"exception", "peer_closed"}
    assert (lost["close_code"], lost["close_was_clean"]) == (1006, False)
    [connected, _] = done.left.of("ws_connect")
    assert lost["since_mono_ns"] == connected["ts_mono_ns"]


def test_garbage_ends_the_connection_behind_the_last_good_frame(
    run_in_loop: Callable[..., Any],
    bare_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(wire: Any, number: int) -> None:
        wire.writer.write(wire.response)
        if number == 1:
            wire.writer.write(b"\x81\x04good\xff\xff\x81\x04late")
        else:
            stop()
        await wire.closing()

    async def main() -> Any:
        async with bare_venue(script) as venue:
            return await capture_venue(venue.url, ws_reconnect_backoff_seconds=0.001)

    done = run_in_loop(main())
    assert [frame.payload for frame in done.left.frames()] == [b"good"]
    lost = done.left.of("disconnect")[0]
    assert lost["trigger"] == "exception"
    assert lost["reason"] == "invalid opcode"


SILENT = {
    "ws_ping_interval_seconds": 0.02,
    "ws_ping_timeout_seconds": 0.05,
    "ws_reconnect_backoff_seconds": 0.001,
}


def test_ping_goes_out_and_silence_ends_the_connection(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    heard: list[str] = []

    async def script(connection: ServerConnection, number: int) -> None:
        if number == 2:
            stop()
        async for text in connection:
            heard.append(str(text))  # noqa: PERF401 - the end of the iteration may be an exception

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url, **SILENT)

    done = run_in_loop(main())
    assert "PING" in heard
    assert trigger_of(done.left) == ["ping_timeout"]
    assert "connection lost: no frame for" in " ".join(done.words)


def test_pong_does_not_hide_that_no_data_comes(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        if number == 2:
            stop()
        await answering(connection, number)

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url,
                ws_ping_interval_seconds=0.02,
                ws_data_idle_reconnect_seconds=0.2,
                ws_reconnect_backoff_seconds=0.001,
            )

    done = run_in_loop(main())
    assert trigger_of(done.left) == ["data_idle_timeout"]
    assert sum(frame.payload == b"PONG" for frame in done.left.frames()) > 0


def test_a_subscription_without_data_is_not_believed(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        if number == 2:
            stop()
        async for _ in connection:
            await connection.send("[]")
            await connection.send('{"event_type":"new_market","assets_ids":["10"]}')

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url, capture_confirm_timeout_seconds=0.05, ws_reconnect_backoff_seconds=0.001
            )

    done = run_in_loop(main())
    assert trigger_of(done.left) == ["confirm_timeout"]
    [failed] = done.left.of("subscribe_confirm_fail")
    assert failed["events_seen"] == 0


def test_a_token_without_a_book_is_asked_for_again_and_reported(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    heard: list[Any] = []

    async def script(connection: ServerConnection, _: int) -> None:
        async for text in connection:
            heard.append(json.loads(text))
            await connection.send(book("10"))

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url, until_said="1 tokens without", capture_snapshot_timeout_seconds=0.05
            )

    done = run_in_loop(main())
    assert [request.get("operation") for request in heard] == [None, "unsubscribe", "subscribe"]
    assert heard[1]["assets_ids"] == heard[2]["assets_ids"] == ["11"]
    [overdue] = done.left.of("snapshot_overdue")
    assert overdue["token_ids"] == ["11"]


def test_invalid_operation_is_followed_by_a_measured_reconnect(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        if number == 2:
            stop()
        await connection.recv()
        await connection.send("INVALID OPERATION")
        await connection.wait_closed()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(venue.url, ws_reconnect_backoff_seconds=0.001)

    done = run_in_loop(main())
    assert trigger_of(done.left) == ["invalid_operation"]
    assert done.left.frames()[0].payload == b"INVALID OPERATION"


def test_an_unreachable_venue_is_tried_again_and_the_run_still_ends_clean(
    run_in_loop: Callable[..., Any], capture_venue: Callable[..., Any]
) -> None:
    async def main() -> Any:
        closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = closed.sockets[0].getsockname()[1]
        closed.close()
        return await capture_venue(
            f"ws://127.0.0.1:{port}/", duration_seconds=0.3, ws_reconnect_backoff_seconds=0.02
        )

    done = run_in_loop(main())
    assert done.code == 0
    failed = done.left.of("connect_failed")
    assert [record["attempt"] for record in failed] == list(range(1, len(failed) + 1))
    assert len(failed) > 1
    assert done.left.of("ws_connect", "disconnect", "reconnect") == []
    assert done.left.json("seal.json")["stop_reason"] == "duration"


def test_a_refused_handshake_is_a_failed_attempt(
    run_in_loop: Callable[..., Any], capture_venue: Callable[..., Any]
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy")
        writer.close()

    async def main() -> Any:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await capture_venue(f"ws://127.0.0.1:{port}/", duration_seconds=0.2)

    done = run_in_loop(main())
    assert done.code == 0
    failed = done.left.of("connect_failed")[0]
    assert (failed["error"], failed["message"]) == (
        "InvalidStatus", "server rejected WebSocket connection: HTTP 429",
    )  # fmt: skip


def test_heartbeats_and_metrics_tell_what_was_recorded(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    capture_venue: Callable[..., Any],
) -> None:
    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await capture_venue(
                venue.url,
                duration_seconds=0.6,
                capture_heartbeat_interval_seconds=0.1,
                ws_shards=2,
            )

    done = run_in_loop(main())
    beats = done.left.of("heartbeat")
    assert beats[-1]["frames_total"] == 1
    assert max(beat["shards_connected"] for beat in beats) == 1
    lines = (done.left.path / "metrics" / "global.ndjson").read_text().splitlines()
    assert len(lines) == len(beats) + 1
    last = json.loads(lines[-1])
    assert (last["coverage_pct"], last["token_ids_assigned"], last["frames"]) == (100.0, 2, 1)
    assert sum(json.loads(line)["ingest_ns_count"] for line in lines) == 1
    assert json.loads(lines[0])["loop_lag_ms_max_last_interval"] >= 0
    assert {path.name for path in (done.left.path / "metrics").iterdir()} == {
        "global.ndjson", "shard_00.ndjson", "shard_01.ndjson",
    }  # fmt: skip
