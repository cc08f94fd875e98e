"""Live is a replay that has not ended: what there is besides is stage latencies, health, and giving up.

Nothing here changes what is simulated. Every stage is this process's own clock minus the receive stamp, or
minus an earlier look at the same clock; only stages that exist are told. Of those that the predecessors
named, the ones from receiving to the state of the book are pm-replay's and the pipe's, here one figure:

| stage | from | to |
|---|---|---|
| `recv_to_state` | frame received (`ts_recv_ns`) | event read here: decoded, normalised, applied |
| `state_to_strategy` | event read | event handed to the engine |
| `strategy_to_allocator` | event handed over | its first intent reaches the allocator |
| `allocator_to_execution` | intent at the allocator | order at the simulated venue |
| `execution_to_emit` | last order at the venue | event dealt with |
| `e2e_intent_ready` | frame received | first intent at the allocator |
| `e2e_total` | frame received | event dealt with |
"""

import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from pm_frames.command import ExitCode
from pm_frames.continuity import State
from pm_frames.events import Event, Kind
from pm_frames.events.slots import SEQUENCED, SLOT, SLOT_BYTES
from pm_frames.histogram import LogHistogram
from pm_sim.allocator import NO_RISK, Allocator, Risk
from pm_sim.engine import Engine
from pm_sim.exchange import Exchange
from pm_sim.lens import Lens
from pm_sim.orders import RejectReason
from pm_sim.report import Verdict

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
STAGES: Final = (
    "recv_to_state", "state_to_strategy", "strategy_to_allocator", "allocator_to_execution",
    "execution_to_emit", "e2e_intent_ready", "e2e_total",
)  # fmt: skip
# Both clocks were read together when the run began. If they have gone on equally long since, within this, the
# receive clock is ours: the same machine, and not started again.
SAME_CLOCK_NS: Final = 10 * NS_PER_S
ENDING_NS: Final = 10 * NS_PER_S  # for whoever writes the events to write END, after being asked to
_SEQUENCED: Final = frozenset(int(kind) for kind in SEQUENCED)
_STATUS: Final = int(Kind.STATUS)
_STATED: Final = frozenset({int(Kind.TOB), _STATUS})
_HAD_A_CONNECTION: Final = frozenset({State.LIVE, State.PLANNED_CHANGE})

Clock = Callable[[], int]


