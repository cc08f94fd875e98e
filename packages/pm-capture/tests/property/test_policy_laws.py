"""Laws of the policies, whatever happens and whenever."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pm_capture.actions import Reconnect, Resubscribe, SendText
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot

moments = st.lists(st.integers(0, 10_000), max_size=50).map(sorted)
spans = st.integers(1, 500)


@given(spans, spans, moments)
def test_keepalive_never_gives_up_early_and_never_forgets_to_ping(
    interval: int, timeout: int, frames: list[int]
) -> None:
    """Never gives up sooner than `timeout` after a ping that no frame followed; never longer than
    `interval` without a ping."""
    machine = Keepalive(interval_ns=interval, timeout_ns=timeout)
    machine.opened(0)
    last_frame = last_ping = 0
    first_unanswered: int | None = None
    for now in [*frames, 20_000]:
        while (due := machine.deadline()) is not None and due <= now:
            for action in machine.deadline_reached(due):
                if isinstance(action, SendText):
                    assert due - last_ping == interval
                    last_ping = due
                    first_unanswered = first_unanswered or due
                else:
                    assert isinstance(action, Reconnect)
                    assert first_unanswered is not None
                    assert due == first_unanswered + timeout
                    assert last_frame <= first_unanswered
                    assert machine.deadline() is None
                    return
        machine.frame_received()
        last_frame, first_unanswered = now, None
    # Only a connection that always answers in time outlives the script; the silence at its end is
    # as long as the timeline, so it cannot.
    raise AssertionError("silence was never noticed")


@given(spans, moments)
def test_data_idle_fires_exactly_after_the_idle_time(idle: int, data: list[int]) -> None:
    machine = DataIdle(idle_ns=idle)
    machine.opened(0)
    last = 0
    for now in [*data, 20_000]:
        due = machine.deadline()
        assert due == last + idle
        if due <= now:
            assert machine.deadline_reached(due - 1) == []
            assert len(machine.deadline_reached(due)) == 1
            assert machine.deadline() is None
            return
        machine.data_received(now)
        last = now
    raise AssertionError("idleness was never noticed")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 500)), max_size=30))
def test_each_token_gets_its_book_or_is_asked_again_once_and_reported_once(
    books: list[tuple[int, int]],
) -> None:
    tokens = [str(number) for number in range(10)]
    machine = Snapshot(timeout_ns=100)
    machine.asked(tokens, 0)
    asks = dict.fromkeys(tokens, 1)
    reported: list[str] = []
    for token, now in [*sorted(books, key=lambda pair: pair[1]), (0, 5000)]:
        while (due := machine.deadline()) is not None and due <= now:
            for action in machine.deadline_reached(due):
                if isinstance(action, Resubscribe):
                    for again in action.token_ids:
                        asks[again] += 1
                    machine.asked(action.token_ids, due)
                else:
                    reported += action.fields["token_ids"]  # type: ignore[union-attr, arg-type]
        machine.books_received([str(token)])
    seen = {str(token) for token, _ in books} | {"0"}
    assert all(count <= 2 for count in asks.values())
    assert len(reported) == len(set(reported))
    assert set(tokens) - seen <= set(reported)
    assert machine.deadline() is None


@given(st.lists(st.integers(0, 200_000), max_size=100), st.integers(0, 2**32))
def test_delays_stay_below_the_ceiling_of_the_unforgiven(waits: list[int], seed: int) -> None:
    machine = Backoff(
        base_ns=10, cap_ns=3000, heal_ns=60_000, budget=10, jitter=random.Random(seed)
    )
    now = 0
    for wait in waits:
        now += wait
        before = machine.remaining(now)
        delay = machine.failed(now)
        assert 0 <= delay <= min(3000, 10 << min(9, 10 - before))
        assert machine.remaining(now) == max(0, before - 1)
