"""What the refresh of the universe asks of its shell, beside `Note`: frozen values, done in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pm_capture.actions import Note
from pm_capture.refresh_plan import ShardChange


class Sweep(StrEnum):
    """How much of the venue a discovery reads."""

    WHOLE = "whole"
    RECENT = "recent"  # the markets we have, by name, and those that started lately


@dataclass(frozen=True, slots=True)
class Discover:
    """Start a discovery; answer with `discovered` or `failed`. At its timeout it is killed."""

    sweep: Sweep
    timeout_ns: int


@dataclass(frozen=True, slots=True)
class Skip:
    """A cycle was due while the one before was still under way; it does not take place."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Make files for new shards, and the generation durable; answer with `kept` or `failed`."""

    version: int
    new_shard_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Give a shard its new tokens and take others from it."""

    change: ShardChange
    from_version: int
    to_version: int


@dataclass(frozen=True, slots=True)
class Sustained:
    """The guard has held back so many refreshes in a row that the run is no longer what is wanted."""

    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a discovery told about itself: the counts of its report, and how long it took."""

    report: Mapping[str, object]
    worker_ns: int


RefreshAction = Note | Discover | Keep | Change | Sustained
