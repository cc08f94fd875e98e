r"""What a payload is about, without decoding it: its event types and the token ids that it carries.

The rule, exact for every valid JSON text whose keys are written without escapes: each object key
`event_type` or `asset_id`, at any depth, whose value is a string, in the order of the text. On anything
that is not valid JSON the answer means nothing, but there is one; nothing is ever raised.

Why searching for bytes is exact: inside a string a quote is written `\"`, so a name between two bare
quotes is a whole string or the end of a string behind `\"`, and there the byte before it is a backslash,
which it never is before the quote that opens a string. And only a key is followed by a colon.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

# Every connection gets these, whatever it has subscribed to: they say nothing about an assigned token.
GLOBAL_TYPES: Final = frozenset({"new_market", "market_resolved"})

_EVENT_TYPE: Final = b'"event_type"'
_ASSET_ID: Final = b'"asset_id"'
_KEEPALIVES: Final = frozenset({b"PONG", b"PING"})
_KEEPALIVE_MAX: Final = 8  # bytes, a line end included

_ASSET_IDS: Final = re.compile(rb'"asset_id"\s*:\s*"([^"]*)"').findall
_FIRST_ASSET_ID: Final = re.compile(rb'"asset_id"\s*:\s*"([^"]*)"').search
_EVENT_TYPES: Final = re.compile(rb'"event_type"\s*:\s*"([^"]*)"').findall

_BACKSLASH: Final = 0x5C
_STRING_VALUE: Final = re.compile(rb'\s*:\s*"((?:[^"\\]++|\\.)*+)"', re.DOTALL)


class Peek(NamedTuple):
    """What `peek` found: event types in order, distinct token ids in order of first appearance."""

    event_types: tuple[str, ...]
    token_ids: tuple[str, ...]
    keepalive: bool = False

    @property
    def globals_only(self) -> bool:
        """Whether every event is one that each connection gets (`new_market`, `market_resolved`).

        False for a keepalive, for `[]`, and for every other payload without events.
        """
        return bool(self.event_types) and GLOBAL_TYPES.issuperset(self.event_types)


_KEEPALIVE: Final = Peek((), (), keepalive=True)


def peek(payload: bytes) -> Peek:
    """Return event types and token ids of a payload; raises nothing.

    `token_ids` are the values of `asset_id` keys: the lists of tokens in `new_market` and
    `market_resolved` (`assets_ids`, `clob_token_ids`, `winning_asset_id`) are not among them, so a
    payload without token ids is never data of an assigned token.
    """
    if len(payload) <= _KEEPALIVE_MAX and payload.strip() in _KEEPALIVES:
        return _KEEPALIVE
    if b"\\" in payload:
        return _peek_escaped(payload)
    # Without a backslash every quote is a bare one, and two searches in C are all there is to do. What
    # nearly every frame has, one type and one or two tokens, is spelt out: this runs for each of them.
    ids = _ASSET_IDS(payload)
    found = _EVENT_TYPES(payload)
    if len(found) == 1 and 0 < len(ids) < 3:
        try:
            types = (found[0].decode(),)
            if len(ids) == 1 or ids[0] == ids[1]:
                return Peek(types, (ids[0].decode(),))
            return Peek(types, (ids[0].decode(), ids[1].decode()))
        except UnicodeDecodeError:
            pass  # not UTF-8, so no message of the venue: replaced below
    return Peek(_texts(found), tuple(dict.fromkeys(_texts(ids))))


def _texts(values: list[bytes]) -> tuple[str, ...]:
    return tuple([value.decode("utf-8", "replace") for value in values])


def _peek_escaped(payload: bytes) -> Peek:
    tokens = dict.fromkeys(_strings(payload, _ASSET_ID))
    return Peek(tuple(_strings(payload, _EVENT_TYPE)), tuple(tokens))


def first_token(payload: bytes) -> str | None:
    """Return the first of the token ids that `peek` finds, or None; it looks no further than that."""
    if b"\\" in payload:
        return next(iter(_peek_escaped(payload).token_ids), None)
    found = _FIRST_ASSET_ID(payload)
    return None if found is None else found[1].decode("utf-8", "replace")


def token_ids_in(payload: bytes) -> list[bytes]:
    """Return what `peek` has in `token_ids`, as bytes: the same ids, for those who need nothing else.

    Ids that are no UTF-8 stay as they are, where `peek` replaces what cannot be read.
    """
    if b"\\" in payload:
        return [one.encode("utf-8", "surrogatepass") for one in _peek_escaped(payload).token_ids]
    ids = _ASSET_IDS(payload)
    if len(ids) < 2 or (len(ids) == 2 and ids[0] != ids[1]):  # nearly always
        return ids
    return list(dict.fromkeys(ids))


def mentions_token(payload: bytes) -> bool:
    """Return False where a payload certainly carries no token id: cheaper than `peek`."""
    return _ASSET_ID in payload


def _strings(payload: bytes, name: bytes) -> list[str]:
    """Return the string values of all keys `name` (given with its quotes)."""
    found: list[str] = []
    find = payload.find
    at = find(name)
    while at >= 0:
        after = at + len(name)
        value = _STRING_VALUE.match(payload, after)
        # An inner quote in front means that the name is the end of a longer key.
        if value is not None and not (at and payload[at - 1] == _BACKSLASH):
            found.append(_unescaped(value[1]))
        at = find(name, after)
    return found


def _unescaped(value: bytes) -> str:
    text = value.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
