"""Which markets stay when there are more than wanted.

Events are ranked by the 24-hour volume of their qualifying markets (most first), then by event id,
and there are three rounds, each in rank order:

1. Incumbents: what an event has in the universe already, taken together. Data that is being
   captured is worth more than data that could be.
2. Growth: what an event of round 1 has gained since, taken together.
3. Newcomers: events without an incumbent, taken whole.

Whatever does not fit is passed over. So an event is whole, or its growth did not fit (it is
*split*), or a cap below the incumbents passed it over. Without incumbents only round 3 is left.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from typing import NamedTuple

from .market import Market
from .order import EventKey, Identity, event_key, identity


class Capped(NamedTuple):
    """The identities that stay, and how many events stay in part."""

    kept: frozenset[Identity]
    events_split: int


def cap(candidates: Sequence[Market], incumbents: Set[Identity], max_markets: int) -> Capped:
    """Apply the rules of this module; `candidates` qualify and share no token."""
    volumes: Counter[EventKey] = Counter()
    old: defaultdict[EventKey, list[Identity]] = defaultdict(list)
    new: defaultdict[EventKey, list[Identity]] = defaultdict(list)
    for market in candidates:
        event, name = event_key(market.row), identity(market.row)
        volumes[event] += market.volume_24h_e6
        (old if name in incumbents else new)[event].append(name)
    ranked = sorted(volumes, key=lambda event: (-volumes[event], event))
    room = max_markets
    kept: set[Identity] = set()

    def take(group: list[Identity]) -> bool:
        nonlocal room
        if len(group) > room:
            return False
        kept.update(group)
        room -= len(group)
        return True

    stayed = [event for event in ranked if event in old and take(old[event])]
    split = [event for event in stayed if event in new and not take(new[event])]
    for event in ranked:
        if event not in old:
            take(new[event])
    return Capped(frozenset(kept), len(split))
