"""The sweep's engine for machines with numpy: whole batches of headers compared at once."""

from typing import Any

import numpy as np

from pm_frames.layout import CRITICAL_UNKNOWN, PAYLOAD_MAX, Version, header_size, idx_size
from pm_verify.sweep import MIRRORED_START, PREFIX_SIZE, Batch, plain, prefixes, unread

_ENTRY = {
    Version.V1: np.dtype([("offset", "<u8"), ("mono", "<u8"), ("length", "<u4"), ("crc", "<u4")]),
    Version.V2: np.dtype(
        [("offset", "<u8"), ("mono", "<u8"), ("wall", "<u8"), ("length", "<u4"), ("crc", "<u4")]
    ),
}


def vectorised(batch: Batch, /) -> int:
    """Judge a batch as a whole; one that is not clean as a whole is counted by `plain`."""
    return len(batch.entries) // idx_size(batch.version) if _clean(batch) else plain(batch)


def _clean(batch: Batch) -> bool:
    head = header_size(batch.version)
    entries = np.frombuffer(batch.entries, dtype=_ENTRY[batch.version])
    lengths = entries["length"].astype(np.int64)
    if lengths.max() > PAYLOAD_MAX:
        return False
    ends = np.cumsum(lengths + head)
    starts = ends - lengths - head
    if ends[-1] != len(batch.data):
        return False
    offsets = starts.astype(np.uint64) + np.uint64(batch.base)
    mono = entries["mono"]
    return bool(
        (offsets == entries["offset"]).all()
        and mono[0] >= batch.mono_before
        and (mono[1:] >= mono[:-1]).all()
        and _headers_agree(batch, starts)
    ) and _payloads_agree(batch, starts + head, ends, entries["crc"])


def _headers_agree(batch: Batch, starts: "np.ndarray[Any, np.dtype[np.int64]]") -> bool:
    head = header_size(batch.version)
    # Every position of the data seen as a header; picking the rows at `starts` copies only those.
    windows = np.ndarray(
        shape=(len(batch.data) - head + 1,), dtype=f"V{head}", buffer=batch.data, strides=(1,)
    )
    headers = windows[starts].view(np.uint8).reshape(-1, head)
    entries = np.frombuffer(batch.entries, dtype=np.uint8).reshape(len(starts), -1)
    opening = np.frombuffer(min(prefixes(batch.version)), dtype=np.uint8)[: PREFIX_SIZE - 1]
    return bool(
        (headers[:, MIRRORED_START:] == entries[:, 8:]).all()
        and (headers[:, : PREFIX_SIZE - 1] == opening).all()
        and not (headers[:, PREFIX_SIZE - 1] & CRITICAL_UNKNOWN).any()
    )


def _payloads_agree(
    batch: Batch,
    bodies: "np.ndarray[Any, np.dtype[np.int64]]",
    ends: "np.ndarray[Any, np.dtype[np.int64]]",
    expected: "np.ndarray[Any, np.dtype[np.uint32]]",
) -> bool:
    if batch.checksum is unread:
        return True
    view, checksum = memoryview(batch.data), batch.checksum
    found = [
        checksum(view[body:end]) for body, end in zip(bodies.tolist(), ends.tolist(), strict=True)
    ]
    return bool(found == expected.tolist())
