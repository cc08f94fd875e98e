"""The exact texts that the market channel takes, and how many tokens go into one.

The initial form may be sent once per connection; a second one is answered `INVALID OPERATION`. Every
later change is an `operation`. `custom_feature_enabled` is asked for in both, because it is what makes
the venue send `best_bid_ask`, `new_market` and `market_resolved`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubscribeCaps:
    """Limits of one subscribe message: token ids, and bytes of its whole text."""

    tokens_max: int = 100
    bytes_max: int = 32768


def initial(token_ids: Sequence[str]) -> str:
    """The first message on a connection."""
    return f'{{"assets_ids":{_ids(token_ids)},"type":"market","custom_feature_enabled":true}}'


def subscribe(token_ids: Sequence[str]) -> str:
    """Add tokens to a live connection."""
    return (
        f'{{"operation":"subscribe","assets_ids":{_ids(token_ids)},"custom_feature_enabled":true}}'
    )


def unsubscribe(token_ids: Sequence[str]) -> str:
    """Take tokens off a live connection."""
    return f'{{"operation":"unsubscribe","assets_ids":{_ids(token_ids)}}}'


def groups(token_ids: Sequence[str], caps: SubscribeCaps) -> Iterator[tuple[str, ...]]:
    """Cut tokens into messages, in order, none above either limit in any of its three forms.

    A token that passes the byte limit alone still goes, alone: leaving it out would lose it.
    """
    # The `operation: subscribe` form is the longest of the three. Of n ids n - 1 have a comma.
    frame_bytes = len(subscribe(())) - 1
    group: list[str] = []
    size = frame_bytes
    for token_id in token_ids:
        cost = len(_ids((token_id,)).encode()) - 1  # its quotes and its comma, without the brackets
        if group and (len(group) == caps.tokens_max or size + cost > caps.bytes_max):
            yield tuple(group)
            group = []
            size = frame_bytes
        group.append(token_id)
        size += cost
    if group:
        yield tuple(group)


def _ids(token_ids: Sequence[str]) -> str:
    return json.dumps(list(token_ids), ensure_ascii=False, separators=(",", ":"))
