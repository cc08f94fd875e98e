"""Laws of the refresh: whatever universes come, and whatever happens to the connections."""

import itertools
import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from pm_capture.actions import Action, Close, Connect, Note, SendText
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.churn import Churn, Verdict
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.refresh import Refresh
from pm_capture.policies.snapshot import Snapshot
from pm_capture.policies.stagger import Stagger
from pm_capture.reassignment import Reassignment
from pm_capture.refresh_actions import Discover
from pm_capture.refresh_plan import applied, plan
from pm_capture.shard_session import Ended, Opened, Policies, ShardSession, State
from pm_capture.sharding import TOKENS_PER_SHARD_MAX, MarketTokens, assign
from pm_capture.subscribe import SubscribeCaps
from pm_frames.continuity import Continuity
from pm_frames.continuity import State as Known

universes = st.lists(st.sets(st.integers(0, 200), min_size=1), min_size=1, max_size=12)


def market(number: int) -> MarketTokens:
    # Some markets are large, so that shards get full.
    legs = 90 if number % 7 == 0 else 2
    return MarketTokens(f"0x{number}", tuple(f"{number}-{leg}" for leg in range(legs)))


def tokens_of(numbers: set[int]) -> set[str]:
    return {token for number in numbers for token in market(number).token_ids}


