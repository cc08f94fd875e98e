"""The usual price change in compiled code: its bytes to two tops, with the books in arrays.

A frame is taken only if its bytes are exactly those of a usual change as the venue writes it today: one level of both
tokens of a market, the fields in their order, without spaces, texts without escapes, decimals in plain digits.
Nothing is approximate: decimals are read as integers, and market, tokens and hashes are compared in full. What
differs in anything is for `Engine.frame`, from books that are given back to it (`pm_replay.compiled_engine`).

Compiling takes seconds, once for each installation: numba keeps the result beside this file, or where it may
write. All compiled code is in this one file because that is how far numba looks for changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from pm_frames.continuity import State
from pm_frames.events import Kind, Settled
from pm_frames.events.slots import BATCH_END, SETTLED_SHIFT
from pm_frames.layout import Flag

Ints: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]

# Why `take` stops at a frame.
DONE: Final = 0  # it did not: all were taken
UNUSUAL: Final = 1  # not a usual change, or not in usual circumstances
NOT_LENT: Final = 2  # a change in tokens whose books are not here
NO_ROOM: Final = 3  # a level more than there is room for
BOOK: Final = 4  # a whole book of one token, as far as its first and last bytes say

# What `take` goes on counting, in the array that it is given; up to which serial it may; where it had no room.
(
    SEQ, SERIAL, TAKEN, AGREE, UNSETTLED, OUT_OF_ORDER, ORDINAL, SAMPLED, SIDE, COUNTS,
) = range(10)  # fmt: skip

# The columns of a pair.
SHARD, PAYLOAD_LENGTH, PAIR_COLUMNS = range(3)
# The columns of a token; what it is called there is what `Token` calls it.
NUMBER, STAMP, GROUP_STAMP, SETTLED, FRAME, MARK, HAS_HASH, IS_TOUCHED, TOKEN_COLUMNS = range(9)
# The columns of a side: where its levels are in the pool, how many there are, for how many there is room.
BEGIN, LENGTH, ROOM, SIDE_COLUMNS = range(4)

MARKET_BYTES: Final = 66
TOKEN_BYTES: Final = 80
KEY_BYTES: Final = MARKET_BYTES + 2 * TOKEN_BYTES
HASH_BYTES: Final = 40
PAYLOAD_BYTES_MAX: Final = 640  # of a usual change; most are of less than 500
PAYLOAD_BYTES_MIN: Final = 300
PADDING: Final = bytes(256)  # of what is read of a frame that ends too early
STAMP_MS_MAX: Final = 9_223_372_036_854
NS_PER_MS: Final = 1_000_000
_STAMP_DIGITS: Final = 13
_WHOLE_DIGITS: Final = 12
_PART_DIGITS: Final = 6
_ONE_E6: Final = 1_000_000
_QUOTE, _DOT, _ZERO, _NINE, _COMMA, _CLOSE, _END_OF_OBJECT = b'".09,]}'
_NO_SIDE: Final = -1
_NO_PRICE: Final = -2
_SERIALS: Final = 2  # that a frame with one message takes
_BREAK: Final = int(Flag.FIRST | Flag.SALVAGED)
_IS_SETTLED: Final = int(Settled.SETTLED)
_IS_UNSETTLED: Final = int(Settled.UNSETTLED)
_IS_UNSTATED: Final = int(Settled.UNSTATED)
# The last bytes of a slot, kind and flags; a book that can be changed is LIVE.
_TOB: Final = int(Kind.TOB) | int(State.LIVE) << 8
_LEVEL: Final = int(Kind.LEVEL) | int(State.LIVE) << 8
_SETTLED_AT: Final = 8 + SETTLED_SHIFT


class Books(NamedTuple):
    """What is lent: rows of a pair, of a token (both of a pair in a row), of a side (bids and asks of a token in a row)."""

    pairs: Ints
    payloads: Bytes  # of the pair's last change
    tokens: Ints
    hashes: Bytes
    sides: Ints
    prices: Ints  # the pool: levels of each side, the worst first
    sizes: Ints
    last_stamps: Ints  # of the frames that were taken, by shard


class Keys(NamedTuple):
    """By what a frame of a pair is known: market and tokens, in the order of the frame; a hash table."""

    places: Ints  # keys, -1 for none
    texts: Bytes
    lengths: Ints  # of both tokens
    token_of: Ints  # the first token, -1 if it is not lent


class Frames(NamedTuple):
    """A block of frames: their payloads with `PADDING` behind, and of each where it ends, and the rest of its row."""

    data: Bytes
    ends: Ints
    monos: Ints
    shards: Ints
    ordinals: Ints
    flags: Ints


def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = numba.njit(forceinline=True)(function)
    return made


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        made: Callable[..., Any] = numba.njit(cache=True)(function)
    except RuntimeError:  # there is no place at all to keep it
        made = numba.njit(function)
    return made


def _bytes(text: bytes) -> Bytes:
    return np.frombuffer(text, np.uint8)


_MARKET_KEY: Final = _bytes(b'{"market":"')
_FIRST_KEY: Final = _bytes(b'","price_changes":[{"asset_id":"')
_SECOND_KEY: Final = _bytes(b'"},{"asset_id":"')
_PRICE_KEY: Final = _bytes(b'","price":"')
_SIZE_KEY: Final = _bytes(b'","size":"')
_SIDE_KEY: Final = _bytes(b'","side":"')
_BUY: Final = _bytes(b'BUY","hash":"')
_SELL: Final = _bytes(b'SELL","hash":"')
_BID_KEY: Final = _bytes(b'","best_bid":"')
_ASK_KEY: Final = _bytes(b'","best_ask":"')
_STAMP_KEY: Final = _bytes(b'"}],"timestamp":"')
_END: Final = _bytes(b'","event_type":"price_change"}')
MARKET_AT: Final = len(_MARKET_KEY)
BOOK_TOKEN_AT: Final = len(_MARKET_KEY) + MARKET_BYTES + len(b'","asset_id":"')
_BOOK_TOKEN_KEY: Final = _bytes(b'","asset_id":"')
_BOOK_STAMP_KEY: Final = _bytes(b'","timestamp":"')
_BOOK_HASH_KEY: Final = _bytes(b'","hash":"')
_BIDS_KEY: Final = _bytes(b'","bids":[')
_ASKS_KEY: Final = _bytes(b'],"asks":[')
_LEVEL_KEY: Final = _bytes(b'{"price":"')
_LEVEL_END: Final = _bytes(b'"}')
_TICK_KEY: Final = _bytes(b',"tick_size":"')
_TRADE_KEY: Final = _bytes(b',"last_trade_price":"')
_TYPE_KEY: Final = _bytes(b',"event_type":"book"')
LEVEL_BYTES_MIN: Final = 24  # of a level in a book


@_inlined
def _is(data: Any, at: int, text: Any) -> Any:
    """Whether a text stands there; without a branch for each byte, so that many are compared at once."""
    # An index without a sign cannot count from the end, which numba would look for at each byte.
    differing, start = np.uint8(0), np.uint64(at)
    for i in range(np.uint64(text.shape[0])):
        differing |= data[start + i] ^ text[i]
    return differing == 0


@_inlined
def _is_part(data: Any, at: int, text: Any, begin: int, length: int) -> Any:
    differing, start, other = np.uint8(0), np.uint64(at), np.uint64(begin)
    for i in range(np.uint64(length)):
        differing |= data[start + i] ^ text[other + i]
    return differing == 0


@_inlined
def _copy(data: Any, at: int, length: int, to: Any) -> None:
    start = np.uint64(at)
    for i in range(np.uint64(length)):
        to[i] = data[start + i]


@_compiled
def place_of(data: Any, at: int, places: int) -> Any:
    """Return where to look for a market first; `places` is a power of two."""
    mixed, start, by = np.uint64(0), np.uint64(at + 2), np.uint64(31)
    for i in range(start, start + np.uint64(16)):
        four = np.uint64(data[i])  # of the 64 digits, in four rows
        four = four * by + np.uint64(data[i + np.uint64(16)])
        four = four * by + np.uint64(data[i + np.uint64(32)])
        four = four * by + np.uint64(data[i + np.uint64(48)])
        mixed = mixed * np.uint64(0x100000001B3) + four
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(places - 1))


@_inlined
def _decimal(data: Any, at: int) -> tuple[Any, Any]:
    """Return a decimal in millionths and where it ends; `_NO_PRICE` for none, or one that is too long."""
    value = np.int64(0)
    end = at
    while end - at < _WHOLE_DIGITS and _ZERO <= data[end] <= _NINE:
        value = value * 10 + (data[end] - _ZERO)
        end += 1
    if end == at:
        return np.int64(_NO_PRICE), end
    unit = np.int64(_ONE_E6)
    if data[end] == _DOT:
        end += 1
        begin = end
        while end - begin < _PART_DIGITS and _ZERO <= data[end] <= _NINE:
            value = value * 10 + (data[end] - _ZERO)
            unit //= 10
            end += 1
    return value * unit, end


@_inlined
def _best(data: Any, at: int) -> tuple[Any, Any]:
    """Return a stated best price, `_NO_SIDE` for "", 0 and 1, and where it ends."""
    if data[at] == _QUOTE:
        return np.int64(_NO_SIDE), at
    value, end = _decimal(data, at)
    if value > _ONE_E6:
        return np.int64(_NO_PRICE), end
    if value == 0 or value == _ONE_E6:
        return np.int64(_NO_SIDE), end
    return value, end


@_inlined
def _stamp(data: Any, at: int) -> tuple[Any, Any]:
    """Return milliseconds in ns and where they end; -1 for what has other digits, or does not fit."""
    if data[at] == _ZERO:
        return np.int64(-1), at
    value, end = np.int64(0), at
    while end - at < _STAMP_DIGITS and _ZERO <= data[end] <= _NINE:
        value = value * 10 + (data[end] - _ZERO)
        end += 1
    return value * NS_PER_MS if end > at and value <= STAMP_MS_MAX else np.int64(-1), end


@_inlined
def _is_hash(data: Any, at: int) -> Any:
    bad, start = np.uint8(0), np.uint64(at)
    for i in range(np.uint64(HASH_BYTES)):
        byte = data[start + i]
        bad |= np.uint8(((byte < 48) | (byte > 57)) & ((byte < 97) | (byte > 102)))
    return bad == 0


# What is read of a change: price, size, best bid, best ask, where the hash is, whether it is a bid, where it ends.
_PX, _SZ, _BID, _ASK, _HASH, _IS_BID, _AT, _CHANGE_COLUMNS = range(8)


@_inlined
def _read_change(data: Any, at: int, change: Any) -> Any:
    """Read a change from behind its token; return whether it is usual."""
    if not _is(data, at, _PRICE_KEY):
        return False
    change[_PX], at = _decimal(data, at + len(_PRICE_KEY))
    if change[_PX] <= 0 or change[_PX] > _ONE_E6 or not _is(data, at, _SIZE_KEY):
        return False
    change[_SZ], at = _decimal(data, at + len(_SIZE_KEY))
    if change[_SZ] < 0 or not _is(data, at, _SIDE_KEY):
        return False
    at += len(_SIDE_KEY)
    change[_IS_BID] = _is(data, at, _BUY)
    if not change[_IS_BID] and not _is(data, at, _SELL):
        return False
    at += len(_BUY) if change[_IS_BID] else len(_SELL)
    change[_HASH] = at
    if not _is_hash(data, at):
        return False
    at += HASH_BYTES
    if not _is(data, at, _BID_KEY):
        return False
    change[_BID], at = _best(data, at + len(_BID_KEY))
    if change[_BID] == _NO_PRICE or not _is(data, at, _ASK_KEY):
        return False
    change[_ASK], at = _best(data, at + len(_ASK_KEY))
    change[_AT] = at
    return change[_ASK] != _NO_PRICE


@_inlined
def _find(books: Books, side: int, price: int) -> tuple[Any, Any]:
    """Return where a price is, or belongs, among the levels of a side, the best of which is the last."""
    prices = books.prices
    low = books.sides[side, BEGIN]
    end = low + books.sides[side, LENGTH]
    high = end
    while low < high:
        middle = (low + high) >> 1
        is_before = prices[middle] > price if side & 1 else prices[middle] < price
        if is_before:
            low = middle + 1
        else:
            high = middle
    return low, low < end and prices[low] == price


@_inlined
def _has_room(books: Books, side: int, change: Any) -> Any:
    if change[_SZ] == 0 or books.sides[side, LENGTH] < books.sides[side, ROOM]:
        return True
    _, is_there = _find(books, side, change[_PX])
    return is_there


@_inlined
def _set(books: Books, side: int, change: Any) -> None:
    """Set the total of a level; 0 removes it."""
    prices, sizes = books.prices, books.sizes
    at, is_there = _find(books, side, change[_PX])
    end = books.sides[side, BEGIN] + books.sides[side, LENGTH]
    if change[_SZ] != 0:
        if not is_there:
            for i in range(end, at, -1):
                prices[i] = prices[i - 1]
                sizes[i] = sizes[i - 1]
            prices[at] = change[_PX]
            books.sides[side, LENGTH] += 1
        sizes[at] = change[_SZ]
    elif is_there:
        for i in range(at, end - 1):
            prices[i] = prices[i + 1]
            sizes[i] = sizes[i + 1]
        books.sides[side, LENGTH] -= 1


@_inlined
def _top(books: Books, side: int) -> tuple[Any, Any]:
    """Return the best price of a side and its size."""
    if books.sides[side, LENGTH] == 0:
        return np.int64(_NO_SIDE), np.int64(0)
    at = books.sides[side, BEGIN] + books.sides[side, LENGTH] - 1
    return books.prices[at], books.sizes[at]


@_inlined
def _is_same_batch(books: Books, data: Any, token: int, stamp: int, change: Any) -> Any:
    return (
        books.tokens[token, GROUP_STAMP] == stamp
        and books.tokens[token, HAS_HASH] != 0
        and _is_part(data, change[_HASH], books.hashes[token], 0, HASH_BYTES)
    )


@_inlined
def _judge(is_same: bool, settled: int, counts: Any) -> None:  # noqa: FBT001
    """Count what was told of a token before: overtaken by its own batch, or confirmed as that ends."""
    if is_same:
        counts[UNSETTLED] += settled == _IS_UNSETTLED
    else:
        counts[AGREE] += settled == _IS_SETTLED


@_inlined
def _take_change(books: Books, data: Any, token: int, stamp: int, change: Any, counts: Any) -> None:
    """Change the book of a token, and note what will be asked about this change."""
    row = books.tokens[token]
    counts[OUT_OF_ORDER] += stamp < row[STAMP]
    row[STAMP] = row[GROUP_STAMP] = stamp
    row[FRAME] = counts[ORDINAL]
    row[MARK] = counts[SERIAL]
    row[HAS_HASH] = row[IS_TOUCHED] = 1
    _copy(data, change[_HASH], HASH_BYTES, books.hashes[token])
    _set(books, 2 * token + (change[_IS_BID] == 0), change)


@_inlined
def _slot(slot: Any, seq: int, mono: int, stamp: int, ordinal: int, number: int) -> None:
    """Write what slots have in common."""
    slot[0] = seq
    slot[1] = mono
    slot[2] = stamp
    slot[5] = ordinal
    slot[6] = number


@_inlined
def _tell_level(slot: Any, mono: int, shard: int, row: Any, change: Any) -> None:
    """Write a LEVEL."""
    _slot(slot, 0, mono, -1, row[FRAME], row[NUMBER] | change[_PX] << 32)
    slot[3] = change[_SZ]
    slot[4] = 0
    slot[7] = np.int64(change[_IS_BID] == 0) | shard << 32 | np.int64(_LEVEL) << 48


@_inlined
def _tell_top(
    books: Books, slot: Any, seq: int, mono: int, shard: int, token: int, change: Any
) -> None:
    """Write the top of a token as it stands now, and note whether the change confirms it."""
    row = books.tokens[token]
    bid, slot[3] = _top(books, 2 * token)
    ask, slot[4] = _top(books, 2 * token + 1)
    is_settled = change[_BID] == bid and change[_ASK] == ask
    row[SETTLED] = _IS_SETTLED if is_settled else _IS_UNSETTLED
    _slot(slot, seq, mono, row[STAMP], row[FRAME], row[NUMBER] | bid << 32)
    slot[7] = (ask & 0xFFFF_FFFF) | shard << 32 | (_TOB | row[SETTLED] << _SETTLED_AT) << 48


@_compiled
def take(  # noqa: C901, PLR0915 -- one pass over a frame, as it stands there
    books: Books, keys: Keys, frames: Frames, row: int, deep: int, counts: Any, slots: Any
) -> tuple[Any, Any]:
    """Take frames from `row` on; return why it stopped, and at which row. There nothing has been changed.

    What is told goes into `slots`: of each frame two LEVELs if `deep`, and two TOBs.
    """
    data, ends = frames.data, frames.ends
    change = np.empty(_CHANGE_COLUMNS, np.int64)
    other_change = np.empty(_CHANGE_COLUMNS, np.int64)
    begin = ends[row - 1] if row else np.int64(0)
    told = 0
    for now in range(row, len(ends)):
        at, end = begin, ends[now]
        begin = end
        # Reading may go on past a frame that ends too early, but not far, and what is found counts only if it ends
        # where the frame does.
        length, behind = end - at, end - len(_END)
        if (
            length < PAYLOAD_BYTES_MIN
            or frames.flags[now] & _BREAK
            or not _is(data, at, _MARKET_KEY)
        ):
            return UNUSUAL, now
        payload = at
        at += len(_MARKET_KEY)
        first = at + MARKET_BYTES
        if not _is(data, first, _FIRST_KEY):
            return BOOK if _is(data, first, _BOOK_TOKEN_KEY) else UNUSUAL, now
        first += len(_FIRST_KEY)
        if (
            length > PAYLOAD_BYTES_MAX
            or counts[SERIAL] >= counts[SAMPLED]
            or not _is(data, behind, _END)
        ):
            return UNUSUAL, now

        place = place_of(data, at, len(keys.places))
        key = keys.places[place]
        while key >= 0 and not (
            _is_part(data, at, keys.texts[key], 0, MARKET_BYTES)
            and _is_part(data, first, keys.texts[key], MARKET_BYTES, keys.lengths[key, 0])
            and data[first + keys.lengths[key, 0]] == _QUOTE
        ):
            place = (place + 1) & (len(keys.places) - 1)
            key = keys.places[place]
        if key < 0 or keys.token_of[key] < 0:
            return NOT_LENT, now
        token = keys.token_of[key]  # of a pair, the tokens are two in a row
        pair, other = token >> 1, token ^ 1
        shard = frames.shards[now]
        if books.pairs[pair, SHARD] != shard:
            return UNUSUAL, now

        if not _read_change(data, first + keys.lengths[key, 0], change):
            return UNUSUAL, now
        at = change[_AT]
        if not _is(data, at, _SECOND_KEY):
            return UNUSUAL, now
        at += len(_SECOND_KEY)
        length_of_other = keys.lengths[key, 1]
        if not _is_part(
            data, at, keys.texts[key], MARKET_BYTES + TOKEN_BYTES, length_of_other
        ) or not _read_change(data, at + length_of_other, other_change):
            return UNUSUAL, now
        at = other_change[_AT]
        if change[_IS_BID] == other_change[_IS_BID] or not _is(data, at, _STAMP_KEY):
            return UNUSUAL, now
        stamp, at = _stamp(data, at + len(_STAMP_KEY))
        if stamp < 0 or at != behind:
            return UNUSUAL, now

        # What was told before is judged where another engine batch begins; what looks bad then, elsewhere.
        is_same = _is_same_batch(books, data, token, stamp, change)
        is_other_same = _is_same_batch(books, data, other, stamp, other_change)
        settled, other_settled = books.tokens[token, SETTLED], books.tokens[other, SETTLED]
        if (not is_same and (settled == _IS_UNSETTLED or settled == _IS_UNSTATED)) or (
            not is_other_same and (other_settled == _IS_UNSETTLED or other_settled == _IS_UNSTATED)
        ):
            return UNUSUAL, now

        counts[SIDE] = 2 * token + (change[_IS_BID] == 0)
        if not _has_room(books, counts[SIDE], change):
            return NO_ROOM, now
        counts[SIDE] = 2 * other + (other_change[_IS_BID] == 0)
        if not _has_room(books, counts[SIDE], other_change):
            return NO_ROOM, now

        # From here on the frame is taken.
        mono = frames.monos[now]
        counts[TAKEN] += 1
        counts[SEQ] += 2
        counts[SERIAL] += _SERIALS
        counts[ORDINAL] = frames.ordinals[now]
        books.last_stamps[shard] = mono
        books.pairs[pair, PAYLOAD_LENGTH] = length
        _copy(data, payload, length, books.payloads[pair])
        _judge(is_same, settled, counts)
        _judge(is_other_same, other_settled, counts)
        _take_change(books, data, token, stamp, change, counts)
        _take_change(books, data, other, stamp, other_change, counts)
        if deep:
            _tell_level(slots[told], mono, shard, books.tokens[token], change)
            _tell_level(slots[told + 1], mono, shard, books.tokens[other], other_change)
            told += 2
        _tell_top(books, slots[told], counts[SEQ] - 1, mono, shard, token, change)
        _tell_top(books, slots[told + 1], counts[SEQ], mono, shard, other, other_change)
        slots[told + 1, 7] |= np.int64(BATCH_END) << 56
        told += 2
    return DONE, len(ends)


# What is read of a whole book: levels, how many differ from ours, stamp, and where three texts are.
(
    BIDS, ASKS, DIFFERING, BOOK_STAMP, BOOK_HASH_AT, TICK_AT, TICK_END, TRADE_AT, TRADE_END, BOOK_COLUMNS,
) = range(10)  # fmt: skip


@_compiled
def read_book(  # noqa: C901, PLR0913
    books: Books, token: int, data: Any, at: int, end: int, token_length: int, found: Any, prices: Any,
    sizes: Any,
) -> bool:  # fmt: skip
    """Read a whole book that is written as the venue does today, each side from its worst level to its best.

    `prices` and `sizes` get bids, then asks; both must have room for `1 + (end - at) // LEVEL_BYTES_MIN`.
    """
    at += BOOK_TOKEN_AT + token_length
    if not _is(data, at, _BOOK_STAMP_KEY):
        return False
    found[BOOK_STAMP], at = _stamp(data, at + len(_BOOK_STAMP_KEY))
    if found[BOOK_STAMP] < 0 or not _is(data, at, _BOOK_HASH_KEY):
        return False
    at += len(_BOOK_HASH_KEY)
    found[BOOK_HASH_AT] = at
    if not _is_hash(data, at) or not _is(data, at + HASH_BYTES, _BIDS_KEY):
        return False
    at += HASH_BYTES + len(_BIDS_KEY)
    found[DIFFERING] = 0
    first = count = np.int64(0)
    for side in range(2):
        while at < end and data[at] != _CLOSE:
            if count > first:
                if data[at] != _COMMA:
                    return False
                at += 1
            if not _is(data, at, _LEVEL_KEY):
                return False
            prices[count], at = _decimal(data, at + len(_LEVEL_KEY))
            if not _is(data, at, _SIZE_KEY):
                return False
            sizes[count], at = _decimal(data, at + len(_SIZE_KEY))
            if not _is(data, at, _LEVEL_END):
                return False
            at += len(_LEVEL_END)
            if prices[count] <= 0 or prices[count] > _ONE_E6 or sizes[count] <= 0:
                return False
            if count > first and not _is_better(prices[count], prices[count - 1], side):
                return False
            count += 1
        found[BIDS + side] = count - first
        found[DIFFERING] += _differing(
            books, 2 * token + side, prices[first:count], sizes[first:count]
        )
        first = count
        if side == 0:
            if not _is(data, at, _ASKS_KEY):
                return False
            at += len(_ASKS_KEY)
    # The rest has come in several orders; the first two may be missing, and the second may be empty.
    found[TICK_AT] = found[TICK_END] = found[TRADE_AT] = found[TRADE_END] = at
    at += 1
    has_type = False
    while at < end and data[at] == _COMMA:
        if _is(data, at, _TICK_KEY) and found[TICK_AT] == found[TICK_END]:
            found[TICK_AT] = at + len(_TICK_KEY)
            _, at = _decimal(data, found[TICK_AT])
            found[TICK_END] = at
        elif _is(data, at, _TRADE_KEY) and found[TRADE_AT] == found[TRADE_END]:
            found[TRADE_AT] = at + len(_TRADE_KEY)
            _, at = _decimal(data, found[TRADE_AT])
            found[TRADE_END] = at
        elif _is(data, at, _TYPE_KEY) and not has_type:
            has_type = True
            at += len(_TYPE_KEY) - 1
        else:
            return False
        if data[at] != _QUOTE:
            return False
        at += 1
    return has_type and data[at] == _END_OF_OBJECT and at + 1 == end


@_inlined
def _is_better(price: int, other: int, side: int) -> Any:
    return price < other if side & 1 else price > other


@_inlined
def _differing(books: Books, side: int, prices: Any, sizes: Any) -> Any:
    """Return how many levels are not the same in a side and in another one of the same order."""
    ours = books.sides[side, BEGIN]
    end = ours + books.sides[side, LENGTH]
    differing = np.int64(0)
    for i in range(len(prices)):
        while ours < end and _is_better(prices[i], books.prices[ours], side):
            differing += 1
            ours += 1
        if ours < end and books.prices[ours] == prices[i]:
            differing += books.sizes[ours] != sizes[i]
            ours += 1
        else:
            differing += 1
    return differing + end - ours
