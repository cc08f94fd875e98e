"""The strategies that come with pm-sim, by name. They import nothing but the public API; off unless named."""

from collections.abc import Mapping
from typing import Final

# Name: module and class; imported when it is asked for.
BUILT_IN: Final[Mapping[str, tuple[str, str]]] = {
    "toy_spread": ("pm_sim.strategies.toy_spread", "ToySpread"),
    "dutch_book": ("pm_sim.strategies.dutch_book", "DutchBook"),
    "spread_capture": ("pm_sim.strategies.spread_capture", "SpreadCapture"),
    "round_trip": ("pm_sim.strategies.controls", "RoundTrip"),
    "random_taker": ("pm_sim.strategies.controls", "RandomTaker"),
}
