"""nautilus_trader's own work for the frames of a bundle: its Polymarket parser, its books, its quote ticks.

    python tools/bench/nautilus_replay.py RUN [FRAMES]

Prints {frames, quotes, cpu_s}. What its data client does for each message (decode, delta, apply, best levels,
QuoteTick), without its socket, its message bus and its cache; reading and checking of our frames is not counted.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice

import msgspec
from nautilus_trader.adapters.polymarket.common.parsing import parse_polymarket_instrument
from nautilus_trader.adapters.polymarket.schemas.book import PolymarketBookSnapshot
from nautilus_trader.adapters.polymarket.websocket.types import MARKET_WS_MESSAGE
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, QuoteTick
from nautilus_trader.model.enums import BookAction, BookType, OrderSide, RecordFlag

from pm_frames import open_bundle


class Books:
    """One book for each token, as the data client keeps them."""

    def __init__(self) -> None:
        self.decode = msgspec.json.Decoder(MARKET_WS_MESSAGE).decode
        self.instruments: dict[str, object] = {}
        self.books: dict[str, OrderBook] = {}
        self.quotes = 0

    def frame(self, payload: bytes) -> None:
        message = self.decode(payload)
        if isinstance(message, PolymarketBookSnapshot):
            instrument = self.instrument(message.market, message.asset_id)
            deltas = message.parse_to_snapshot(instrument=instrument, ts_init=0)
            book = OrderBook(instrument.id, book_type=BookType.L2_MBP)
            book.apply_deltas(deltas)
            self.books[message.asset_id] = book
            self.quote(instrument, book, message.timestamp)
            return
        for change in message.price_changes:
            instrument = self.instrument(message.market, change.asset_id)
            order = BookOrder(
                side=OrderSide.BUY if change.side.value == "BUY" else OrderSide.SELL,
                price=instrument.make_price(float(change.price)),
                size=instrument.make_qty(float(change.size)),
                order_id=0,
            )
            delta = OrderBookDelta(
                instrument_id=instrument.id,
                action=BookAction.UPDATE if order.size > 0 else BookAction.DELETE,
                order=order,
                flags=RecordFlag.F_LAST,
                sequence=0,
                ts_event=millis_to_nanos(float(message.timestamp)),
                ts_init=0,
            )
            book = self.books[change.asset_id]
            book.apply(OrderBookDeltas(instrument.id, [delta]))
            self.quote(instrument, book, message.timestamp)

    def quote(self, instrument: object, book: OrderBook, timestamp: str) -> None:
        bid, ask = book.best_bid_price(), book.best_ask_price()
        if bid is None or ask is None:
            return
        QuoteTick(
            instrument_id=instrument.id,
            bid_price=bid,
            ask_price=ask,
            bid_size=book.best_bid_size(),
            ask_size=book.best_ask_size(),
            ts_event=millis_to_nanos(float(timestamp)),
            ts_init=0,
        )
        self.quotes += 1

    def instrument(self, condition_id: str, token_id: str) -> object:
        known = self.instruments.get(token_id)
        if known is None:
            info = {
                "condition_id": condition_id, "question": "?", "minimum_tick_size": 0.001,
                "end_date_iso": "2030-01-01", "maker_base_fee": 0, "taker_base_fee": 0,
            }  # fmt: skip
            known = parse_polymarket_instrument(info, token_id, "Yes", ts_init=0)
            self.instruments[token_id] = known
        return known


def payloads(run: str) -> Iterator[bytes]:
    return (frame.payload for _, _, frame in open_bundle(run).frames())


def main() -> None:
    books = Books()
    some = list(islice(payloads(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
    begun = time.process_time()
    for payload in some:
        books.frame(payload)
    spent = time.process_time() - begun
    print(json.dumps({"frames": len(some), "quotes": books.quotes, "cpu_s": spent}))


if __name__ == "__main__":
    main()
