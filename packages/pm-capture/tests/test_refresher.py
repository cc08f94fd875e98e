"""The refresh over real sockets and with a real process: what the venue sends is what the bundle holds."""

import asyncio
import hashlib
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from pm_frames.bundle import open_bundle
from pm_frames.continuity import Continuity, State
from pm_frames.ledger import Ledger
from pm_frames.peek import peek

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pm-universe is a script here")


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


@dataclass
class Busy:
    """A venue that never rests: a numbered change of every subscribed token, again and again."""

    sent: list[list[str]] = field(default_factory=list)  # by connection
    tokens: list[set[str]] = field(default_factory=list)
    changed: Callable[["Busy", dict[str, Any]], None] = lambda *_: None
    refuses: bool = False
    cut: list[str] = field(default_factory=list)  # sends that did not return

    async def script(self, connection: ServerConnection, number: int) -> None:
        self.sent.append([])
        self.tokens.append(set())
        pump = asyncio.create_task(self._pump(connection, number - 1))
        try:
            async for text in connection:
                if text == "PING":
                    continue
                request = json.loads(text)
                await self._heard(connection, request, number - 1)
                self.changed(self, request)
        except ConnectionClosed:
            pass
        finally:
            pump.cancel()

    async def _heard(self, connection: ServerConnection, request: Any, at: int) -> None:
        named = request["assets_ids"]
        operation = request.get("operation", "initial")
        if operation == "unsubscribe":
            self.tokens[at] -= set(named)
        elif operation == "subscribe" and self.refuses:
            await self._send(connection, at, "INVALID OPERATION")
        else:
            books = [{"asset_id": token, "event_type": "book", "bids": []} for token in named]
            await self._send(connection, at, json.dumps(books))
            self.tokens[at] |= set(named)

    async def _pump(self, connection: ServerConnection, at: int) -> None:
        count = 0
        while True:
            for token in sorted(self.tokens[at]):
                count += 1
                change = {"event_type": "price_change", "n": count,
                          "price_changes": [{"asset_id": token}]}  # fmt: skip
                await self._send(connection, at, json.dumps(change))
            await asyncio.sleep(0)  # the turn of whoever has something to say

    async def _send(self, connection: ServerConnection, at: int, text: str) -> None:
        self.sent[at].append(text)
        try:
            await connection.send(text)
        except BaseException:
            # The end of the connection, or of this task in the middle of a send.
            self.cut.append(self.sent[at].pop())
            raise


def accounts(path: Path) -> tuple[Ledger, list[Any], list[tuple[int, dict[int, set[str]]]]]:
    """From the bundle alone: the ledger, all transitions, and the tokens of every shard over time."""
    bundle = open_bundle(path)
    assignments = bundle.manifest["shards"]["assignments"]
    shards = {int(shard): set(each["token_ids"]) for shard, each in assignments.items()}
    held = [(0, {shard: set(tokens) for shard, tokens in shards.items()})]
    continuity, ledger, transitions = Continuity(), Ledger(), []
    records = list(json.loads(line) for line in bundle.runlog_path.read_text().splitlines())
    frames = iter(list(bundle.frames()))
    frame = next(frames, None)
    for record in records:
        while frame is not None and frame[2].rx_mono_ns < record["ts_mono_ns"]:
            shard_id, _, one = frame
            seen = peek(one.payload)
            for token in seen.token_ids if "book" in seen.event_types else ():
                transitions += continuity.book(token, shard_id, one.rx_mono_ns)
            frame = next(frames, None)
        transitions += continuity.record(record)
        if record["record_type"] == "shard_refresh_begin":
            mine = shards.setdefault(record["shard_id"], set())
            mine -= set(record["removed_token_ids"])
            mine |= set(record["added_token_ids"])
            held.append((record["ts_mono_ns"], {k: set(v) for k, v in shards.items()}))
    ledger.add(transitions)
    assert not continuity.oddities
    return ledger, transitions, held


def judged(left: Any) -> list[dict[str, Any]]:
    """What came of the cycles that took place; a slow machine skips some."""
    records: list[dict[str, Any]] = left.of("universe_refresh")
    return [record for record in records if record["reason"] != "SKIPPED_INFLIGHT"]


