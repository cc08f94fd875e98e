"""The hashes of a simulation: intents, fills, the ledger, and the id of a result. All in this one place.

The intent hash is a contract: SHA-256 in hexadecimal of one line an intent, in UTF-8, each ended by `\\n`:

    seq|strategy_id|intent_type|market_id|side|price_e6|size_e6|tif|urgency|tag

`seq` is the number of the last event, `intent_type` place, cancel, merge or convert, `market_id` the token id.
A field that an intent has not is empty. No line at all gives the hash of nothing. What becomes of an order is
not in it; fills and the final ledger have hashes of their own.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from pm_frames.events.slots import canonical_json
from pm_sim.intents import Buy, Cancel, Convert, Merge, Sell
from pm_sim.ledger import Totals
from pm_sim.orders import Fill

LINES_MAX: Final = 1 << 10  # that wait to be hashed together
FORBIDDEN: Final = frozenset("|\n\r")


def unambiguous(text: str, what: str) -> str:
    """Return a text that may be a field of a line. ValueError if it would make the line ambiguous."""
    if not FORBIDDEN.isdisjoint(text):
        raise ValueError(f"{what} {text!r} holds | or the end of a line")
    return text


def intent_line(
    seq: int, strategy_id: str, market_id: str, intent: Buy | Sell | Cancel | Merge | Convert
) -> str:
    """Return the line of an intent; its tag and ids must be unambiguous."""
    if isinstance(intent, Buy) or isinstance(intent, Sell):
        _, px, size, tif, urgency, tag, _ = intent
        side = "buy" if isinstance(intent, Buy) else "sell"
        # What an enum formats is its value; asked for directly that takes a third of the time.
        return (
            f"{seq}|{strategy_id}|place|{market_id}|{side}|{px}|{size}"
            f"|{tif._value_}|{urgency._value_}|{tag or ''}\n"
        )
    tag = intent.tag or ""
    if isinstance(intent, Cancel):
        return f"{seq}|{strategy_id}|cancel|{market_id}||||||{tag}\n"
    kind = "merge" if isinstance(intent, Merge) else "convert"
    return f"{seq}|{strategy_id}|{kind}|{market_id}|||{int(intent.size_e6)}|||{tag}\n"


def fill_line(fill: Fill, market_id: str) -> str:
    """Return the line of a fill: every field that is not the place of a raw frame."""
    return (
        f"{fill.seq}|{fill.strategy_id}|fill|{market_id}|{fill.side}|{fill.px_e6}|{fill.size_e6}"
        f"|{fill.fee_e6}|{'maker' if fill.is_maker else 'taker'}|{fill.order_id}|{fill.at_ns}"
        f"|{int(fill.state)}|{fill.book_age_ns}|{'tainted' if fill.is_tainted else 'clean'}\n"
    )


class LineHash:
    """SHA-256 over lines."""

    def __init__(self) -> None:
        self.count = 0
        self._sha256 = hashlib.sha256()
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line with its end."""
        self.count += 1
        self._lines.append(line)
        if len(self._lines) >= LINES_MAX:
            self._flush()

    def hexdigest(self) -> str:
        """Return the hash of all lines so far."""
        self._flush()
        return self._sha256.hexdigest()

    def _flush(self) -> None:
        self._sha256.update("".join(self._lines).encode())
        self._lines.clear()


def ledger_hash(totals: Totals, positions_e6: Mapping[str, int]) -> str:
    """Return the hash of a final ledger: its totals, and shares by token id."""
    return _digest({**totals._asdict(), "positions_e6": dict(positions_e6)})


def result_id(stream_sha256: str, code: str, settings: Mapping[str, Any]) -> str:
    """Return the id of a result: the same stream, code and settings (seed included) give the same."""
    return _digest({"stream": stream_sha256, "code": code, "settings": dict(settings)})


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
