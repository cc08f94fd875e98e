"""Laws of the continuity machine, and a model of it that was written from the prose alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.continuity import Basis, Continuity, State, Transition
from pm_frames.ledger import Ledger

TOKENS = "abc"
Step = tuple[Any, ...]

SHARD = st.sampled_from([0, 0, 0, 1])
SOME = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3)
# 0 is the connection that is open or was last, +1 the one after it, -1 one before it.
WHICH = st.sampled_from([0] * 10 + [1, -1])
STEP = st.one_of(
    st.tuples(st.just("connect"), SHARD, st.sampled_from([1, 1, 1, 2, 0])),
    st.tuples(st.just("subscribe"), SHARD, WHICH, SOME),
    st.tuples(st.just("unsubscribe"), SHARD, WHICH, SOME),
    st.tuples(st.just("disconnect"), SHARD, WHICH, st.booleans(), st.integers(0, 30)),
    st.tuples(st.just("book"), SHARD, st.sampled_from(TOKENS)),
    st.tuples(st.just("hole"), SHARD, st.integers(0, 30)),
)
# Long enough that a connection is subscribed, lost, and asked for again in most scripts.
SCRIPT = st.lists(st.tuples(STEP, st.integers(0, 9)), min_size=12, max_size=60)


class Model:
    """What each token should be: plain text states, looked up and changed one token at a time."""

    def __init__(self) -> None:
        self.number = {0: 0, 1: 0}
        self.open = {0: False, 1: False}
        self.of: dict[str, int] = {}
        self.asked: dict[str, bool] = {}
        self.state: dict[str, str] = {}

    def lose(self, shard: int, state: str) -> None:
        for token in self.of:
            if self.of[token] == shard and self.asked[token]:
                self.asked[token] = False
                self.state[token] = state

    def step(self, step: Step) -> None:
        kind, *rest = step
        feeds: dict[str, Callable[..., None]] = {
            "connect": self.connect,
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
            "disconnect": self.disconnect,
            "book": self.book,
            "hole": self.hole,
        }
        feeds[kind](*rest)

    def connect(self, shard: int, which: int) -> None:
        if which > 0:
            if self.open[shard]:
                self.lose(shard, "RECONNECTING")
            self.open[shard] = True
            self.number[shard] += which

    def subscribe(self, shard: int, which: int, tokens: list[str]) -> None:
        if which > 0:
            self.connect(shard, which)
        elif which < 0 or not self.open[shard]:
            return
        for token in tokens:
            # A planned gap stays planned until its book.
            if self.state.get(token) != "PLANNED_CHANGE":
                self.state[token] = "AWAITING_SNAPSHOT"
            self.of[token], self.asked[token] = shard, True

    def unsubscribe(self, shard: int, which: int, tokens: list[str]) -> None:
        for token in tokens:
            if which == 0 and self.of.get(token) == shard:
                self.asked[token], self.state[token] = False, "UNSUBSCRIBED"

    def disconnect(self, shard: int, which: int, planned: object, before: int) -> None:
        if which == 0 and self.open[shard]:
            self.open[shard] = False
            self.lose(shard, "PLANNED_CHANGE" if planned else "RECONNECTING")

    def book(self, shard: int, token: str) -> None:
        if self.of.get(token) == shard and self.asked[token]:
            self.state[token] = "LIVE"

    def hole(self, shard: int, before: int) -> None:
        for token in self.of:
            if self.of[token] == shard and self.asked[token] and self.state[token] == "LIVE":
                self.state[token] = "UNKNOWN"


def feed(continuity: Continuity, model: Model, step: Step, at: int) -> list[Transition]:
    """Feed one step, with the connection numbers that the model has come to."""
    kind, shard = step[0], step[1]
    if kind == "book":
        return continuity.book(step[2], shard, at)
    if kind == "hole":
        return continuity.hole(shard, at, since_mono_ns=max(0, at - step[2]))
    record: dict[str, Any] = {
        "record_type": {
            "connect": "ws_connect",
            "subscribe": "subscribe_attempt",
        }.get(kind, kind),
        "ts_mono_ns": at,
        "shard_id": shard,
        "connection": max(0, model.number[shard] + step[2]),
    }
    if kind in ("subscribe", "unsubscribe"):
        record["token_ids"] = step[3]
    elif kind == "disconnect":
        record |= {"planned": step[3], "since_mono_ns": max(0, at - step[4])}
    return continuity.record(record)


@settings(max_examples=300)
@given(SCRIPT)
def test_states_are_those_of_the_model_and_transitions_are_their_changes(
    script: list[tuple[Step, int]],
) -> None:
    continuity, model, at = Continuity(), Model(), 0
    for step, later in script:
        at += later
        before = continuity.states()
        transitions = feed(continuity, model, step, at)
        model.step(step)
        after = continuity.states()
        assert {token: state.name for token, state in after.items()} == model.state
        told: dict[str, State] = dict(before)
        for one in transitions:
            assert told.get(one.token_id) is not one.state
            assert one.since_mono_ns <= one.at_mono_ns == at
            told[one.token_id] = one.state
        assert told == after


@given(SCRIPT, STEP)
def test_the_same_record_fed_twice_changes_nothing_the_second_time(
    script: list[tuple[Step, int]], step: Step
) -> None:
    continuity, model = Continuity(), Model()
    for number, (one, _) in enumerate(script):
        feed(continuity, model, one, number)
        model.step(one)
    feed(continuity, model, step, len(script))
    assert feed(continuity, model, step, len(script)) == []


@given(SCRIPT, SHARD, SCRIPT)
def test_after_a_hole_nothing_of_its_shard_is_live_without_a_book_there(
    before: list[tuple[Step, int]], shard: int, after: list[tuple[Step, int]]
) -> None:
    continuity, model = Continuity(), Model()
    holed: set[str] = set()
    for number, (step, _) in enumerate([*before, (("hole", shard, 0), 0), *after]):
        feed(continuity, model, step, number)
        model.step(step)
        if number == len(before):
            holed = {token for token in TOKENS if continuity.shard_of(token) == shard}
        elif number > len(before) and step[0] == "book":
            holed.discard(step[2])
        assert all(continuity.state(token) is not State.LIVE for token in holed)


@given(SCRIPT, st.integers(0, 50))
def test_the_states_of_a_token_divide_its_run_without_gap_or_overlap(
    script: list[tuple[Step, int]], tail: int
) -> None:
    """From first subscribe to the end every nanosecond belongs to one state."""
    continuity, model, ledger, at = Continuity(), Model(), Ledger(), 0
    first: dict[str, int] = {}
    reached: dict[str, int] = {}
    for step, later in [*script, (("stop",), tail)]:
        at += later
        if step[0] == "stop":
            transitions = continuity.close(at)
        else:
            transitions = feed(continuity, model, step, at)
            model.step(step)
        for one in transitions:
            first.setdefault(one.token_id, one.at_mono_ns)
        for interval in ledger.add(transitions):
            token = interval.token_id
            assert interval.start_mono_ns == reached.get(token, first[token])
            assert interval.start_mono_ns < interval.end_mono_ns <= at
            reached[token] = interval.end_mono_ns
    assert set(continuity.states().values()) <= {State.ENDED}
    for token, start in first.items():
        assert sum(ledger.totals(token).values()) == at - start
        assert State.ENDED not in ledger.totals(token)
    assert ledger.token_ids() == list(first)


@given(SCRIPT, st.lists(st.integers(0, 100), max_size=40))
def test_stamps_in_any_order_are_borne_and_time_still_adds_up(
    script: list[tuple[Step, int]], stamps: list[int]
) -> None:
    continuity, model, ledger = Continuity(), Model(), Ledger()
    first: dict[str, int] = {}
    for (step, _), at in zip(script, stamps, strict=False):
        transitions = feed(continuity, model, step, at)
        model.step(step)
        ledger.add(transitions)
        for one in transitions:
            first.setdefault(one.token_id, one.at_mono_ns)
    ledger.add(continuity.close(0))
    for token, start in first.items():
        assert sum(ledger.totals(token).values()) == continuity.now_mono_ns - start


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.floats(), st.text(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)
ANY_RECORD = st.fixed_dictionaries(
    {},
    optional={
        "record_type": st.one_of(
            st.sampled_from(
                ["ws_connect", "subscribe_attempt", "unsubscribe", "disconnect", "capture_stop"]
            ),
            JSON,
        ),
        "ts_mono_ns": JSON,
        "shard_id": JSON,
        "connection": JSON,
        "token_ids": st.one_of(st.lists(st.sampled_from("ab")), JSON),
        "planned": JSON,
        "since_mono_ns": JSON,
    },
)


@settings(max_examples=200)
@given(st.lists(ANY_RECORD, max_size=15), st.sampled_from(Basis))
def test_no_record_whatever_it_holds_raises(records: list[dict[str, Any]], basis: Basis) -> None:
    continuity = Continuity(basis)
    for number, record in enumerate(records):
        continuity.record(record)
        continuity.book("a", number % 2, number)
        continuity.first_of_connection(number % 2, number)
        continuity.hole(number % 3, number)
    continuity.close(0)
