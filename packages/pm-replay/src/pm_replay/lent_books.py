"""Books of pairs of tokens, in the arrays that compiled code works on, while they are lent to it.

A `Token` that is lent is empty: what is known of its book is here, and goes back whole.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import numpy as np

from pm_frames.events import RUNLOG_SHARD
from pm_replay import compiled_books as compiled
from pm_replay.book import Levels
from pm_replay.compiled_books import Books, Bytes, Frames, Ints, Keys
from pm_replay.decoder import decode_quick_change
from pm_replay.e6 import NO_SIDE
from pm_replay.engine import stamp_ns
from pm_replay.messages import Change, Stating
from pm_replay.token import Market, Token

_MARKET: Final = re.compile(r"0x[0-9a-f]{64}")
_TOKEN: Final = re.compile(rf"[0-9]{{1,{compiled.TOKEN_BYTES}}}")
_HASH: Final = re.compile(rf"[0-9a-f]{{{compiled.HASH_BYTES}}}")
_NO_STAMP: Final = -2
_ROOM_MIN: Final = 16  # levels
_OF_A_PAIR: Final = ("pairs", "payloads", "tokens", "hashes", "sides")
_OF_A_KEY: Final = ("texts", "lengths", "token_of")


class LentBooks:
    """All pairs that are lent, and what the compiled code has to know of the others."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Token, Token, Market]] = []  # with that of which they are lent
        self._free: list[int] = []  # pairs that are nobody's now
        self._pair_of: dict[Token, int] = {}
        self.returned = (
            0  # pairs that were given back because something else was done with their market
        )
        self._books = Books(
            pairs=_ints(1, compiled.PAIR_COLUMNS),
            payloads=_bytes(1, compiled.PAYLOAD_BYTES_MAX),
            tokens=_ints(2, compiled.TOKEN_COLUMNS),
            hashes=_bytes(2, compiled.HASH_BYTES),
            sides=_ints(4, compiled.SIDE_COLUMNS),
            prices=_ints(1 << 10),
            sizes=_ints(1 << 10),
            last_stamps=_ints(RUNLOG_SHARD) - 1,
        )
        self._levels = 0  # of the pool, that are given to sides
        self._key_of: dict[tuple[str, str], int] = {}  # by market and first token
        self._keys = Keys(
            places=_ints(2) - 1,
            texts=_bytes(1, compiled.KEY_BYTES),
            lengths=_ints(1, 2),
            token_of=_ints(1) - 1,
        )
        # A whole book that was read: what `read_book` says of it, then its bids and asks in one.
        self._found = _ints(compiled.BOOK_COLUMNS)
        self._found_prices = _ints(0)
        self._found_sizes = _ints(0)

    # -- what is done with books that are lent ----------------------------------------------------

    def take(
        self, frames: Frames, row: int, *, deep: bool, counts: Ints, slots: Ints
    ) -> tuple[int, int]:
        """Take usual changes from a row on, as `compiled_books.take` says."""
        why, row = compiled.take(self._books, self._keys, frames, row, int(deep), counts, slots)
        return why, row

    def number_of(self, token: Token) -> int | None:
        """Return which token it is of those that are lent; None if it is not."""
        pair = self._pair_of.get(token)
        return None if pair is None else 2 * pair + (self._pairs[pair][1] is token)

    def row_of(self, number: int) -> Ints:
        """Return the row of a token, which may be changed."""
        row: Ints = self._books.tokens[number]
        return row

    def read_book(
        self, number: int, data: Bytes, at: int, end: int, token_length: int
    ) -> list[int] | None:
        """Read a whole book of a token as `compiled_books.read_book` does; None if it is not written as usual."""
        room = (end - at) // compiled.LEVEL_BYTES_MIN + 2
        if room > len(self._found_prices):
            self._found_prices, self._found_sizes = _ints(2 * room), _ints(2 * room)
        if not compiled.read_book(
            self._books, number, data, at, end, token_length, self._found, self._found_prices,
            self._found_sizes,
        ):  # fmt: skip
            return None
        found: list[int] = self._found.tolist()
        return found

    def replace(self, number: int) -> None:
        """Put the book that was read last into the place of that of a token."""
        begin = 0
        for side, column in enumerate((compiled.BIDS, compiled.ASKS), 2 * number):
            end = begin + int(self._found[column])
            self._put(side, self._found_prices[begin:end], self._found_sizes[begin:end])
            begin = end

    def set_hash(self, number: int, text: bytes) -> None:
        """Set the hash that was stated last."""
        self._books.hashes[number] = np.frombuffer(text, np.uint8)

    def levels(self, side: int) -> tuple[list[int], list[int]]:
        """Return the prices of a side, the worst first, and their sizes; bids of token 0, its asks, bids of token 1 …"""
        begin, length, _ = self._books.sides[side].tolist()
        span = slice(begin, begin + length)
        return self._books.prices[span].tolist(), self._books.sizes[span].tolist()

    def best(self, side: int) -> tuple[int, int]:
        """Return the best price of a side and its size."""
        begin, length, _ = self._books.sides[side].tolist()
        if not length:
            return NO_SIDE, 0
        at = begin + length - 1
        return int(self._books.prices[at]), int(self._books.sizes[at])

    def last_stamp(self, shard: int) -> int:
        """Return the stamp of the last frame of a shard that was taken, -1 for none."""
        return int(self._books.last_stamps[shard])

    def shards(self) -> list[int]:
        """Return the shards of which frames were taken."""
        found: list[int] = (self._books.last_stamps >= 0).nonzero()[0].tolist()
        return found

    def note_stamp(self, shard: int, mono_ns: int) -> None:
        """Take note of a frame that was taken."""
        self._books.last_stamps[shard] = mono_ns

    def make_room(self, side: int) -> None:
        """Give a side room for more levels than it has."""
        begin, length, _ = self._books.sides[side].tolist()
        span = slice(begin, begin + length)
        self._put(side, self._books.prices[span], self._books.sizes[span], more=1)

    # -- lending ----------------------------------------------------------------------------------

    def lend(self, first: Token, second: Token) -> bool:
        """Lend the tokens of a market, if they can be; return whether they were."""
        market = first.market
        if not (
            first not in self._pair_of
            and first.mate() is second
            and second.mate() is first
            and first.shard == second.shard >= 0
            and _MARKET.fullmatch(market.condition_id)
            and _TOKEN.fullmatch(first.token_id)
            and _TOKEN.fullmatch(second.token_id)
        ):
            return False
        pair = self._free.pop() if self._free else self._new_pair()
        self._pairs[pair] = first, second, market
        self._books.pairs[pair] = first.shard, 0
        for number, token in enumerate((first, second), 2 * pair):
            self._pair_of[token] = pair
            text = token.change.hash
            has_hash = text is not None and _HASH.fullmatch(text) is not None
            if text is not None and has_hash:
                self.set_hash(number, text.encode())
            self._books.tokens[number] = (
                token.number, token.ts, _group_stamp(token.group_text), token.group_settled,
                token.group_frame, token.mark, has_hash, False,
            )  # fmt: skip
            self._fill(2 * number, token.bids)
            self._fill(2 * number + 1, token.asks)
            token.replace({}, {})
        self._key(first, second, 2 * pair)
        self._key(second, first, 2 * pair + 1)
        return True

    def recall(self, market: Market) -> None:
        """Give back what is lent of a market."""
        for token in market.tokens:
            pair = self._pair_of.get(token)
            if pair is not None:
                self._give_back(pair)
                self.returned += 1

    def recall_moved(self) -> None:
        """Give back what is no longer a pair of the market that it was lent of."""
        for pair in set(self._pair_of.values()):
            first, second, market = self._pairs[pair]
            if first.market is not market or first.mate() is not second:
                self._give_back(pair)

    def recall_all(self) -> None:
        """Give back whatever is lent."""
        for pair in set(self._pair_of.values()):
            self._give_back(pair)

    def _give_back(self, pair: int) -> None:
        *tokens, market = self._pairs[pair]
        for token in tokens:
            self._keys.token_of[self._key_of[market.condition_id, token.token_id]] = -1
        self._free.append(pair)
        length = int(self._books.pairs[pair, compiled.PAYLOAD_LENGTH])
        changes: dict[str, Change | Stating] = {}
        if length:
            message = decode_quick_change(self._books.payloads[pair, :length].tobytes())
            changes = {change.asset_id: change for change in message.price_changes}
        for number, token in enumerate(tokens, 2 * pair):
            del self._pair_of[token]
            sides = range(2 * number, 2 * number + 2)
            token.replace(*(dict(zip(*self.levels(side), strict=True)) for side in sides))
            self._books.sides[sides] = 0
            _, ts, group_stamp, settled, frame, mark, _, is_touched = self.row_of(number).tolist()
            if not is_touched:
                continue
            token.ts = ts
            token.group_text = str(group_stamp // compiled.NS_PER_MS)
            token.group_settled = settled
            token.group_frame = frame
            token.mark = mark
            # The hash may be that of a whole book after the change.
            token.change = msgspec.structs.replace(
                changes.get(token.token_id, token.change),
                hash=self._books.hashes[number].tobytes().decode(),
            )

    def _new_pair(self) -> int:
        pair = len(self._pairs)
        if pair == len(self._books.pairs):
            self._books = self._books._replace(
                **{name: _doubled(getattr(self._books, name)) for name in _OF_A_PAIR}
            )
        self._pairs.append(None)  # type: ignore[arg-type]
        return pair

    def _fill(self, side: int, levels: Levels) -> None:
        """Put levels into a side, the best one last."""
        prices = np.fromiter(levels.keys(), np.int64, len(levels))
        order = prices.argsort()
        if side % 2:
            order = order[::-1]
        sizes = np.fromiter(levels.values(), np.int64, len(levels))
        self._put(side, prices[order], sizes[order])

    def _put(self, side: int, prices: Ints, sizes: Ints, *, more: int = 0) -> None:
        """Put levels into a side, which gets a new place in the pool if there is no room for so many, and `more`."""
        count = len(prices)
        if count + more > self._books.sides[side, compiled.ROOM]:
            room = max(_ROOM_MIN, 2 * (count + more))
            if self._levels + room > len(self._books.prices):
                self._renew_pool(room)
            self._books.sides[side] = self._levels, 0, room
            self._levels += room
        begin = int(self._books.sides[side, compiled.BEGIN])
        self._books.prices[begin : begin + count] = prices
        self._books.sizes[begin : begin + count] = sizes
        self._books.sides[side, compiled.LENGTH] = count

    def _renew_pool(self, more: int) -> None:
        """Make a pool twice as large as what sides have and `more`. What they have left is left behind."""
        sides = self._books.sides
        (used,) = sides[:, compiled.ROOM].nonzero()
        begins, lengths, rooms = sides[used].T
        ends = rooms.cumsum()
        sides[used, compiled.BEGIN] = ends - rooms
        self._levels = int(rooms.sum())
        # Where each level is, and where it goes.
        nth = np.arange(lengths.sum()) - (lengths.cumsum() - lengths).repeat(lengths)
        old, new = (each.repeat(lengths) + nth for each in (begins, ends - rooms))
        pools = []
        for pool in (self._books.prices, self._books.sizes):
            pools.append(_ints(2 * (self._levels + more)))
            pools[-1][new] = pool[old]
        self._books = self._books._replace(prices=pools[0], sizes=pools[1])

    def _key(self, first: Token, second: Token, number: int) -> None:
        """Let a frame of these two, in that order, be one of token `number` and the other one of its pair."""
        texts = first.market.condition_id, first.token_id, second.token_id
        key = self._key_of.setdefault(texts[:2], len(self._key_of))
        if key == len(self._keys.texts):
            doubled = {name: _doubled(getattr(self._keys, name)) for name in _OF_A_KEY}
            self._keys = self._keys._replace(**doubled)
        keys = self._keys
        is_new = not keys.texts[key, 0]
        rooms = (compiled.MARKET_BYTES, compiled.TOKEN_BYTES, compiled.TOKEN_BYTES)
        padded = "".join(text.ljust(room, "\0") for text, room in zip(texts, rooms, strict=True))
        keys.texts[key] = np.frombuffer(padded.encode(), np.uint8)
        keys.lengths[key] = len(texts[1]), len(texts[2])
        keys.token_of[key] = number
        if is_new:
            self._place(key)

    def _place(self, key: int) -> None:
        keys = self._keys
        new = [key]
        if 2 * len(self._key_of) > len(keys.places):  # half stay empty, so that every search ends
            self._keys = keys = keys._replace(places=_ints(2 * len(keys.places)) - 1)
            new = list(range(key + 1))
        for each in new:
            place = compiled.place_of(keys.texts[each], 0, len(keys.places))
            while keys.places[place] >= 0:
                place = (place + 1) % len(keys.places)
            keys.places[place] = each


def _group_stamp(text: str) -> int:
    """Return a stamp in ns if it would be written just so; it is for nothing but to be compared."""
    ts = stamp_ns(text)
    return ts if ts >= 0 and str(ts // compiled.NS_PER_MS) == text else _NO_STAMP


def _ints(*shape: int) -> Ints:
    return np.zeros(shape, np.int64)


def _bytes(*shape: int) -> Bytes:
    return np.zeros(shape, np.uint8)


def _doubled(array: Any) -> Any:
    """Return an array with as many rows again."""
    return np.concatenate((array, np.zeros_like(array)))
