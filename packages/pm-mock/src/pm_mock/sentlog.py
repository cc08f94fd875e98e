"""The log of what was sent: a shard-like file pair a connection, and one line a connection.

`connection_NNNN.frames` and `.idx` hold each text frame as it was handed to the transport, with the time of
that moment on the same clock as a capture on this host. `connections.ndjson` gets its line when a
connection ends.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pm_frames.checksum import crc32
from pm_frames.layout import HEADER, IDX, MAGIC, Flag, Version

_MAGIC = MAGIC[Version.V2]
_HEADER = HEADER[Version.V2]
_ENTRY = IDX[Version.V2]
# Plain integers: combining enum members costs more than the rest of a record.
_TEXT = int(Flag.TEXT)
_FIRST = int(Flag.FIRST)
_KEEPALIVE = int(Flag.KEEPALIVE)


class SentLogFailed(Exception):
    """The sent log cannot be written; what it would witness can no longer be judged."""


class _Pair:
    """The two files of one connection."""

    def __init__(self, stem: Path) -> None:
        self.frames = _create(stem.with_suffix(".frames"))
        self.idx = _create(stem.with_suffix(".idx"))
        self.offset = 0

    def append(self, payloads: Sequence[bytes], *, mono_ns: int, wall_ns: int) -> None:
        frames: list[bytes] = []
        entries: list[bytes] = []
        for payload in payloads:
            size, crc = len(payload), crc32(payload)
            flags = _TEXT if self.offset else _TEXT | _FIRST
            if payload == b"PONG":
                flags |= _KEEPALIVE
            frames.append(_HEADER.pack(_MAGIC, 2, flags, mono_ns, wall_ns, size, crc))
            frames.append(payload)
            entries.append(_ENTRY.pack(self.offset, mono_ns, wall_ns, size, crc))
            self.offset += _HEADER.size + size
        _write_all(self.frames, b"".join(frames))
        _write_all(self.idx, b"".join(entries))

    def close(self) -> None:
        self.frames.close()
        self.idx.close()


class SentLog:
    """Writes the log into a directory, which is made if need be and must hold no log yet.

    Every method raises `SentLogFailed` when the system refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pairs: dict[int, _Pair] = {}
        self._opened: dict[int, tuple[str, int]] = {}
        with _refusals():
            directory.mkdir(parents=True, exist_ok=True)
            self._lines = _create(directory / "connections.ndjson")

    def opened(self, number: int, *, remote: str, mono_ns: int) -> None:
        """A handshake was accepted."""
        self._opened[number] = (remote, mono_ns)
        with _refusals():
            self._pairs[number] = _Pair(self._directory / f"connection_{number:04d}")

    def sent(self, number: int, payloads: Sequence[bytes], *, mono_ns: int, wall_ns: int) -> None:
        """These frames were handed to the transport at this time, in this order."""
        with _refusals():
            self._pairs[number].append(payloads, mono_ns=mono_ns, wall_ns=wall_ns)

    def closed(self, number: int, *, mono_ns: int, how: str) -> None:
        """A connection ended; `how` is who ended it."""
        remote, opened_ns = self._opened.pop(number)
        self._pairs.pop(number).close()
        self._line(number, remote, opened_ns, mono_ns, how)

    def refused(self, number: int, *, remote: str, mono_ns: int) -> None:
        """A handshake was refused: it has a line but no files."""
        self._line(number, remote, mono_ns, mono_ns, "refused")

    def close(self) -> None:
        """End the log."""
        for pair in self._pairs.values():
            pair.close()
        self._lines.close()

    def _line(self, number: int, remote: str, opened_ns: int, closed_ns: int, how: str) -> None:
        line = {
            "connection": number,
            "remote": remote,
            "opened_mono_ns": opened_ns,
            "closed_mono_ns": closed_ns,
            "how": how,
        }
        with _refusals():
            _write_all(self._lines, json.dumps(line).encode() + b"\n")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        raise SentLogFailed(f"sent log: {where}{problem.strerror}") from problem


def _create(path: Path) -> BinaryIO:
    return open(path, "xb", buffering=0)


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
