"""When cycles of the refresh begin, as timelines."""

from collections.abc import Callable
from typing import Any

from pm_capture.policies.refresh import Refresh
from pm_capture.refresh_actions import Discover, Skip, Sweep

S = 1_000_000_000
RECENT = Discover(Sweep.RECENT, 30 * S)
WHOLE = Discover(Sweep.WHOLE, 600 * S)


def new(interval: int = 60 * S, whole: int = 3600 * S) -> Refresh:
    machine = Refresh(
        interval_ns=interval, timeout_ns=30 * S, whole_interval_ns=whole, whole_timeout_ns=600 * S
    )
    machine.started(0)
    return machine


def test_every_interval_a_cycle_begins(play: Callable[..., Any]) -> None:
    machine = new()
    ends = [(n * 60 * S + 5 * S, lambda now: machine.ended(now, 60 * S)) for n in range(1, 4)]
    assert play(machine, ends, until=190 * S) == [
        (60 * S, RECENT), (120 * S, RECENT), (180 * S, RECENT),
    ]  # fmt: skip
    assert machine.elapsed_ns(190 * S) == 10 * S


def test_two_are_never_under_way(play: Callable[..., Any]) -> None:
    machine = new()
    script = [(200 * S, lambda now: machine.ended(now, 60 * S))]
    assert play(machine, script, until=250 * S) == [
        (60 * S, RECENT), (120 * S, Skip()), (180 * S, Skip()), (240 * S, RECENT),
    ]  # fmt: skip
    assert machine.skipped == 2


def test_a_longer_interval_counts_from_the_beginning_of_the_cycle(play: Callable[..., Any]) -> None:
    machine = new()
    script = [(70 * S, lambda now: machine.ended(now, 120 * S))]
    assert play(machine, script, until=190 * S) == [(60 * S, RECENT), (180 * S, RECENT)]


def test_the_whole_venue_is_read_now_and_then(play: Callable[..., Any]) -> None:
    machine = new(whole=150 * S)
    ends = [(n * 60 * S + S, lambda now: machine.ended(now, 60 * S)) for n in range(1, 7)]
    sweeps = [action.sweep for _, action in play(machine, ends, until=365 * S)]
    assert sweeps == [Sweep(word) for word in ("recent", "recent", "whole") * 2]


def test_without_an_interval_nothing_begins(play: Callable[..., Any]) -> None:
    assert play(new(interval=0), [], until=86_400 * S) == []
    stopped = new()
    stopped.stopped()
    assert play(stopped, [], until=86_400 * S) == []
    never_started = Refresh(interval_ns=S, timeout_ns=S, whole_interval_ns=0, whole_timeout_ns=S)
    assert never_started.deadline_reached(10**18) == []


def test_a_stall_is_followed_by_one_cycle() -> None:
    machine = new()
    assert machine.deadline_reached(1000 * S) == [RECENT]
    assert machine.deadline() == 1060 * S


def test_a_day(play: Callable[..., Any]) -> None:
    machine = new()
    ends = [(n * 60 * S + 3 * S, lambda now: machine.ended(now, 60 * S)) for n in range(1, 1441)]
    seen = play(machine, ends, until=86_400 * S + 4 * S)
    assert len(seen) == 1440
    assert [action for _, action in seen].count(WHOLE) == 24
    assert machine.skipped == 0
