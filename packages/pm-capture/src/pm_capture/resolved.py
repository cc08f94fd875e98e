"""Whose market is over: the tokens that a `market_resolved` names.

Every connection gets these of all markets. Nobody answers for a message that cannot be read: whoever waits
for a token then waits a little longer.
"""

import msgspec


class _Event(msgspec.Struct, frozen=True):
    event_type: str | None = None
    assets_ids: list[str] = []


_DECODER = msgspec.json.Decoder(_Event | list[_Event])


def resolved_tokens(payload: bytes) -> set[str]:
    """Return the tokens of every `market_resolved` in a payload; raises nothing."""
    try:
        found = _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return set()
    events = [found] if isinstance(found, _Event) else found
    return {
        token_id
        for event in events
        if event.event_type == "market_resolved"
        for token_id in event.assets_ids
    }