def sums_hold(path: Path) -> set[str]:
    """Check SHA256SUMS and return the names in it."""
    names = set()
    for line in (path / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest, name
        names.add(name)
    there = {each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()}
    assert there - names == {".lock", "capture/watermark", "seal.json", "SHA256SUMS"}
    return names


def test_tokens_come_and_go_on_a_live_shard_and_nothing_of_the_others_is_lost(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "stays", "stays-too"), listing.row("2", "goes", "goes-too"))
    steps = [
        lambda: listing.delta(
            [listing.row("3", "comes", "comes-too")], [listing.row("2", "goes", "goes-too")]
        ),
        lambda: listing.delta([listing.row("4", "last", "last-too")]),
        stop,
    ]

    def changed(venue: Busy, request: dict[str, Any]) -> None:
        if request.get("operation") != "unsubscribe":
            steps.pop(0)()

    busy = Busy(changed=changed)

    async def main() -> Any:
        async with new_venue(busy.script) as venue:
            return await follow_venue(venue.url)

    done = run_in_loop(main())
    assert done.code == 0
    # One connection from the beginning to the end, and every frame that it carried.
    [sent] = busy.sent
    recorded = [frame.payload.decode() for frame in done.left.frames()]
    assert recorded[: len(sent)] == sent
    assert recorded[len(sent) :] in ([], busy.cut)
    ledger, transitions, held = accounts(done.left.path)
    intervals = Ledger().add(transitions)
    assert [shards for _, shards in held] == [
        {0: {"stays", "stays-too", "goes", "goes-too"}},
        {0: {"stays", "stays-too", "comes", "comes-too"}},
        {0: {"stays", "stays-too", "comes", "comes-too", "last", "last-too"}},
    ]
    for token in ("stays", "stays-too"):
        states = [each.state for each in transitions if each.token_id == token]
        assert states == [State.AWAITING_SNAPSHOT, State.LIVE, State.PLANNED_CHANGE, State.ENDED]
    assert ledger.totals("goes").get(State.UNSUBSCRIBED, 0) > 0
    [end] = done.left.of("disconnect")
    gap_ns = sum(
        each.end_mono_ns - each.start_mono_ns for each in intervals
        if each.token_id.startswith("stays") and each.start_mono_ns < end["since_mono_ns"]
        and each.state not in {State.LIVE, State.AWAITING_SNAPSHOT}
    )  # fmt: skip
    waited_ms = ledger.totals("comes")[State.AWAITING_SNAPSHOT] / 1e6
    print(
        f"{len(sent)} frames sent and recorded over two refreshes of a live shard; gap of the tokens "
        f"that stayed: {gap_ns} ns; first book of a new one after {waited_ms:.1f} ms"
    )
    assert gap_ns == 0
    # The generation is durable and in the sums before the runlog names it.
    names = sums_hold(done.left.path)
    applied = [each for each in done.left.of("universe_refresh") if each["reason"] == "APPLIED"]
    assert [each["universe_file"] for each in applied] == [
        "universe/000001.json", "universe/000002.json",
    ]  # fmt: skip
    for each in applied:
        data = (done.left.path / each["universe_file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == each["universe_sha256"]
        assert each["universe_file"] in names
        assert (each["gamma_pages_fetched"], each["markets_seen"]) == (3, 9)
    kinds = [each["record_type"] for each in done.left.records]
    first = kinds.index("shard_refresh_begin")
    assert kinds[first : first + 4] == [
        "shard_refresh_begin", "unsubscribe", "subscribe_attempt", "shard_refresh_applied",
    ]  # fmt: skip
    assert done.left.of("reconnect") == []
    assert "universe 1: +2 -2 tokens on 1 shards" in done.words
    assert "--since" in listing.asked()[1]
    assert "--sweep recent" in listing.asked()[1]


def test_new_shards_are_opened_and_empty_ones_are_closed(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    many = [listing.row(f"m{n}", f"m{n}y", f"m{n}n") for n in range(130)]
    steps = [lambda: listing.delta(many), lambda: listing.delta(removed=many[124:])]

    async def script(connection: ServerConnection, number: int) -> None:
        if steps:
            steps.pop(0)()
        try:
            await answering(connection, number)
        finally:
            if number == 2:
                stop()

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await follow_venue(venue.url, capture_heartbeat_interval_seconds=0.05)

    done = run_in_loop(main())
    assert done.code == 0
    opened = [(each["shard_id"], each["token_count"]) for each in done.left.of("shard_open")]
    assert opened == [(0, 2), (1, 0)]
    _, transitions, held = accounts(done.left.path)
    assert [len(tokens) for tokens in held[-1][1].values()] == [250, 0]
    live = {each.token_id for each in transitions if each.state is State.LIVE}
    assert len(live) == 262
    planned = [each for each in done.left.of("disconnect") if each["shard_id"] == 1]
    assert [(each["planned"], each["trigger"]) for each in planned] == [(True, "universe_refresh")]
    names = sums_hold(done.left.path)
    assert {"capture/shard_01.frames", "capture/shard_01.idx", "metrics/shard_01.ndjson"} <= names
    assert set(done.left.json("seal.json")["shards"]) == {"0", "1"}
    last = json.loads((done.left.path / "metrics/global.ndjson").read_text().splitlines()[-1])
    assert (last["universe_version"], last["refresh_count"]) == (2, 2)
    assert (last["token_ids_assigned"], last["coverage_pct"]) == (250, 100.0)


def test_shards_that_could_be_made_are_there_when_it_is_tried_again(
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
    tmp_path: Path,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    listing.delta([listing.row(f"m{n}", f"m{n}y", f"m{n}n") for n in range(260)])
    in_the_way = tmp_path / "runs" / "r" / "metrics" / "shard_02.ndjson"

    def heard(text: str) -> None:
        if "2 tokens on 1 connections" in text:
            in_the_way.touch()
        elif "universe refresh failed" in text:
            in_the_way.unlink(missing_ok=True)

    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await follow_venue(
                venue.url, heard=heard, until_said="universe 1: +520", duration_seconds=15
            )

    done = asyncio.run(main())
    assert done.code == 0
    assert "FileExistsError" in {each["error"] for each in done.left.of("universe_refresh_error")}
    assert [each["shard_id"] for each in done.left.of("shard_open")] == [0, 1, 2]
    assert judged(done.left)[-1]["reason"] == "APPLIED"
    sums_hold(done.left.path)


def test_a_venue_that_refuses_the_operation_costs_a_measured_reconnect(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "stays", "stays-too"))

    def changed(venue: Busy, request: dict[str, Any]) -> None:
        if len(venue.sent) == 2:
            stop()
        elif "operation" not in request:
            listing.delta([listing.row("3", "comes", "comes-too")])

    busy = Busy(changed=changed, refuses=True)

    async def main() -> Any:
        async with new_venue(busy.script) as venue:
            return await follow_venue(venue.url)

    done = run_in_loop(main())
    assert done.code == 0
    assert [each["trigger"] for each in done.left.of("reconnect")] == ["invalid_operation"]
    ledger, transitions, _ = accounts(done.left.path)
    assert [each.state for each in transitions if each.token_id == "stays"] == [
        State.AWAITING_SNAPSHOT, State.LIVE, State.RECONNECTING, State.AWAITING_SNAPSHOT,
        State.LIVE, State.PLANNED_CHANGE, State.ENDED,
    ]  # fmt: skip
    gap_ns = ledger.totals("stays")[State.RECONNECTING]
    print(f"a refused operation: gap of the tokens that stayed, as measured: {gap_ns / 1e6:.1f} ms")
    assert gap_ns > 0
    again = done.left.of("subscribe_attempt")[-1]
    assert again["token_ids"] == ["stays", "stays-too", "comes", "comes-too"]


def test_a_discovery_that_fails_or_hangs_or_lies_changes_nothing(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    (listing.folder / "refuse").touch()

    async def main() -> Any:
        async with new_venue(answering) as venue:
            refused = await follow_venue(venue.url, until_said="the venue said no")
            (listing.folder / "refuse").unlink()
            (listing.folder / "hang").touch()
            hung = await follow_venue(
                venue.url, run_id="h", until_said="did not end within",
                capture_universe_refresh_timeout_seconds=0.3,
            )  # fmt: skip
            (listing.folder / "hang").unlink()
            (listing.folder / "1.json").write_text('{"universe_version":1,"kind":"full"}')
            lied = await follow_venue(venue.url, run_id="l", until_said="not a change of")
            return refused, hung, lied

    refused, *others = run_in_loop(main())
    for done in (refused, *others):
        assert done.code == 0
        left = done.left
        assert left.of("shard_refresh_begin", "reconnect") == []
        assert judged(left) == []
        error = left.of("universe_refresh_error")[0]
        assert error["duration_ms"] > 0
        assert {each for each in sums_hold(left.path) if each.startswith("universe")} == {
            "universe/000000.json"
        }
        assert not (left.path / "universe" / ".next").exists()
    message = refused.left.of("universe_refresh_error")[0]["message"]
    assert message == "pm-universe discover ended with exit code 1: the venue said no"


def test_the_end_of_the_run_ends_a_discovery(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    (listing.folder / "hang").touch()

    async def main() -> Any:
        async with new_venue(answering) as venue:
            running = asyncio.create_task(follow_venue(venue.url))
            while not (listing.folder / "hanging").exists():  # noqa: ASYNC110 - another process says it
                await asyncio.sleep(0.01)
            stop()
            return await running

    done = run_in_loop(main())
    assert done.code == 0
    assert judged(done.left) == done.left.of("universe_refresh_error") == []
    sums_hold(done.left.path)


def test_churn_that_does_not_end_is_fatal(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"), listing.row("2", "c", "d"))
    listing.delta(removed=[listing.row("2", "c", "d")])

    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await follow_venue(
                venue.url,
                capture_universe_refresh_max_churn_pct=10,
                capture_universe_refresh_churn_guard_consecutive_fatal=2,
            )

    done = run_in_loop(main())
    assert done.code == 7
    assert done.left.json("fatal.json")["fatal_reason"] == "CHURN_GUARD_SUSTAINED"
    guards = judged(done.left)
    assert [each["reason"] for each in guards] == ["CHURN_GUARD"] * 2
    assert [each["interval_seconds_next"] for each in guards] == [0.1, 0.2]
    assert [each["churn_pct"] for each in guards] == [50.0, 50.0]
    assert not (done.left.path / "universe" / "000001.json").exists()


def test_a_given_universe_is_not_refreshed_and_that_is_said(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
    universe_file: Path,
) -> None:
    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await follow_venue(venue.url, universe=universe_file, duration_seconds=0.2)

    done = run_in_loop(main())
    assert "universe refresh is off: a universe file is captured as it is" in done.words
    assert done.left.json("manifest.json")["universe_refresh"]["enabled"] is False
    assert done.left.of("universe_refresh", "universe_refresh_error") == []
    assert not (listing.folder / "asked").exists()
