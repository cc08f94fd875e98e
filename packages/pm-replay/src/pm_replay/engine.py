"""Frames and runlog records in, packed events out: pure, causal, and the same whoever feeds it.

Nothing here reads a clock, a file or the environment. What is told of it, and in which order, is
`pm_replay.telling`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pm_frames.continuity import Basis, Continuity, State, Transition
from pm_frames.events import NO_TOKEN, NONE, RUNLOG_SHARD, Kind, MarketChange, Settled
from pm_frames.events.slots import (
    PAYLOAD_MAX,
    SETTLED_SHIFT,
    SLOT,
    SZ_MAX,
    canonical_json,
)
from pm_frames.layout import Flag
from pm_frames.peek import peek
from pm_frames.rows import FrameRow
from pm_replay.book import Levels, Side, differing
from pm_replay.decoder import Decoder
from pm_replay.e6 import BAD, Prices, Sizes, Stated
from pm_replay.lifecycle import Lifecycles
from pm_replay.messages import (
    TOKEN_TYPES,
    BestBidAsk,
    Book,
    Lifecycle,
    Message,
    PriceChange,
    TickSizeChange,
    Trade,
    Unknown,
)
from pm_replay.oracles import Oracles
from pm_replay.registry import Registry
from pm_replay.telling import Options, Output, Telling
from pm_replay.token import Token

NS_PER_MS: Final = 1_000_000
_STAMP_DIGITS_MAX: Final = 13  # of milliseconds; most of these fit into 63 bits of ns
UNSTATED, SETTLED, UNSETTLED = (int(each) for each in Settled)
TOB: Final = int(Kind.TOB)
_pack: Final = SLOT.pack
_SIDES: Final = {"BUY": 0, "SELL": 1}
_FIRST: Final = int(Flag.FIRST)
EVENT_TYPE_MAX: Final = 256  # characters of an unknown one that are told; the frame has all
_SALVAGED: Final = int(Flag.SALVAGED)
_BREAK: Final = _FIRST | _SALVAGED
_FEE_BPS_MAX: Final = 10**9


def stamp_ns(text: str) -> int:
    """Return a venue stamp (milliseconds as text) in ns; -1 where it is none, or does not fit."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _STAMP_DIGITS_MAX:
        return NONE
    ts = int(text) * NS_PER_MS
    return ts if ts <= SZ_MAX else NONE


