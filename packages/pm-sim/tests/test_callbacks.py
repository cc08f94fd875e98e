"""Statistics of hooks (R319, R349): every call and its time, and the same simulation with them or without."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from simulated import Script, only, simulate
from streams import walk

from pm_sim import Buy, Context, Intent, MarketState, Portfolio, PxE6, Strategy, SzE6, TopOfBook
from pm_sim.callbacks import CallbackStats
from pm_sim.report import Asked, page, summary, verdict
from pm_sim.strategies.controls import RandomTaker


class Clock:
    """Goes on only where a strategy says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Slow(Strategy):
    """Takes 3 us before its first intent and 4 us after it; says nothing at every other top."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.answers: list[int | None] = []

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent] | None:
        if not event.seq % 2:
            self.clock.now += 1_000
            return None
        return self._two(event)

    def _two(self, event: TopOfBook) -> Iterator[Intent]:
        self.clock.now += 3_000
        self.answers.append((yield Buy(event.token, PxE6(10_000), SzE6(5_000_000))))
        self.clock.now += 4_000
        if event.seq == 3:
            raise RuntimeError("three")


def test_calls_times_and_overruns_are_those_of_the_strategy() -> None:
    clock = Clock()
    stats = CallbackStats(clock, 5_000)
    engine = simulate(walk(1, 2), stats.watched("slow", lambda: Slow(clock)))
    [run] = only(engine).runs
    assert isinstance(run.strategy, Slow)
    assert run.strategy.answers == [1, 2]
    assert (run.errors, str(run.first_error).split(",")[0]) == (
        1, "on_top_of_book at seq 3: RuntimeError: three",
    )  # fmt: skip
    # 7 us, 1 us, 7 us, and then it is disabled.
    assert stats.as_json() == {
        "slow": {"on_top_of_book": {"count": 3, "mean_us": 5, "max_us": 7, "overruns": 2}}
    }


def test_a_hook_that_raises_at_once_is_timed() -> None:
    clock = Clock()
    stats = CallbackStats(clock, 5_000)

    class Bad(Script):
        def on_top_of_book(self, ctx: Context, event: TopOfBook, *_: object) -> Iterator[Intent]:
            clock.now += 9_000
            raise RuntimeError

    simulate(walk(1, 2), stats.watched("bad", lambda: Bad({})))
    assert stats.as_json()["bad"]["on_top_of_book"] == {
        "count": 1, "mean_us": 9, "max_us": 9, "overruns": 1,
    }  # fmt: skip


def test_timing_changes_no_hash() -> None:
    data = walk(3, 200)
    stats = CallbackStats(lambda: 0, 1)
    plain = simulate(data, ("s", lambda: RandomTaker(one_in=3)))
    timed = simulate(data, ("s", stats.watched("s", lambda: RandomTaker(one_in=3))))
    assert only(plain).fills.count > 20
    assert only(plain).fills.hexdigest() == only(timed).fills.hexdigest()
    assert only(plain).intents.hexdigest() == only(timed).intents.hexdigest()
    assert stats.as_json()["s"]["on_top_of_book"]["count"] == 400


def test_the_line_has_them_when_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "walk.pmev"
    path.write_bytes(walk(1, 50))

    def run(*flags: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "pm_sim", str(path), "--strategy", "round_trip", *flags],
            capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        line: dict[str, object] = json.loads(done.stdout)
        return line

    plain, timed = run(), run("--print-callback-stats")
    assert list(timed)[6:9] == ["elapsed_ms", "callback_stats", "submitted_intents"]
    for line in (plain, timed):
        line["elapsed_ms"] = 0
    stats = timed.pop("callback_stats")
    assert timed == plain
    assert isinstance(stats, dict)
    assert stats["round_trip"]["on_top_of_book"]["count"] == 200  # in both lenses
    assert stats["round_trip"]["on_top_of_book"]["max_us"] > 0
    stable = run("--print-callback-stats", "--stable-json")["callback_stats"]
    assert isinstance(stable, dict)
    assert stable["round_trip"]["on_top_of_book"] == {
        "count": 200, "max_us": 0, "mean_us": 0, "overruns": 0,
    }  # fmt: skip


def test_the_page_tells_the_statistics_when_they_were_asked_for() -> None:
    clock = Clock()
    stats = CallbackStats(clock, 5_000)
    engine = simulate(walk(1, 2), stats.watched("slow", lambda: Slow(clock)))
    asked = Asked([], "replay", "1")
    lines = {
        asked_for: list(
            page(summary(engine, asked, verdict(engine, None), elapsed_ms=0, more=more))
        )
        for asked_for, more in ((False, {}), (True, {"callback_stats": stats.as_json()}))
    }
    told = stats.as_json()["slow"]["on_top_of_book"]
    assert lines[True] == [
        *lines[False],
        f"slow.on_top_of_book: {told['count']} calls, mean {told['mean_us']} us, "
        f"longest {told['max_us']} us, {told['overruns']} overruns",
    ]
