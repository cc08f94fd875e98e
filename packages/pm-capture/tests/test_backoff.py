"""Backoff as arithmetic."""

import random
from itertools import pairwise

from pm_capture.policies.backoff import Backoff

S = 1_000_000_000


class Ceiling:
    """Jitter that always gives the largest delay."""

    def randrange(self, stop: int, /) -> int:
        return stop - 1


def new(**changes: int) -> Backoff:
    values = {"base_ns": S, "cap_ns": 30 * S, "heal_ns": 60 * S, "budget": 10, **changes}
    return Backoff(jitter=Ceiling(), **values)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    machine = new()
    assert [machine.failed(0) // S for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_one_failure_is_forgiven_per_heal_time() -> None:
    machine = new()
    for _ in range(5):
        machine.failed(0)
    assert machine.remaining(0) == 5
    assert machine.remaining(59 * S) == 5
    assert machine.remaining(60 * S) == 6
    assert machine.remaining(300 * S) == machine.remaining(10**18) == 10
    assert machine.failed(180 * S) == 4 * S  # three of five are forgiven, this is the third


def test_forgiving_is_not_reset_by_a_failure() -> None:
    machine = new()
    machine.failed(0)
    machine.failed(0)
    machine.failed(50 * S)
    assert machine.remaining(60 * S) == 8


def test_a_flapping_venue_is_not_hammered() -> None:
    # Accepting and dropping every 100 ms never forgives anything.
    machine = new()
    now = 0
    opened = []
    while now < 600 * S:
        now += 100_000_000 + machine.failed(now)
        opened.append(now)
    assert len(opened) < 40
    assert all(b - a >= 16 * S for a, b in pairwise(opened[5:]))


def test_a_run_of_weeks_does_not_die_of_its_first_day() -> None:
    machine = new()
    for day in range(30):
        for _ in range(3):
            assert machine.failed(day * 86400 * S) <= 4 * S
    assert machine.remaining(31 * 86400 * S) == 10


def test_jitter_is_full_and_comes_from_the_seed() -> None:
    def delays(seed: int) -> list[int]:
        jitter = random.Random(seed)
        machine = Backoff(base_ns=S, cap_ns=S, heal_ns=S, budget=1, jitter=jitter)
        return [machine.failed(0) for _ in range(1000)]

    assert delays(1) == delays(1) != delays(2)
    assert min(delays(1)) < S // 50
    assert max(delays(1)) > S - S // 50