class Engine(Telling):
    """Replays one run."""

    def __init__(
        self,
        registry: Registry,
        basis: Basis,
        options: Options,
        oracles: Oracles,
        output: Output,
    ) -> None:
        super().__init__(options, output)
        self.registry = registry
        self.oracles = oracles
        self.decoder = Decoder()
        self.continuity = Continuity(basis)
        self.counts: Counter[str] = Counter()
        self._prices = Prices(1_000_000 if options.full else 2**31 - 1)
        self._sizes = Sizes()
        self._stated = Stated()
        self._times: dict[str, int] = {}
        self.lifecycles = Lifecycles()
        self._last_stamp: dict[int, int] = {}
        self._filtered = registry.is_filtered
        self._serial = 0
        self.frames = 0  # that were fed
        self.quick = 0  # of them, that a faster engine took without `frame`
        self._read: dict[type[Message], Callable[[Any], None]] = {
            PriceChange: self._price_change if options.full else self._passed_over,
            Book: self._book,
            Trade: self._trade,
            TickSizeChange: self._tick_size,
            BestBidAsk: self._best_bid_ask,
            Lifecycle: self._lifecycle,
            Unknown: self._unknown,
        }

    def feed(self, rows: Sequence[FrameRow]) -> None:
        """Feed rows of frames, in merge order; stops where `full` becomes true."""
        for row in rows:
            self.frame(*row)
            if self.full:
                return

    def frame(self, mono: int, shard: int, ordinal: int, flags: int, payload: bytes) -> None:
        """Feed a frame, in merge order: stamp, place, flags, payload."""
        self._mono = mono
        self._shard = shard
        self._frame = ordinal
        self._serial += 1
        if flags & _BREAK:
            self._break(shard, mono, flags)
        read = self._read
        if self._filtered and self._is_of_others(payload):
            self.counts["prefilter_skipped_frames"] += 1
        else:
            for message in self.decoder.decode(payload, shard, ordinal):
                read[type(message)](message)
        self._last_stamp[shard] = mono
        self.frames += 1
        if self._events or self._definitions or self._depth:
            self._end_of_input()

    def record(self, ordinal: int, record: Mapping[str, Any]) -> None:
        """Feed a runlog record, in merge order."""
        stamp = record.get("ts_mono_ns")
        if not isinstance(stamp, int) or stamp < 0:
            return
        self._mono = stamp
        self._shard = RUNLOG_SHARD
        self._frame = ordinal
        if record.get("record_type") == "heartbeat":
            self.clock(record.get("hb_mono_ns"), record.get("hb_wall_ns_utc"))
        else:
            self._transitions(self.continuity.record(record))
        self._end_of_input()

    def universe(self, document: Mapping[str, Any], mono_ns: int) -> None:
        """Take a universe generation that is in force from now on."""
        self._define(list(self.registry.apply(document)), mono_ns)
        self._end_of_input()

    def name(self, token_id: str, condition_id: str, mono_ns: int) -> None:
        """Define a token as a frame of that stamp did that is not fed."""
        self._mono = mono_ns
        self._token(token_id, condition_id)
        self._end_of_input()

    def close(self, at_mono_ns: int) -> None:
        """End the run where no `capture_stop` did."""
        self._mono = max(at_mono_ns, self._mono)
        self._shard = RUNLOG_SHARD
        self._frame = 0
        self._transitions(self.continuity.close(self._mono))
        self._end_of_input()

    def finish(self) -> None:
        """Judge what is still open; nothing more is fed after."""
        for token in self.registry.tokens.values():
            # Whether a batch is over cannot be known here: what agrees counts, what does not is open.
            if token.group_settled == UNSETTLED:
                self.oracles.unsettled(token)
            else:
                self.oracles.close_group(token, sampled=self._sampled())

    # The messages of the venue.

    def _price_change(self, message: PriceChange) -> None:  # noqa: C901, PLR0915
        # What `BatchEngine` does not take comes here; still many frames, so calls are spelt out.
        text = message.timestamp
        self._serial = serial = self._serial + 1
        prices, sizes, tokens, shard = self._prices, self._sizes, self.registry.tokens, self._shard
        oracles = self.oracles
        sampled = oracles.is_sampled(serial)
        quick = not sampled and oracles.counts_only
        agree = 0
        touched: list[Token] = []
        for change in message.price_changes:
            token = tokens.get(change.asset_id) or self._token(change.asset_id, message.market)
            if token is None:
                continue
            if token.shard != shard:
                self.counts["withheld_changes"] += 1
                continue
            price, size, side = prices[change.price], sizes[change.size], change.side
            if price < 0 or size < 0 or (side != "BUY" and side != "SELL"):
                self.decoder.schema_error("change_invalid")
                continue
            if text != token.group_text or change.hash != token.change.hash:
                if token.group_settled == SETTLED and quick:
                    agree += 1
                elif token.group_settled >= 0:
                    oracles.close_group(token, sampled=sampled)
                token.group_settled = -1
                token.group_text = text
            token.change = change
            if side == "BUY":
                token.set_bid(price, size)
            else:
                token.set_ask(price, size)
            if token.mark != serial:
                token.mark = serial
                touched.append(token)
            if token.depth_told:
                self._depth.append(self._level(token, price, size, side != "BUY"))
        oracles.agree += agree
        if not touched:
            return
        ts = self._times.get(text)
        if ts is None:
            ts = self._time(text)
        stated = self._stated
        for token in touched:
            self._in_time(token, ts)
            stated_bid, stated_ask = token.change.best_bid, token.change.best_ask
            bid, ask = token.bid, token.ask
            if token.group_settled == UNSETTLED:
                self.oracles.unsettled(token)
            if stated_bid is None and stated_ask is None:
                settled = UNSTATED
            elif stated[stated_bid or ""] == bid and stated[stated_ask or ""] == ask:
                settled = SETTLED
            else:
                settled = UNSETTLED
            token.group_settled = settled
            token.group_frame = self._frame
            if not (self._plain and self.emitting and token.chosen):
                self._top(token, ts, settled)
                continue
            self.seq = seq = self.seq + 1
            self._events.append(
                _pack(
                    seq, self._mono, ts, token.bid_size, token.ask_size, self._frame, token.number,
                    bid, ask, shard, TOB, token.state | settled << SETTLED_SHIFT,
                )
            )  # fmt: skip

    def _book(self, message: Book) -> None:
        token = self._token(message.asset_id, message.market)
        if token is None:
            return
        bids = Side(message.bids, self._prices, self._sizes)
        asks = Side(message.asks, self._prices, self._sizes)
        if bids.invalid or asks.invalid:
            self.decoder.schema_error("level_invalid")
            self.counts["levels_invalid"] += bids.invalid + asks.invalid
        token.market.stated(message.tick_size, message.last_trade_price)
        ts = self._time(message.timestamp)
        self._compare(token, message.timestamp, bids.levels, asks.levels)
        self._transitions(self.continuity.book(token.token_id, self._shard, self._mono))
        if self._options.full and not self._is_live_here(token):
            self.counts["withheld_books"] += 1
            return
        self._in_time(token, ts)
        token.shard = self._shard
        token.replace(bids.levels, asks.levels)
        token.group_text = message.timestamp
        token.change = msgspec.structs.replace(token.change, hash=message.hash)
        token.mark = self._serial
        token.group_frame = self._frame
        if self._sampled():
            self.oracles.sample(token)
        if self._options.depth and self.emitting and token.chosen:
            self._whole_depth(token)
        self._top(token, ts, SETTLED)

    def _compare(self, token: Token, text: str, bids: Levels, asks: Levels) -> None:
        """Judge our book by a whole one that has arrived, before that takes its place."""
        if token.shard != self._shard:
            return
        if token.group_settled == UNSETTLED and token.group_text == text:
            self.oracles.unsettled(token)
        else:
            self.oracles.close_group(token, sampled=self._sampled())
        token.group_frame = self._frame
        self.oracles.snapshot(token, differing(bids, token.bids) + differing(asks, token.asks))

    def _trade(self, message: Trade) -> None:
        token = self._token(message.asset_id, message.market)
        if token is None:
            return
        price, size = self._prices[message.price], self._sizes[message.size]
        if price == BAD or size == BAD:
            self.decoder.schema_error("trade_invalid")
            return
        token.market.traded(message.price)
        if not self._options.full:
            return
        fee = self._sizes[message.fee_rate_bps or "x"] // 1_000_000
        self._event(
            Kind.TRADE, token, self._time(message.timestamp),
            (size, fee if 0 <= fee < _FEE_BPS_MAX else NONE, price, _SIDES.get(message.side, NONE)),
            int(token.state),
        )  # fmt: skip

    def _tick_size(self, message: TickSizeChange) -> None:
        token = self._token(message.asset_id, message.market)
        if token is None:
            return
        new, old = self._prices[message.new_tick_size], self._prices[message.old_tick_size or ""]
        if new == BAD:
            self.decoder.schema_error("tick_size_invalid")
            return
        for each in token.market.tokens:
            self.oracles.close_group(
                each, sampled=self._sampled()
            )  # while the tick is still the one that they were hashed with
        token.market.tick_size = message.new_tick_size
        if self._options.full:
            # A new epoch: what was on the old grid is not ours to carry over.
            token.forget()
            self._event(
                Kind.TICK_SIZE, token, self._time(message.timestamp), (0, 0, new, old),
                int(token.state),
            )  # fmt: skip

    def _best_bid_ask(self, message: BestBidAsk) -> None:
        # It comes before the changes that it speaks of and may not come at all: nothing is told of it.
        self._token(message.asset_id, message.market)
        self.counts["best_bid_ask"] += 1

    def _passed_over(self, message: PriceChange) -> None:
        self.counts["passed_over"] += 1

    def _lifecycle(self, message: Lifecycle) -> None:
        if not self._options.full:
            return
        if self.lifecycles.is_repeated(message):
            self.counts["lifecycle_repeats"] += 1
            return
        facts = self.lifecycles.facts(message)
        winner = self.registry.tokens.get(str(facts.get("winning_token_id")))
        change = MarketChange.NEW if facts["change"] == "new" else MarketChange.RESOLVED
        if self._filtered and not self.registry.chooses_any(facts["token_ids"]):
            return
        payload = canonical_json(facts)
        if len(payload) > PAYLOAD_MAX:
            self.decoder.schema_error("message_too_long")
            return
        number = NO_TOKEN if winner is None or not winner.chosen else winner.number
        self._plain_event(
            Kind.MARKET, number, self._time(message.timestamp),
            (len(payload), 0, int(change), NONE), 0, payload,
        )  # fmt: skip

    def _unknown(self, message: Unknown) -> None:
        self.counts["unknown"] += 1
        if not self._options.full:
            return
        name = message.event_type
        payload = canonical_json({"event_type": None if name is None else name[:EVENT_TYPE_MAX]})
        self._plain_event(
            Kind.UNKNOWN, NO_TOKEN, self._time(message.timestamp),
            (len(payload), 0, NONE, NONE), 0, payload,
        )  # fmt: skip

    # Continuity.

    def _sampled(self) -> bool:
        return self.oracles.is_sampled(self._serial)

    def _is_live_here(self, token: Token) -> bool:
        """Return whether a book of the connection that this frame came on can be believed."""
        return self._is_live_at(token, self._shard)

    def _is_live_at(self, token: Token, shard: int) -> bool:
        return token.state is State.LIVE and self.continuity.shard_of(token.token_id) == shard

    def _break(self, shard: int, mono: int, flags: int) -> None:
        since = self._last_stamp.get(shard)
        if flags & _SALVAGED:
            self.counts["holes"] += 1
            self._transitions(self.continuity.hole(shard, mono, since_mono_ns=since))
        if flags & _FIRST:
            self._transitions(self.continuity.first_of_connection(shard, mono, since_mono_ns=since))

    def _transitions(self, transitions: Sequence[Transition]) -> None:
        for moved in transitions:
            token = self._token(moved.token_id, "")
            if token is None:
                continue
            before, token.state = token.state, moved.state
            if moved.state is not State.LIVE and token.known and self._options.full:
                if token.group_settled == UNSETTLED:
                    self.oracles.unsettled(token)
                else:
                    self.oracles.close_group(token, sampled=self._sampled())
                token.forget()
            if self._options.full:
                self._event(
                    Kind.STATUS, token, NONE, (moved.since_mono_ns, int(before), NONE, NONE),
                    int(moved.state),
                )  # fmt: skip

    def _token(self, token_id: str, condition_id: str) -> Token | None:
        token = self.registry.tokens.get(token_id)
        if token is None:
            token, definitions = self.registry.token(token_id, condition_id)
            self._define(definitions, self._mono)
            if token is None:
                self.decoder.schema_error("token_id_unusable")
        elif condition_id and not token.market.condition_id:
            self._define(self.registry.place(token, condition_id), self._mono)
        return token

    def _time(self, text: str) -> int:
        """Return a venue stamp (milliseconds as text) in ns; -1 where it is none."""
        ts = self._times.get(text)
        if ts is not None:
            return ts
        ts = stamp_ns(text)
        if ts == NONE:
            self.counts["timestamps_missing"] += 1
        if len(self._times) >= 1024:
            self._times.clear()
        if ts != NONE:
            self._times[text] = ts
        return ts

    def _in_time(self, token: Token, ts: int) -> None:
        """Count a book or a change that the venue has stamped before the one before it."""
        if 0 <= ts < token.ts:
            self.counts["timestamps_out_of_order"] += 1
        token.ts = ts

    def _is_of_others(self, payload: bytes) -> bool:
        """Return whether a payload is certainly of nothing but known tokens that were not chosen."""
        found = peek(payload)
        return (
            bool(found.token_ids)
            and TOKEN_TYPES.issuperset(found.event_types)
            and self.registry.knows_as_others(found.token_ids)
        )
