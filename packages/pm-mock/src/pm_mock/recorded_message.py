"""What a recorded frame says of books, trades, ticks and markets: as much as a venue that replays it must know."""

from collections.abc import Iterator

import msgspec


class Level(msgspec.Struct):
    """One level of a side, as the venue wrote it."""

    price: str
    size: str


class Change(Level):
    """A new whole size at a price; without `asset_id` it is of its event's token."""

    side: str
    asset_id: str = ""
    hash: str | None = None


class Event(msgspec.Struct):
    """Any event of the market channel; what it does not have is empty."""

    event_type: str = ""
    market: str | None = None
    asset_id: str = ""
    timestamp: str | int = ""
    hash: str | None = None
    bids: list[Level] | None = None
    asks: list[Level] | None = None
    price_changes: list[Change] | None = None
    changes: list[Change] | None = None
    price: str = ""
    size: str = ""
    side: str = ""
    tick_size: str | None = None
    new_tick_size: str | None = None
    last_trade_price: str | None = None
    winning_asset_id: str | None = None

    def all_changes(self) -> Iterator[tuple[str, Change]]:
        """Every change of a `price_change` in any of its three schemas, with its token."""
        if self.price_changes is not None:
            for change in self.price_changes:
                yield change.asset_id, change
        elif self.changes is not None:
            for change in self.changes:
                yield self.asset_id, change
        elif self.side:
            yield self.asset_id, Change(self.price, self.size, self.side, self.asset_id, self.hash)


_NOT_READABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_MESSAGE = msgspec.json.Decoder(Event | list[Event])
_EVENT = msgspec.json.Decoder(Event)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


def events_of(payload: bytes) -> list[Event]:
    """The events of a frame that can be understood, in order; one that cannot be spoils no other."""
    try:
        found = _MESSAGE.decode(payload)
    except _NOT_READABLE:
        return list(_one_by_one(payload))
    return found if isinstance(found, list) else [found]


def _one_by_one(payload: bytes) -> Iterator[Event]:
    try:
        elements = _ELEMENTS.decode(payload)
    except _NOT_READABLE:
        return
    for element in elements:
        try:
            yield _EVENT.decode(element)
        except _NOT_READABLE:
            continue