class Live:
    """Watches a simulation that follows a run; both clocks are in ns."""

    def __init__(
        self,
        mono: Clock,
        wall: Clock,
        *,
        beat: Callable[[dict[str, Any]], object] | None = None,
        interval_ns: int = 10 * NS_PER_S,
        stall_ns: int = 60 * NS_PER_S,
        duration_ns: int | None = None,
        stop: Callable[[], object] | None = None,
    ) -> None:
        """`beat` gets a heartbeat every `interval_ns`.

        Given up is when nothing came for `stall_ns`, or when `stall_ns` have passed since `duration_ns`
        should have been over. Then `stop` asks the writer of the events to end them, if there is a way.
        """
        self._mono, self._wall = mono, wall
        self._beat = beat
        self._interval_ns, self._stall_ns = interval_ns, stall_ns
        self._latest_ns = None if duration_ns is None else mono() + duration_ns + stall_ns
        self.stop = stop
        self.interrupted: Callable[[], bool] = lambda: False
        self.gave_up: str | None = None
        self.histograms = {stage: LogHistogram() for stage in STAGES}
        self._record = {stage: one.record for stage, one in self.histograms.items()}
        self._begun_ns = self._since_ns = self._read_ns = self._beaten_ns = mono()
        self._asked_ns = 0
        self._clock_is_ours = False
        self._engine: Engine | None = None
        self._states: dict[int, int] = {}
        self._counts = {"live": 0, "ended_live": 0, "caught_up": 0, "heartbeats": 0}
        self._replay: dict[str, Any] = {}  # the summary of pm-replay, once it is there
        self._silence_ns = 0
        self._event_ns = 0  # receive stamp of the last event
        self._handed_ns = self._intent_ns = self._submitted_ns = 0

    def attach(self, engine: Engine) -> None:
        """Look at the clocks, and put allocators and venues that are looked at in place of the plain ones."""
        header = engine.header
        self._engine = engine
        # What came while this process and pm-replay were starting is not what one waits for later.
        self._since_ns = self._mono()
        if header.t0_wall_ns >= 0:
            apart = (self._wall() - header.t0_wall_ns) - (self._mono() - header.t0_mono_ns)
            self._clock_is_ours = abs(apart) <= SAME_CLOCK_NS
        for lens in engine.lenses:
            lens.allocator = _LookedAtAllocator(lens, self)
            lens.exchange = _LookedAtExchange(lens, self)

    def blocks(self, blocks: Iterable[bytes | Event]) -> Iterator[bytes | Event]:
        """Hand the stream on slot by slot, and measure what becomes of each event."""
        for block in blocks:
            read = self._mono()
            self._silence_ns = max(self._silence_ns, read - self._read_ns)
            self._read_ns = read
            if isinstance(block, Event):
                yield from self._measured(block, block)
            else:
                for at in range(0, len(block), SLOT_BYTES):
                    slot = block[at : at + SLOT_BYTES]
                    yield from self._measured(slot, SLOT.unpack(slot))
            self._beat_if_due()

    def _measured(
        self, one: bytes | Event, slot: tuple[int, ...] | Event
    ) -> Iterator[bytes | Event]:
        received, kind = slot[1], slot[10]
        self._handed_ns = handed = self._mono()
        self._intent_ns = self._submitted_ns = 0
        yield one
        if kind not in _SEQUENCED:
            return
        done = self._mono()
        self._event_ns = received
        if kind in _STATED:
            self._stated(slot[6], slot[11] & 7, slot[4] if kind == _STATUS else None)
        is_now = self._clock_is_ours and self._since_ns <= received <= self._read_ns
        if self._clock_is_ours and not is_now:
            self._counts["caught_up"] += 1
            return
        record = self._record
        record["state_to_strategy"](handed - self._read_ns)
        if self._intent_ns:
            record["strategy_to_allocator"](self._intent_ns - handed)
        if self._submitted_ns:
            record["execution_to_emit"](done - self._submitted_ns)
        if is_now:
            record["recv_to_state"](self._read_ns - received)
            record["e2e_total"](done - received)
            if self._intent_ns:
                record["e2e_intent_ready"](self._intent_ns - received)

    def _stated(self, token: int, state: int, came_from: int | None) -> None:
        # The end of a run ends all books, after a stop has closed their connections, as planned. What matters
        # is which of them had one until then.
        self._counts["ended_live"] += state == State.ENDED and came_from in _HAD_A_CONNECTION
        before = self._states.get(token)
        self._states[token] = state
        self._counts["live"] += (state == State.LIVE) - (before == State.LIVE)

    def reached_allocator(self) -> int:
        """Note that an intent is at the allocator; return when."""
        now = self._mono()
        self._intent_ns = self._intent_ns or now
        return now

    def reached_venue(self, since_ns: int) -> None:
        """Note that an order is at the venue."""
        self._submitted_ns = self._mono()
        self._record["allocator_to_execution"](self._submitted_ns - since_ns)

    # -- while nothing comes ----------------------------------------------------------------------

    def idle(self) -> bool:
        """Take that nothing has come for a moment; False: give up."""
        self._beat_if_due()
        now = self._mono()
        if self._asked_ns:
            return now - self._asked_ns < ENDING_NS
        if self.interrupted() and self.stop is None:
            return False
        if now - self._read_ns >= self._stall_ns:
            self.gave_up = f"nothing arrived for {Decimal(self._stall_ns) / NS_PER_S:f} s"
        elif self._latest_ns is not None and now >= self._latest_ns:
            self.gave_up = "the time is over, and so much capture time has not been seen"
        if self.gave_up is None:
            return True
        self._asked_ns = now
        if self.stop is None:
            return False
        self.stop()
        return True

    def _beat_if_due(self) -> None:
        now = self._mono()
        if now - self._beaten_ns < self._interval_ns:
            return
        self._beaten_ns = now
        self._counts["heartbeats"] += 1
        if self._beat is not None:
            self._beat({"record_type": "live_health_heartbeat", **self._health()})

    def replayed(self, summary: bytes) -> None:
        """Take what pm-replay says of itself at its end; what is not JSON says nothing."""
        try:
            told = json.loads(summary)
        except ValueError:
            return
        self._replay = told if isinstance(told, dict) else {}

    # -- what is told -------------------------------------------------------------------------------

    def _health(self) -> dict[str, Any]:
        now, engine = self._mono(), self._engine
        head: Lens | None = None if engine is None else engine.lenses[0]
        behind = now - self._event_ns if self._clock_is_ours and self._event_ns else None
        return {
            "at_wall_ns_utc": self._wall(),
            "elapsed_ms": (now - self._begun_ns) // NS_PER_MS,
            "canonical_events": 0 if engine is None else engine.books.seq,
            "intents": 0 if head is None else head.intents.count,
            "fills": 0 if head is None else head.fills.count,
            "tokens": len(self._states),
            "live_tokens": self._counts["live"],
            "reconnects": 0 if engine is None else engine.books.reconnects,
            "silent_ms": (now - self._read_ns) // NS_PER_MS,
            "behind_ms": None if behind is None else behind // NS_PER_MS,
            "dropped": 0,  # the pipe waits for us
        }

    def health_summary(self, judged: Verdict) -> dict[str, Any]:
        """Return the last word on health."""
        return {
            "record_type": "live_health_summary",
            "ok": judged.ok,
            "error": judged.error,
            **self._health(),
            "heartbeats": self._counts["heartbeats"],
            "longest_silence_ms": self._silence_ns // NS_PER_MS,
        }

    def latency_report(self) -> dict[str, Any]:
        """Return the stages in microseconds, and the histograms (ns) to be merged with others.

        Events that were received before this process began are not in it, but counted; so are none that
        were stamped by another clock.
        """
        return {
            "record_type": "live_latency_report",
            "clock": "receive" if self._clock_is_ours else "other",
            "caught_up_events": self._counts["caught_up"],
            # Of all frames that pm-replay has read, those that it caught up with included.
            "replay": {"recv_to_decode_start": _of_replay_us(self._replay.get("follow"))},
            "stages": {stage: summary_us(one) for stage, one in self.histograms.items()},
            "histograms_ns": {stage: one.to_dict() for stage, one in self.histograms.items()},
        }

    def counts(self) -> dict[str, int | None]:
        """Return what the line of a live simulation counts besides."""
        decode = self._replay.get("decode")
        errors = decode.get("decode_errors") if isinstance(decode, dict) else None
        return {
            "reconnects": 0 if self._engine is None else self._engine.books.reconnects,
            # What pm-replay could not decode, whatever the reason; None where the events come from elsewhere.
            "decode_errors": sum(errors.values()) if isinstance(errors, dict) else None,
            "dropped": 0,  # the pipe waits for us
        }

    def judged(self, judged: Verdict) -> Verdict:
        """Judge once more: live without data, or without a book that is live, is not ok."""
        if self.gave_up is not None:
            error = self.gave_up if judged.error is None else f"{self.gave_up}; {judged.error}"
            code = ExitCode.FINDINGS if judged.ok else judged.exit_code
            return Verdict(code, error)
        if not judged.ok or self._engine is None:
            return judged
        if not self._engine.books.tops:
            return Verdict(ExitCode.FINDINGS, "no data: the stream told no top of any book")
        if not self._counts["live"] and not self._counts["ended_live"]:
            return Verdict(ExitCode.FINDINGS, "no book is live at the end")
        return judged


