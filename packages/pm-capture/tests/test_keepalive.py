"""Keepalive as timelines."""

from collections.abc import Callable

from pm_capture.actions import Reconnect, SendText, Trigger
from pm_capture.policies.keepalive import Keepalive

S = 1_000_000_000
PING = SendText("PING")
DEAD = Reconnect(Trigger.PING, f"no frame for {10 * S} ns after a PING")


def new(interval: int = 10 * S, timeout: int = 10 * S) -> Keepalive:
    machine = Keepalive(interval_ns=interval, timeout_ns=timeout)
    machine.opened(0)
    return machine


def test_silence_is_pinged_and_then_given_up_once(
    play: Callable[..., list[tuple[int, object]]],
) -> None:
    assert play(new(), [], until=3600 * S) == [(10 * S, PING), (20 * S, DEAD)]


def test_any_frame_answers_a_ping(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = new(timeout=5 * S)
    script = [(12 * S, lambda _: machine.frame_received())]
    seen = play(machine, script, until=24 * S)
    assert seen == [(10 * S, PING), (20 * S, PING)]


def test_a_busy_connection_is_pinged_all_the_same(
    play: Callable[..., list[tuple[int, object]]],
) -> None:
    # The venue wants PING whether or not data flows.
    machine = new()
    script = [(second * S, lambda _: machine.frame_received()) for second in range(1, 60)]
    assert [now for now, _ in play(machine, script, until=60 * S)] == [
        now * S for now in (10, 20, 30, 40, 50, 60)
    ]


def test_the_first_unanswered_ping_counts(play: Callable[..., list[tuple[int, object]]]) -> None:
    # Pings every second do not postpone the end: ten of them, not one more chance for each.
    seen = play(new(interval=S), [], until=60 * S)
    assert seen[-1] == (11 * S, DEAD)
    assert [action for _, action in seen[:-1]] == [PING] * 10


def test_after_a_stall_one_ping_is_enough() -> None:
    machine = new()
    assert machine.deadline_reached(500 * S) == [PING]
    assert machine.deadline() == 510 * S


def test_a_closed_machine_wants_nothing() -> None:
    machine = new()
    machine.closed()
    assert machine.deadline() is None
    assert machine.deadline_reached(3600 * S) == []


def test_zero_disables(play: Callable[..., list[tuple[int, object]]]) -> None:
    assert play(new(interval=0), [], until=3600 * S) == []
    seen = play(new(timeout=0), [], until=35 * S)
    assert [action for _, action in seen] == [PING, PING, PING]
