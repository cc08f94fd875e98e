"""Snapshot as timelines."""

from collections.abc import Callable

from pm_capture.actions import Note, Resubscribe
from pm_capture.policies.snapshot import Snapshot

S = 1_000_000_000


class Driven(Snapshot):
    """A machine whose `Resubscribe` is performed at once, as the session does."""

    def deadline_reached(self, now: int) -> list:  # type: ignore[type-arg]
        actions = super().deadline_reached(now)
        for action in actions:
            if isinstance(action, Resubscribe):
                self.asked(action.token_ids, now)
        return actions


def test_a_token_is_asked_for_again_then_reported_once(
    play: Callable[..., list[tuple[int, object]]],
) -> None:
    machine = Driven(timeout_ns=30 * S)
    machine.asked(["a", "b", "c"], 0)
    script = [(5 * S, lambda _: machine.books_received(["b"]))]
    assert play(machine, script, until=3600 * S) == [
        (30 * S, Resubscribe(("a", "c"))),
        (60 * S, Note("snapshot_overdue", {"token_count": 2, "token_ids": ["a", "c"]})),
    ]
    assert machine.overdue == {"a", "c"}


def test_a_book_at_any_time_settles_it(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = Driven(timeout_ns=30 * S)
    machine.asked(["a", "b"], 0)
    script = [
        (40 * S, lambda _: machine.books_received(["a"])),
        (90 * S, lambda _: machine.books_received(["b"])),
    ]
    assert play(machine, script, until=3600 * S) == [
        (30 * S, Resubscribe(("a", "b"))),
        (60 * S, Note("snapshot_overdue", {"token_count": 1, "token_ids": ["b"]})),
    ]
    assert not machine.waiting


def test_tokens_asked_later_are_due_later(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = Driven(timeout_ns=30 * S)
    machine.asked(["a"], 0)
    seen = play(machine, [(10 * S, lambda now: machine.asked(["b"], now))], until=45 * S)
    assert seen == [(30 * S, Resubscribe(("a",))), (40 * S, Resubscribe(("b",)))]


def test_a_token_that_was_asked_for_in_vain_is_not_asked_for_again_on_the_next_connection(
    play: Callable[..., list[tuple[int, object]]],
) -> None:
    machine = Driven(timeout_ns=30 * S)
    machine.asked(["a", "b"], 0)
    play(machine, [], until=31 * S)
    machine.closed()
    machine.asked(["a", "b"], 40 * S)
    machine.books_received(["b"])
    assert play(machine, [], until=3600 * S) == [
        (70 * S, Note("snapshot_overdue", {"token_count": 1, "token_ids": ["a"]})),
    ]
    # Its book has come: the next time it may be asked for again.
    machine.closed()
    machine.asked(["b"], 4000 * S)
    assert play(machine, [], until=4030 * S) == [(4030 * S, Resubscribe(("b",)))]


def test_zero_disables_and_closed_forgets() -> None:
    machine = Snapshot(timeout_ns=0)
    machine.asked(["a"], 0)
    assert machine.deadline() is None
    machine = Snapshot(timeout_ns=S)
    machine.asked(["a"], 0)
    machine.closed()
    assert machine.deadline() is None
    assert not machine.waiting
