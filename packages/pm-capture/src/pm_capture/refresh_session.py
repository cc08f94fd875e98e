"""The refresh of the universe: one cycle at a time, composed of its policies; no I/O.

    WAITING ──due──► DISCOVERING ──discovered──► judged ──Keep──► KEEPING ──kept──► CHANGING ──► WAITING
                        │                          │                │               shard by shard
                        └─failed───────────────────┴─not applied────┴─failed──────────────────────┘

A generation becomes the universe of the run in `kept`, when its file is durable: the record that names
it comes first, then the changes of the shards. Whatever fails leaves the old universe in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pm_capture.actions import Note
from pm_capture.generation import Head, Step
from pm_capture.policies.churn import Churn, Verdict, churn_pct
from pm_capture.policies.expected_churn import Expectation, ExpectedChurn
from pm_capture.policies.refresh import Refresh
from pm_capture.policies.stagger import Stagger
from pm_capture.refresh_actions import Change, Discover, Found, Keep, RefreshAction, Sustained
from pm_capture.refresh_plan import ShardChange, applied, plan
from pm_capture.shard_range import ShardRange

SAMPLE_MAX = 10
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NOTHING_EXPECTED = Expectation(expected=False, changed=0, rollover_hits=0, expiry_hits=0)


@dataclass(frozen=True, slots=True)
class RefreshPolicies:
    """The machines of the refresh."""

    refresh: Refresh
    churn: Churn
    expected: ExpectedChurn
    stagger: Stagger[ShardChange]
    tokens_min: int


@dataclass(slots=True)
class Tally:
    """What metrics tell of the refresh."""

    applied: int = 0
    failures: int = 0
    below_min: int = 0
    churn_pct: float = 0.0
    tokens_added: int = 0
    tokens_removed: int = 0
    shards: int = 0
    reason: str | None = None
    duration_ns: int | None = None
    worker_ns: int | None = None
    report: Mapping[str, object] = field(default_factory=dict)
    expectation: Expectation = NOTHING_EXPECTED


@dataclass(frozen=True, slots=True)
class _Judged:
    """A step that is to be applied."""

    step: Step
    changes: tuple[ShardChange, ...]
    fields: Mapping[str, object]


class RefreshSession:
    """Decide what becomes of every discovery; each verb returns what the shell has to do, in order."""

    def __init__(
        self,
        head: Head,
        shards: Mapping[int, Sequence[str]],
        *,
        hash_shards: int,
        policies: RefreshPolicies,
        stats: Mapping[str, object],
        part: ShardRange | None = None,
        continued: bool = False,
    ) -> None:
        """`shards` are those that there are, by id; `stats` are those of the first universe.

        With `part` they are those of one process, and `head` is still the universe of all. `continued`
        goes on with the cadence and the guard of a session before, whose policies are given.
        """
        self.head = head
        self.shards: Mapping[int, Sequence[str]] = dict(shards)
        self.tally = Tally(report=stats)
        self._hash_shards = hash_shards
        self._part = part
        self._continued = continued
        self._policies = policies
        self._judged: _Judged | None = None
        self._from_version = head.version

    # What the shell tells.

    def start(self, now: int) -> list[RefreshAction]:
        """Begin to count the time; the universe in force has just been discovered, or taken over."""
        if not self._continued:
            self._policies.refresh.started(now)
        elif self._policies.refresh.under_way:
            self._end(now)  # its changes are in the assignment of this run
        return []

    @property
    def policies(self) -> RefreshPolicies:
        """The machines, for the session that goes on after this one."""
        return self._policies

    def discovered(
        self, step: Step | None, found: Found, now: int, wall_ns_utc: int
    ) -> list[RefreshAction]:
        """Judge what a discovery brought; None when nothing has changed."""
        policies, tally = self._policies, self.tally
        tally.report, tally.worker_ns = found.report, found.worker_ns
        tally.expectation = NOTHING_EXPECTED
        delta = 0 if step is None else len(step.added) + len(step.removed)
        # New facts of markets that we have touch no shard, and the simulator will want them.
        is_facts_only = step is not None and not delta and step.markets_changed > 0
        if step is None or (delta < max(1, policies.tokens_min) and not is_facts_only):
            policies.churn.passed()
            tally.below_min += 1
            return self._not_applied("SKIPPED_DELTA_BELOW_MIN", step, now)
        pct = churn_pct(len(step.added), len(step.removed), self.head.token_count)
        tally.expectation = policies.expected.judge(step.endings, wall_ns_utc)
        verdict = policies.churn.judge(pct, expected=tally.expectation.expected)
        if verdict in {Verdict.GUARDED, Verdict.SUSTAINED}:
            actions = self._not_applied("CHURN_GUARD", step, now)
            if verdict is Verdict.SUSTAINED:
                policies.refresh.stopped()
                actions.append(Sustained(self._sustained(pct)))
            return actions
        is_bypassed = verdict is Verdict.BYPASSED
        tally.reason = "BYPASSED_EXPECTED_CHURN" if is_bypassed else "APPLIED"
        changes = plan(
            self.shards,
            removed=step.removed,
            added=step.markets_added,
            hash_shards=self._hash_shards,
            part=self._part,
        )
        fields = {**self._fields("APPLIED", step), "guard_bypassed": is_bypassed}
        self._judged = _Judged(step, changes, fields)
        opened = tuple(each.shard_id for each in changes if each.shard_id not in self.shards)
        return [Keep(step.head.version, opened)]

    def failed(self, error: str, message: str, now: int) -> list[RefreshAction]:
        """Stay with the universe that is in force."""
        self._judged = None
        self.tally.failures += 1
        self.tally.reason = "ERROR"
        fields = {"duration_ms": self._duration_ms(now), "error": error, "message": message}
        self._end(now)
        return [Note("universe_refresh_error", fields)]

    def opened(self, shard_id: int) -> None:
        """Take note of a shard that has its files, whether or not the generation was kept."""
        self.shards = {**self.shards, shard_id: self.shards.get(shard_id, ())}

    def kept(self, universe_file: str, now: int) -> list[RefreshAction]:
        """Put the generation in force, whose file is durable; `universe_file` is relative to the run."""
        judged, self._judged = self._judged, None
        if judged is None:
            raise ValueError("nothing was to be kept")
        step, changes = judged.step, judged.changes
        tally = self.tally
        tally.applied += 1
        tally.tokens_added, tally.tokens_removed = len(step.added), len(step.removed)
        tally.shards = len(changes)
        self._from_version = self.head.version
        self.head = step.head
        self.shards = applied(self.shards, changes)
        fields = {
            **judged.fields,
            "universe_version": step.head.version,
            "universe_file": universe_file,
            "universe_sha256": step.sha256,
            "token_count": step.head.token_count,
            "shards_changed": len(changes),
            "duration_ms": self._duration_ms(now),
        }
        self._policies.stagger.begun(changes, now)
        if not changes:
            self._end(now)
        return [Note("universe_refresh", fields)]

    # The timer.

    def deadline(self) -> int | None:
        """Earliest moment at which `deadline_reached` would do something."""
        policies = self._policies
        pending = [policies.refresh.deadline(), policies.stagger.deadline()]
        return min((due for due in pending if due is not None), default=None)

    def deadline_reached(self, now: int) -> list[RefreshAction]:
        """Do what is due: changes of shards first, so that they can end the cycle that is under way."""
        policies = self._policies
        actions: list[RefreshAction] = []
        for change in policies.stagger.deadline_reached(now):
            actions.append(Change(change, self._from_version, self.head.version))
            if not policies.stagger.pending:
                self._end(now)
        for action in policies.refresh.deadline_reached(now):
            if isinstance(action, Discover):
                actions.append(action)
                continue
            self.tally.reason = "SKIPPED_INFLIGHT"
            actions.append(self._note("SKIPPED_INFLIGHT", None, now))
        return actions

    def metrics(self) -> dict[str, object]:
        """Return the keys of the global metrics record that are about the universe."""
        tally, policies = self.tally, self._policies
        return {
            "universe_version": self.head.version,
            "refresh_count": tally.applied,
            "refresh_churn_pct_last": tally.churn_pct,
            "tokens_added_last": tally.tokens_added,
            "tokens_removed_last": tally.tokens_removed,
            "shards_refreshed_last": tally.shards,
            "refresh_failures": tally.failures,
            "refresh_interval_seconds_current": policies.refresh.interval_ns / NS_PER_S,
            "refresh_skipped_delta_below_min_count": tally.below_min,
            "refresh_last_decision_reason": tally.reason,
            "refresh_inflight_skipped_count": policies.refresh.skipped,
            "universe_refresh_duration_ms": _ms(tally.duration_ns),
            "universe_refresh_worker_duration_ms": _ms(tally.worker_ns),
            **_counts(tally.report),
            "expected_churn_bool": tally.expectation.expected,
            "expected_churn_reason": tally.expectation.reason,
            "rollover_window_hit": tally.expectation.rollover_hits > 0,
            "expiry_window_hit": tally.expectation.expiry_hits > 0,
        }

    # Inside.

    def _not_applied(self, reason: str, step: Step | None, now: int) -> list[RefreshAction]:
        self.tally.reason = "SKIPPED_CHURN_GUARD" if reason == "CHURN_GUARD" else reason
        actions: list[RefreshAction] = [self._note(reason, step, now)]
        self._end(now)
        return actions

    def _end(self, now: int) -> None:
        self._policies.refresh.ended(now, self._policies.churn.interval_ns)

    def _note(self, reason: str, step: Step | None, now: int) -> Note:
        fields = {**self._fields(reason, step), "duration_ms": self._duration_ms(now)}
        return Note("universe_refresh", fields)

    def _fields(self, reason: str, step: Step | None) -> dict[str, object]:
        """Return what every `universe_refresh` tells; of one that was not applied no file is kept."""
        added = () if step is None else step.added
        removed = () if step is None else step.removed
        current = self.head.token_count
        pct = churn_pct(len(added), len(removed), current)
        if reason != "SKIPPED_INFLIGHT":
            self.tally.churn_pct = pct
        return {
            "reason": reason,
            "universe_version": self.head.version,
            "universe_file": None,
            "universe_sha256": None,
            "added_count": len(added),
            "removed_count": len(removed),
            "changed_count": 0 if step is None else step.markets_changed,
            "token_count": current,
            "churn_pct": pct,
            "interval_seconds_used": self._policies.refresh.interval_ns / NS_PER_S,
            "interval_seconds_next": self._policies.churn.interval_ns / NS_PER_S,
            **_counts(self.tally.report),
            "added_sample": list(added[:SAMPLE_MAX]),
            "removed_sample": list(removed[:SAMPLE_MAX]),
            "expected_churn": self.tally.expectation.expected,
            "expected_churn_reason": self.tally.expectation.reason,
            "guard_bypassed": False,
            "shards_changed": 0,
        }

    def _sustained(self, pct: float) -> str:
        churn = self._policies.churn
        return (
            f"{churn.consecutive} refreshes in a row would have changed more than {churn.pct_max:g} % "
            f"of the tokens, the last one {pct:.1f} %; the universe is still generation "
            f"{self.head.version}"
        )

    def _duration_ms(self, now: int) -> float:
        self.tally.duration_ns = self._policies.refresh.elapsed_ns(now)
        return self.tally.duration_ns / NS_PER_MS


def _counts(report: Mapping[str, object]) -> dict[str, object]:
    names = ("gamma_pages_fetched", "markets_seen", "tokens_selected")
    return {name: report.get(name) for name in names}


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS
