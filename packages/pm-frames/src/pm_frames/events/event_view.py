"""A finished event file as a numpy array, without copying a byte. Needs numpy (the extra `fast`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pm_frames.errors import MissingFile
from pm_frames.events.event_reader import CorruptEvents
from pm_frames.events.slots import KIND_AT, MAGIC, SLOT_BYTES, Kind

if TYPE_CHECKING:
    from numpy import dtype, ndarray

FIELDS: Final = [
    ("seq", "<u8"),
    ("ts_recv_ns", "<u8"),
    ("ts_event_ns", "<i8"),
    ("bid_sz_e6", "<i8"),
    ("ask_sz_e6", "<i8"),
    ("frame", "<u8"),
    ("token", "<u4"),
    ("bid_px_e6", "<i4"),
    ("ask_px_e6", "<i4"),
    ("shard", "<u2"),
    ("kind", "u1"),
    ("flags", "u1"),
]


def view(path: Path | str) -> ndarray[Any, dtype[Any]]:
    """Return all slots of a finished file, mapped read-only; choose rows by `kind`.

    Slots of HEADER, END and continuation are among them, with fields that mean something else. Only the
    frame of the file is checked (length, magic, END), not the digest: `CorruptEvents`, `MissingFile`.
    """
    import numpy

    path = Path(path)
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise MissingFile("no such file", path=path) from error
    if size % SLOT_BYTES or size < 2 * SLOT_BYTES:
        raise CorruptEvents(
            "not whole slots",
            kind="torn_slot",
            path=path,
            offset=size - size % SLOT_BYTES,
            found=size,
        )
    table = numpy.memmap(path, dtype=numpy.dtype(FIELDS), mode="r")
    if table[0].tobytes()[:8] != MAGIC:
        raise CorruptEvents(
            "not an event stream", kind="bad_magic", path=path, offset=0, expected=MAGIC
        )
    last = table[-1].tobytes()
    if last[KIND_AT] != Kind.END:
        raise CorruptEvents(
            "the stream stops without END",
            kind="no_end",
            path=path,
            offset=size,
            found=last[KIND_AT],
        )
    return table
