"""The first event in which two streams differ. `seq` and stamps count: equal streams are equal in every byte."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from pm_frames.events import Event, Kind, open_events
from pm_frames.events.slots import DEPTH
from pm_replay.jsonl import Names


def first_difference(a: Path, b: Path) -> dict[str, Any]:
    """Return `equal`, how many events both have in common, and the first differing pair.

    Depth is left out, as it is from the event hash. Raises `CorruptEvents` or `MissingFile`.
    """
    names = (Names(), Names())
    common = 0
    with open_events(a) as left, open_events(b) as right:
        for pair in zip_longest(_hashed(left), _hashed(right)):
            if pair[0] != pair[1]:
                return {
                    "equal": False,
                    "events_in_common": common,
                    "a": _shown(pair[0], names[0]),
                    "b": _shown(pair[1], names[1]),
                }
            common += 1
            for event, known in zip(pair, names, strict=True):
                known.learn(event)
    return {"equal": True, "events_in_common": common, "a": None, "b": None}


def _hashed(events: Any) -> Any:
    return (event for event in events if event.kind not in DEPTH)


def _shown(event: Event | None, names: Names) -> dict[str, Any] | None:
    if event is None:
        return None
    if event.kind == Kind.TOKEN:
        return {"kind": "token", "token": event.token, "token_id": event.text()}
    if event.kind == Kind.META:
        return {"kind": "meta", "token": event.token, "facts": event.json()}
    return names.fields(event)
