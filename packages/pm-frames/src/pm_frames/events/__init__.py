"""The event stream (`.pmev`): canonical events in 64-byte slots, the same as a file, a pipe and a growing file.

docs/spec/events.md is the normative page. `EventWriter` writes, `EventReader` reads and checks, `view`
shows a finished file to numpy without copying.
"""

from pm_frames.events.event_reader import (
    CorruptEvents,
    EventFile,
    EventReader,
    follow_file,
    open_events,
)
from pm_frames.events.event_view import view
from pm_frames.events.event_writer import EventWriter
from pm_frames.events.slots import (
    NO_TOKEN,
    NONE,
    RUNLOG_SHARD,
    SLOT_BYTES,
    End,
    EndReason,
    Event,
    Flags,
    Header,
    Kind,
    MarketChange,
    RunState,
    Settled,
    Side,
)

__all__ = [
    "NONE",
    "NO_TOKEN",
    "RUNLOG_SHARD",
    "SLOT_BYTES",
    "CorruptEvents",
    "End",
    "EndReason",
    "Event",
    "EventFile",
    "EventReader",
    "EventWriter",
    "Flags",
    "Header",
    "Kind",
    "MarketChange",
    "RunState",
    "Settled",
    "Side",
    "follow_file",
    "open_events",
    "view",
]
