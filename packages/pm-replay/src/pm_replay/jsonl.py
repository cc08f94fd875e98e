"""Events as JSON Lines: one event a line, names instead of numbers, null for what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from pm_frames.events import NO_TOKEN, NONE, RUNLOG_SHARD, Event, Kind, Side
from pm_frames.events.slots import SEQUENCED, SLOT, SLOT_BYTES, WITH_PAYLOAD, continuation_slots

SIDES: Final = {Side.BUY: "BUY", Side.SELL: "SELL", Side.NONE: None}
SETTLED: Final = ("unstated", "settled", "unsettled")


class Names:
    """Token numbers to token ids and markets, as a stream defines them."""

    def __init__(self) -> None:
        self._tokens: dict[int, str] = {}
        self._markets: dict[int, str] = {}

    def learn(self, event: Event) -> bool:
        """Take in a TOKEN or META slot; return whether it was one."""
        if event.kind == Kind.TOKEN:
            self._tokens[event.token] = event.text()
        elif event.kind == Kind.META:
            facts = event.json()
            for each in facts["tokens"]:
                self._markets[each["token"]] = facts["condition_id"]
        else:
            return False
        return True

    def token_id(self, number: int) -> str | None:
        """Return the id of a token number."""
        return self._tokens.get(number)

    def market_id(self, number: int) -> str | None:
        """Return the condition id of the market of a token number."""
        return self._markets.get(number)

    def fields(self, event: Event) -> dict[str, Any]:
        """Return an event with the keys that every line has, and those of its kind."""
        kind = Kind(event.kind)
        line: dict[str, Any] = {
            "seq": event.seq if kind in SEQUENCED else None,
            "kind": kind.name.lower(),
            "token_id": self.token_id(event.token),
            "market_id": self.market_id(event.token),
            "ts_recv_ns": event.ts_recv_ns,
            "ts_event_ns": None if event.ts_event_ns == NONE else event.ts_event_ns,
            "bid_px_e6": None,
            "bid_sz_e6": None,
            "ask_px_e6": None,
            "ask_sz_e6": None,
            "settled": None,
            "state": None if event.token == NO_TOKEN else event.state.name.lower(),
            "batch_end": event.batch_end,
            "shard": None if event.shard == RUNLOG_SHARD else event.shard,
            "frame": event.frame,
        }
        if kind is Kind.TOB:
            line["settled"] = SETTLED[event.settled]
            if event.bid_px_e6 != NONE:
                line["bid_px_e6"], line["bid_sz_e6"] = event.bid_px_e6, event.bid_sz_e6
            if event.ask_px_e6 != NONE:
                line["ask_px_e6"], line["ask_sz_e6"] = event.ask_px_e6, event.ask_sz_e6
        elif kind in (Kind.TRADE, Kind.LEVEL):
            line["side"] = SIDES[event.side]
            line["px_e6"], line["sz_e6"] = event.px_e6, event.sz_e6
        elif kind is Kind.TICK_SIZE:
            line["tick_size_e6"] = event.bid_px_e6
            line["old_tick_size_e6"] = None if event.ask_px_e6 == NONE else event.ask_px_e6
        elif kind is Kind.STATUS:
            line["since_ns"] = event.bid_sz_e6
        elif kind is Kind.BOOK:
            line["bid_levels"], line["ask_levels"] = event.bid_sz_e6, event.ask_sz_e6
        elif kind is Kind.CLOCK:
            line["mono_ns"], line["wall_ns_utc"] = event.bid_sz_e6, event.ask_sz_e6
        elif kind in (Kind.MARKET, Kind.UNKNOWN):
            line["facts"] = event.json()
        return line


class JsonLines:
    """A sink of packed slots that writes lines; header, definitions and END are told by no line."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._names = Names()

    def __call__(self, slots: bytes) -> None:
        """Take whole events: a payload is never cut by the writer."""
        lines = []
        at = 0
        while at < len(slots):
            event = Event._make((*SLOT.unpack_from(slots, at), b""))
            at += SLOT_BYTES
            if event.kind in WITH_PAYLOAD:
                count = continuation_slots(event.bid_sz_e6)
                starts = range(at, at + count * SLOT_BYTES, SLOT_BYTES)
                pieces = (slots[start : start + 62] for start in starts)
                event = event._replace(payload=b"".join(pieces)[: event.bid_sz_e6])
                at += count * SLOT_BYTES
            if event.kind in (Kind.HEADER, Kind.END) or self._names.learn(event):
                continue
            lines.append(json.dumps(self._names.fields(event), separators=(",", ":")))
        if lines:
            self._write(("\n".join(lines) + "\n").encode())