@given(universes, st.integers(1, 6))
def test_every_wanted_token_is_in_one_shard_and_stays_there(
    wanted: list[set[int]], shards_min: int
) -> None:
    first, *others = wanted
    begun = assign([market(number) for number in sorted(first)], shards_min=shards_min)
    shards: dict[int, tuple[str, ...]] = dict(enumerate(begun))
    before, count = first, max(shards_min, -(-len(tokens_of(first)) // 200))
    for now in others:
        gone = tokens_of(before - now)
        new = [market(number) for number in sorted(now - before)]
        changes = plan(shards, removed=gone, added=new, hash_shards=count)
        after = applied(shards, changes)
        where = [(token, shard_id) for shard_id, tokens in after.items() for token in tokens]
        home = dict(where)
        assert len(where) == len(home)
        assert set(home) == tokens_of(now)
        for number in now:
            assert len({home[token] for token in market(number).token_ids}) == 1
        for shard_id, tokens in shards.items():
            assert all(home[token] == shard_id for token in tokens if token not in gone)
        touched = [token for each in changes for token in (*each.added, *each.removed)]
        assert len(touched) == len(set(touched))
        assert set(touched) == tokens_of(before ^ now)
        assert all(len(tokens) <= TOKENS_PER_SHARD_MAX for tokens in after.values())
        assert sorted(after) == list(range(len(after)))
        shards, before = after, now


class Server:
    """What the venue believes to be subscribed; it knows nothing but the texts it gets."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.closing = False
        self.asked: list[str] = []

    def hears(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Connect):
                self.subscribed = set()
            elif isinstance(action, Close):
                self.closing = True
            elif isinstance(action, SendText) and action.text != "PING":
                request = json.loads(action.text)
                named = set(request["assets_ids"])
                self.asked += named
                if request.get("operation") == "unsubscribe":
                    # Only what is subscribed is taken off, and only what is not is put on.
                    assert named <= self.subscribed
                    self.subscribed -= named
                else:
                    assert not named & self.subscribed
                    self.subscribed |= named


steps = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.sets(st.sampled_from("abcdefgh"))),
        st.tuples(st.just("lose"), st.just(set[str]())),
        st.tuples(st.just("fail"), st.just(set[str]())),
        st.tuples(st.just("open"), st.just(set[str]())),
        st.tuples(st.just("wait"), st.just(set[str]())),
    ),
    max_size=25,
)


class World:
    """One shard, its venue, and a reader of its runlog."""

    def __init__(self, tokens: str) -> None:
        policies = Policies(
            keepalive=Keepalive(interval_ns=0, timeout_ns=0),
            confirm=Confirm(timeout_ns=0, events_min=1),
            data_idle=DataIdle(idle_ns=0),
            snapshot=Snapshot(timeout_ns=0),
            backoff=Backoff(base_ns=8, cap_ns=8, heal_ns=1, budget=1, jitter=self),
        )
        caps = SubscribeCaps(tokens_max=3)
        self.session = ShardSession(0, tuple(tokens), caps=caps, policies=policies)
        self.server = Server()
        self.reader = Continuity()
        self.folded = list(tokens)
        self.now = 0
        self.does(self.session.start(0))

    def randrange(self, stop: int, /) -> int:
        return stop - 1

    def does(self, actions: Sequence[Action]) -> None:
        self.server.hears(actions)
        for action in actions:
            if isinstance(action, Note):
                self.now += 1
                record = {
                    "record_type": action.record_type,
                    "ts_mono_ns": self.now,
                    **action.fields,
                }
                self.reader.record(record)
                if action.record_type == "shard_refresh_begin":
                    gone = record["removed_token_ids"]
                    new = record["added_token_ids"]
                    assert isinstance(gone, list)
                    assert isinstance(new, list)
                    self.folded = [token for token in self.folded if token not in gone] + new

    def step(self, kind: str, wanted: set[str]) -> None:
        session = self.session
        self.now += 10
        if kind == "want":
            had = set(session.token_ids)
            self.server.asked.clear()
            was_open = session.state is State.OPEN
            change = Reassignment(tuple(sorted(wanted - had)), tuple(sorted(had - wanted)), 0, 1)
            self.does(session.reassign(change, self.now))
            if was_open:
                # A token that stays is never named.
                assert not set(self.server.asked) & had & wanted
        elif kind == "open" and session.state is State.CONNECTING:
            self.does(session.connected(Opened("", "", "", 0), self.now))
        elif kind == "fail" and session.state is State.CONNECTING:
            self.does(session.connect_failed("x", "y", self.now))
        elif kind == "lose" and session.state in {State.OPEN, State.CLOSING}:
            self.server.closing = False
            self.does(session.disconnected(Ended(1006, "", close_was_clean=False), self.now))
        elif kind == "wait":
            self.does(session.deadline_reached(self.now))


@settings(max_examples=300)
@given(st.sampled_from(["", "a", "abcd"]), steps)
def test_what_is_subscribed_is_what_is_wanted(
    tokens: str, script: list[tuple[str, set[str]]]
) -> None:
    world = World(tokens)
    settle: list[tuple[str, set[str]]] = [
        (kind, set()) for kind in ("open", "wait", "open", "lose", "wait", "open")
    ]
    for kind, wanted in [*script, *settle]:
        world.step(kind, wanted)
        session, server = world.session, world.server
        assert world.folded == list(session.token_ids)
        if session.state is State.OPEN:
            assert server.subscribed == set(session.token_ids)
            # And the reader of the runlog knows it: exactly these wait for a book.
            waiting = {t for t, s in world.reader.states().items() if s is Known.AWAITING_SNAPSHOT}
            assert waiting == set(session.token_ids)
        for token, state in world.reader.states().items():
            if token not in session.token_ids:
                assert state is Known.UNSUBSCRIBED
    assert world.session.state is (State.OPEN if world.session.token_ids else State.IDLE)
    assert not world.reader.oddities


@given(
    st.lists(st.tuples(st.integers(1, 2000), st.floats(0, 50), st.booleans()), max_size=60),
    st.integers(1, 4),
)
def test_guarded_cycles_become_rare_and_never_too_many_in_a_row(
    script: list[tuple[int, float, bool]], fatal: int
) -> None:
    """Between the beginnings of two cycles is at least the interval that the last judgement asked for."""
    refresh = Refresh(interval_ns=60, timeout_ns=30, whole_interval_ns=0, whole_timeout_ns=0)
    churn = Churn(pct_max=10.0, interval_ns=60, interval_max_ns=600, consecutive_fatal=fatal)
    refresh.started(0)
    now = last = 0
    asked_for, row = 60, 0
    for takes, pct, expected in script:
        while True:
            due = refresh.deadline()
            assert due is not None
            now = max(now, due)
            if any(isinstance(each, Discover) for each in refresh.deadline_reached(now)):
                break
        assert now - last >= asked_for
        last = now
        verdict = churn.judge(pct, expected=expected)
        row = row + 1 if pct > 10.0 and not expected else 0
        assert (verdict is Verdict.SUSTAINED) == (row >= fatal)
        if verdict is Verdict.SUSTAINED:
            return
        assert churn.interval_ns == min(600, 60 << row)
        now += takes
        asked_for = churn.interval_ns if takes < churn.interval_ns else 60
        refresh.ended(now, churn.interval_ns)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 8)), max_size=20), st.integers(1, 50))
def test_in_any_window_of_k_gaps_at_most_k_changes_follow_the_first(
    batches: list[tuple[int, int]], gap: int
) -> None:
    machine: Stagger[int] = Stagger(gap_ns=gap)
    now, given_out, came = 0, 0, []
    for pause, count in [*batches, (100_000, 0)]:
        until = now + pause
        while (due := machine.deadline()) is not None and due <= until:
            for item in machine.deadline_reached(due):
                came.append((due, item))  # noqa: PERF401 - the moment belongs to it
        now = until
        machine.begun(range(given_out, given_out + count), now)
        given_out += count
    while (due := machine.deadline()) is not None:
        came += [(due, item) for item in machine.deadline_reached(due)]
    assert [item for _, item in came] == list(range(given_out))
    moments = [at for at, _ in came]
    assert all(b - a >= gap for a, b in itertools.pairwise(moments))
