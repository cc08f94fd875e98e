"""Live measures by its own clock, says how it is, gives up in time, and is never ok without data."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from streams import T0, WALL, Stream, walk

from pm_frames.command import ExitCode
from pm_frames.continuity import State
from pm_frames.events import (
    CorruptEvents,
    EndReason,
    EventReader,
    Flags,
    Kind,
    RunState,
    Settled,
)
from pm_sim.engine import Engine
from pm_sim.latency import Fixed
from pm_sim.live import NS_PER_S, STAGES, Live
from pm_sim.report import verdict
from pm_sim.settings import Settings
from pm_sim.strategies.toy_spread import ToySpread

COMMAND = [
    sys.executable, "-m", "pm_sim", "--strategy", "toy_spread", "--param", "min_spread_e6=0.01",
    "--param", "size_e6=10", "--order-latency-ms", "2",
]  # fmt: skip


class Clock:
    """Goes on by a step at every look."""

    def __init__(self, now: int, step: int = 1000) -> None:
        self.now, self.step = now, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def lived(data: bytes, clock: Clock, wall_ns: int, **settings: Any) -> tuple[Live, Engine]:
    live = Live(clock, lambda: wall_ns, **settings)
    reader = EventReader(BytesIO(data))
    engine = Engine(
        reader.header,
        Settings(order_latency=Fixed(2_000_000)),
        [("toy", lambda: ToySpread(min_spread_e6=10_000, size_e6=10_000_000))],
    )
    live.attach(engine)
    engine.run(live.blocks(reader.blocks()))
    assert reader.end is not None
    engine.finish(reader.end)
    return live, engine


def test_stages_of_new_events_are_measured_and_add_up() -> None:
    """The follower begins before the first event and reads all of it a second later."""
    clock = Clock(T0 - 5000)
    live = Live(clock, lambda: WALL)
    data = walk(1, 50)
    reader = EventReader(BytesIO(data))
    engine = Engine(
        reader.header,
        Settings(),
        [("toy", lambda: ToySpread(min_spread_e6=10_000, size_e6=10_000_000))],
    )
    live.attach(engine)
    clock.now += NS_PER_S
    engine.run(live.blocks(reader.blocks()))
    report = live.latency_report()
    assert (report["record_type"], report["clock"], report["caught_up_events"]) == (
        "live_latency_report", "receive", 0,
    )  # fmt: skip
    stages = report["stages"]
    assert tuple(stages) == STAGES
    events = engine.books.seq
    assert events == 100
    for stage in ("recv_to_state", "state_to_strategy", "e2e_total"):
        assert stages[stage]["count"] == events
    for stage in ("strategy_to_allocator", "execution_to_emit", "e2e_intent_ready"):
        assert stages[stage]["count"] == events  # every spread is a cent or more
    assert stages["allocator_to_execution"]["count"] == sum(
        one.submitted + one.rejects.total() for one in engine.lenses
    )
    sums = {stage: one.sum for stage, one in live.histograms.items()}
    first = sums["recv_to_state"] + sums["state_to_strategy"] + sums["strategy_to_allocator"]
    assert sums["e2e_intent_ready"] == first
    assert sums["e2e_total"] > sums["e2e_intent_ready"]
    assert 800_000 < stages["recv_to_state"]["p50_us"] < 1_100_000
    assert set(stages["e2e_total"]) == {"count", "p50_us", "p90_us", "p99_us", "max_us"}


def test_events_from_before_are_counted_and_another_clock_is_not_believed() -> None:
    data = walk(1, 50)
    live, engine = lived(data, Clock(T0 + NS_PER_S), WALL + NS_PER_S)
    assert live.latency_report()["caught_up_events"] == engine.books.seq
    assert not any(one.count for name, one in live.histograms.items() if "recv" in name)
    live, engine = lived(data, Clock(T0 + 99 * NS_PER_S), WALL)
    report = live.latency_report()
    assert (report["clock"], report["caught_up_events"]) == ("other", 0)
    assert report["stages"]["recv_to_state"]["count"] == 0
    assert report["stages"]["strategy_to_allocator"]["count"] == engine.books.seq


def test_watching_changes_no_hash() -> None:
    data = walk(2, 100)
    live, watched = lived(data, Clock(0), 0)
    reader = EventReader(BytesIO(data))
    plain = Engine(
        reader.header,
        Settings(order_latency=Fixed(2_000_000)),
        [("toy", lambda: ToySpread(min_spread_e6=10_000, size_e6=10_000_000))],
    )
    plain.run(reader.blocks())
    assert reader.end is not None
    plain.finish(reader.end)
    for one, other in zip(watched.lenses, plain.lenses, strict=True):
        assert one.intents.hexdigest() == other.intents.hexdigest()
        assert one.fills.hexdigest() == other.fills.hexdigest()
        assert one.totals() == other.totals()
    assert live.judged(verdict(watched, None)).ok


def test_heartbeats_come_at_their_interval_and_say_how_it_is() -> None:
    beats: list[dict[str, Any]] = []
    stream = Stream().market().mirrored({40: 50}, {42: 50})
    data = stream.status(1, State.RECONNECTING).end()
    live, _ = lived(data, Clock(T0, NS_PER_S), WALL, beat=beats.append, interval_ns=2 * NS_PER_S)
    before = len(beats)
    assert live.idle()
    assert live.idle()
    assert live.idle()
    assert before >= 1
    assert len(beats) > before
    last = beats[-1]
    assert (last["record_type"], last["tokens"], last["live_tokens"], last["reconnects"]) == (
        "live_health_heartbeat", 2, 1, 1,
    )  # fmt: skip
    assert (last["canonical_events"], last["dropped"], last["intents"]) == (3, 0, 4)
    assert last["silent_ms"] > 0
    assert live.health_summary(verdict(None, CorruptEvents("x", kind="no_end")))["ok"] is False


def test_what_pm_replay_says_of_itself_is_part_of_the_report() -> None:
    """R349, R359: decode errors by reason, and how long a frame waits to be decoded."""
    live = Live(Clock(0), lambda: 0)
    assert live.counts() == {"reconnects": 0, "decode_errors": None, "dropped": 0}
    assert live.latency_report()["replay"] == {"recv_to_decode_start": None}
    live.replayed(b"{ no JSON")
    assert live.counts()["decode_errors"] is None
    lag = {"p50": 1500, "p99": 2000, "max": 2500}
    told = {"decode": {"decode_errors": {"json": 2, "utf8": 1}}, "follow": {"lag_ns": lag}}
    live.replayed(json.dumps(told).encode())
    assert live.counts()["decode_errors"] == 3
    assert live.latency_report()["replay"] == {
        "recv_to_decode_start": {"p50_us": 1.5, "p99_us": 2.0, "max_us": 2.5}
    }


def test_a_connection_that_is_lost_counts_once_for_all_its_tokens() -> None:
    stream = Stream().market().mirrored({40: 50}, {42: 50})
    for _ in range(2):
        frame = stream.seq
        for token in (0, 1):
            flags = Flags(State.RECONNECTING, Settled.UNSTATED, batch_end=True).byte()
            stream.event(Kind.STATUS, token, frame=frame, flags=flags)
    live, _ = lived(stream.end(), Clock(T0), WALL)
    assert live.counts()["reconnects"] == 2


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize(
    ("duration_ns", "words"),
    [(None, "nothing arrived for 5 s"), (8 * NS_PER_S, "the time is over")],
)
def test_it_gives_up_once_and_asks_for_an_end_first(
    duration_ns: int | None, words: str, *, asks: bool
) -> None:
    asked: list[int] = []
    clock = Clock(0, NS_PER_S // 10)
    live = Live(
        clock,
        lambda: 0,
        stall_ns=5 * NS_PER_S,
        duration_ns=duration_ns,
        stop=(lambda: asked.append(1)) if asks else None,
    )
    if duration_ns is not None:  # something, though no event, has come a moment ago
        clock.now = 12 * NS_PER_S
        assert list(live.blocks([b""])) == []
    while live.idle():
        assert clock.now < 100 * NS_PER_S
    assert len(asked) == asks
    judged = live.judged(verdict(None, CorruptEvents("cut", kind="no_end")))
    assert (judged.exit_code, words in str(judged.error)) == (ExitCode.CORRUPT, True)


def interesting_ends() -> Iterator[tuple[bytes, str]]:
    def live_book() -> Stream:
        return Stream().market().mirrored({40: 50}, {42: 50})

    running, limit = RunState.RUNNING, EndReason.LIMIT
    yield Stream().market().end(running, limit), "no events"
    yield Stream().market().status(0, State.AWAITING_SNAPSHOT).end(running, limit), "no data"
    lost = live_book().status(0, State.RECONNECTING).status(1, State.RECONNECTING)
    yield lost.end(running, limit), "no book is live"
    # Every connection was given up, and the run has ended cleanly all the same (R356).
    lost = live_book().status(0, State.RECONNECTING).status(1, State.RECONNECTING)
    for token in (0, 1):
        lost.status(token, State.ENDED, State.RECONNECTING)
    yield lost.end(), "no book is live"
    ended = live_book().status(0, State.RECONNECTING).status(1, State.ENDED)
    yield ended.end(), ""
    # As pm-capture stops: connections are closed as planned, and then the run has ended.
    stopped = live_book()
    for token in (0, 1):
        stopped.status(token, State.PLANNED_CHANGE)
        stopped.status(token, State.ENDED, State.PLANNED_CHANGE)
    yield stopped.end(), ""
    yield live_book().end(RunState.CRASHED), "crashed"
    yield live_book().end(running, EndReason.STOPPED), "stopped"
    yield live_book().end(running, limit), ""
    yield live_book().end(), ""


@pytest.mark.parametrize(("data", "words"), list(interesting_ends()))
def test_no_data_and_a_dead_capture_are_not_ok(data: bytes, words: str) -> None:
    live, engine = lived(data, Clock(T0), WALL)
    judged = live.judged(verdict(engine, None))
    assert judged.ok is not bool(words)
    assert words in (judged.error or "")


# -- the command, on a pipe and on a file that grow ---------------------------------------------------


def test_a_pipe_is_followed_as_it_comes_and_gives_the_hashes_of_the_file(tmp_path: Path) -> None:
    data = walk(5, 120)
    path = tmp_path / "walk.pmev"
    path.write_bytes(data)
    done = subprocess.run([*COMMAND, str(path)], capture_output=True, check=True, timeout=60)
    replayed = json.loads(done.stdout)
    flags = ["--print-latency-report-json", "--print-health-summary-json"]
    beats = ["--print-health-heartbeat-json", "--health-interval-seconds", "0.05"]
    with subprocess.Popen(
        [*COMMAND, "-", "--follow", *flags, *beats], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        half = len(data) // 128 * 64
        process.stdin.write(data[:half])
        process.stdin.flush()
        # A heartbeat tells of events that were sent, before the rest is.
        for text in process.stdout:
            beat = json.loads(text)
            assert beat["record_type"] == "live_health_heartbeat"
            if beat["canonical_events"]:
                break
        process.stdin.write(data[half:])
        process.stdin.close()
        lines = [json.loads(text) for text in process.stdout]
    assert process.returncode == 0
    report, health, line = lines[-3:]
    assert (report["record_type"], health["record_type"], health["ok"]) == (
        "live_latency_report", "live_health_summary", True,
    )  # fmt: skip
    assert (line["ok"], line["mode"]) == (True, "live")
    for key in ("canonical_events", "final_hash", "fill_hash", "ledger_hash", "result_id"):
        assert line[key] == replayed[key]


@pytest.mark.parametrize("form", ["pipe", "file"])
def test_a_stream_that_stops_is_given_up_and_not_ok(tmp_path: Path, form: str) -> None:
    data = walk(5, 20)[:-64]
    path = tmp_path / "walk.pmev"
    path.write_bytes(data)
    where = "-" if form == "pipe" else str(path)
    with subprocess.Popen(
        [*COMMAND, where, "--follow", "--stall-seconds", "0.3", "--print-health-summary-json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        if form == "pipe":
            process.stdin.write(data)
            process.stdin.flush()
        health, line = (json.loads(text) for text in process.stdout)
    assert (process.returncode, line["ok"], health["ok"]) == (4, False, False)
    assert line["error"].startswith("nothing arrived for 0.3 s; ")


def test_a_file_that_grows_is_followed_to_its_end(tmp_path: Path) -> None:
    data = walk(6, 60)
    path = tmp_path / "walk.pmev"
    beats = ["--print-health-heartbeat-json", "--health-interval-seconds", "0.05"]
    with path.open("wb", buffering=0) as file:
        file.write(data[: 64 * 40])
        with subprocess.Popen(
            [*COMMAND, str(path), "--follow", *beats], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            json.loads(process.stdout.readline())
            file.write(data[64 * 40 : 64 * 50 + 7])
            json.loads(process.stdout.readline())
            file.write(data[64 * 50 + 7 :])
            lines = [json.loads(text) for text in process.stdout]
    assert (process.returncode, lines[-1]["ok"], lines[-1]["mode"]) == (0, True, "live")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_live_simulation_with_its_line(number: signal.Signals) -> None:
    beats = ["--print-health-heartbeat-json", "--health-interval-seconds", "0.05"]
    with subprocess.Popen(
        [*COMMAND, "-", "--follow", *beats],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A background job of a shell begins with SIGINT ignored; this one is not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(walk(5, 20)[:-64])
        process.stdin.flush()
        json.loads(process.stdout.readline())  # it simulates
        process.send_signal(number)
        lines = [json.loads(text) for text in process.stdout]
    assert process.returncode == 130
    assert (lines[-1]["ok"], lines[-1]["exit_code"]) == (False, 130)


@pytest.mark.parametrize(
    "flags",
    [
        ["--print-latency-report-json"],
        ["--mode", "live"],
        ["--follow", "--stall-seconds", "0"],
        ["--follow", "--health-interval-seconds", "x"],
        ["--follow", "--duration-seconds", "5"],
    ],
)
def test_what_is_only_for_live_is_refused_elsewhere(flags: list[str]) -> None:
    done = subprocess.run(
        [*COMMAND, "-", *flags], input=b"", capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
