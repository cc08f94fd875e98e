"""nautilus_trader's own work for the frames of a bundle: the handlers of its Polymarket data client.

    python tools/bench/nautilus_replay.py RUN [FRAMES]

Prints {frames, quotes, cpu_s}. The peer's code runs as it is, from the raw message to its books, deltas and quote
ticks, with its instruments in its own cache; there is no socket, and what would go to its message bus is counted.
Reading and checking of our frames is not counted.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace

import msgspec
from nautilus_trader.adapters.polymarket.common.parsing import parse_polymarket_instrument
from nautilus_trader.adapters.polymarket.data import PolymarketDataClient
from nautilus_trader.adapters.polymarket.websocket.types import MARKET_WS_MESSAGE
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock
from nautilus_trader.model.data import QuoteTick

from pm_frames import open_bundle


class Client:
    """What the handlers of the data client find on it; everybody subscribes to books and quotes."""

    _handle_raw_ws_message = PolymarketDataClient._handle_raw_ws_message
    _handle_ws_message = PolymarketDataClient._handle_ws_message
    _handle_book_snapshot = PolymarketDataClient._handle_book_snapshot
    _handle_deltas = PolymarketDataClient._handle_deltas
    _handle_quotes = PolymarketDataClient._handle_quotes
    _handle_quote = PolymarketDataClient._handle_quote

    def __init__(self, tokens: set[tuple[str, str]]) -> None:
        self._decoder_market_msg = msgspec.json.Decoder(MARKET_WS_MESSAGE)
        self._cache = Cache()
        self._clock = LiveClock()
        self._config = SimpleNamespace(
            compute_effective_deltas=False, drop_quotes_missing_side=True
        )
        self._local_books: dict = {}
        self._last_quotes: dict = {}
        self._pending_snapshot_after_tick_change: set = set()
        self.quotes = 0
        for condition_id, token_id in tokens:
            info = {
                "condition_id": condition_id, "question": "?", "minimum_tick_size": 0.001,
                "end_date_iso": "2030-01-01", "maker_base_fee": 0, "taker_base_fee": 0,
            }  # fmt: skip
            self._cache.add_instrument(
                parse_polymarket_instrument(info, token_id, "Yes", ts_init=0)
            )

    def is_subscribed_quote_ticks(self, _: object) -> bool:
        return True

    def _handle_data(self, data: object) -> None:
        self.quotes += isinstance(data, QuoteTick)


def payloads(run: str) -> Iterator[bytes]:
    return (frame.payload for _, _, frame in open_bundle(run).frames())


def main() -> None:
    some = list(islice(payloads(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
    books = [json.loads(payload) for payload in some if b'"event_type":"book"' in payload]
    client = Client({(book["market"], book["asset_id"]) for book in books})
    begun = time.process_time()
    for payload in some:
        client._handle_raw_ws_message(payload)
    spent = time.process_time() - begun
    assert len(client._local_books) == len(books), "a handler of the peer has failed"
    print(json.dumps({"frames": len(some), "quotes": client.quotes, "cpu_s": spent}))


if __name__ == "__main__":
    main()