def summary_us(histogram: LogHistogram) -> dict[str, int | float]:
    """Return what a latency report says of a stage."""
    return {
        "count": histogram.count,
        **{f"p{one}_us": histogram.quantile(one) / 1000 for one in (50, 90, 99)},
        "max_us": histogram.max / 1000,
    }


def _of_replay_us(follow: Any) -> dict[str, float] | None:
    lag = follow.get("lag_ns") if isinstance(follow, dict) else None
    if not isinstance(lag, dict):
        return None
    return {f"{name}_us": ns / 1000 for name, ns in lag.items() if isinstance(ns, int)}


class _LookedAtAllocator(Allocator):
    def __init__(self, lens: Lens, live: Live) -> None:
        super().__init__(lens.allocator.limits)
        self._live = live
        self.at_ns = 0

    def lets_through(self, strategy_id: str, now: tuple[int, int], risk: Risk = NO_RISK) -> bool:
        self.at_ns = self._live.reached_allocator()
        return super().lets_through(strategy_id, now, risk)


class _LookedAtExchange(Exchange):
    def __init__(self, lens: Lens, live: Live) -> None:
        super().__init__(lens.facts.markets, lens.depth, lens.ledger, lens.terms)
        self._live = live
        self._allocator = lens.allocator

    def set_aside(self, *wanted: Any) -> RejectReason | None:
        assert isinstance(self._allocator, _LookedAtAllocator)
        self._live.reached_venue(self._allocator.at_ns)
        return super().set_aside(*wanted)
