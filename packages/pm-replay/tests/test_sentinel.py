"""Types that drift are found wherever they are; what the venue leaves null is no drift."""

from __future__ import annotations

from typing import Any

import pytest
from bundles import book, change, compact, price_change

from pm_replay.decoder import Decoder


def surprises(message: dict[str, Any]) -> list[str]:
    decoder = Decoder()
    decoder.decode(compact(message), 0, 0)
    return sorted(one.what for one in decoder.sentinel.surprises.values())


BOOK = book("1", {"0.4": "1"}, {"0.6": "1"})
CHANGE = change("1", "0.4", "2", "BUY")


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({**BOOK, "bids": [{"price": 0.5, "size": 3}]}, ["bids[].price", "bids[].size"]),
        ({**BOOK, "asks": [{"price": None, "size": "3"}]}, ["asks[].price"]),
        (price_change({**CHANGE, "size": 2}), ["price_changes[].size"]),  # type: ignore[dict-item]
        ({**BOOK, "hash": 5}, ["hash"]),
        ({**BOOK, "tick_size": 0.01}, ["tick_size"]),
        ({**BOOK, "timestamp": None}, ["timestamp"]),
        ({**BOOK, "hash": None, "tick_size": None}, []),
        (price_change({**CHANGE, "best_bid": None, "hash": None}), []),  # type: ignore[dict-item]
        ({"event_type": "new_market", "market": "m", "timestamp": "1", "active": False}, []),
        ({"event_type": "new_market", "market": 7, "timestamp": "1"}, ["market"]),
    ],
)
def test_a_type_that_drifts_is_found_in_every_place(
    message: dict[str, Any], found: list[str]
) -> None:
    assert surprises(message) == [f"{key} is no text" for key in found]
