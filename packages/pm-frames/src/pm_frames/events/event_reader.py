"""Reading an event stream from a file, a pipe or a file that still grows, with nothing believed.

A stream that ends without END is an error, as is everything that docs/spec/events.md forbids: the reader
raises `CorruptEvents` with the byte offset and a stable word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Protocol, Self

from pm_frames.errors import Corruption, MissingFile
from pm_frames.events.slots import (
    ANCILLARY,
    CONTINUATION_BYTES,
    FLAGS_AT,
    KIND_AT,
    KNOWN,
    MAGIC,
    PAYLOAD_MAX,
    SLOT,
    SLOT_BYTES,
    WITH_PAYLOAD,
    End,
    Event,
    Header,
    Kind,
    continuation_slots,
)

READ_BYTES: Final = 1 << 18


class Source(Protocol):
    """Anything with a `read` that gives some bytes, and none at the end: a file, a pipe, stdin."""

    def read(self, size: int, /) -> bytes | None: ...


class _Closable(Source, Protocol):
    def close(self) -> None: ...


class CorruptEvents(Corruption):
    """An event stream is not as it must be.

    `kind` is `no_header`, `bad_magic`, `torn_slot`, `no_end`, `after_end`, `bad_digest`, `bad_count`,
    `bad_kind`, `bad_flags` or `bad_payload`.
    """


class EventReader:
    """Iterates over the events of one stream; `header` is there from the start, `end` after the last.

    Continuation slots are joined to the slot that they belong to, and ancillary kinds passed over.
    """

    def __init__(self, source: Source, *, path: Path | None = None, verify: bool = True) -> None:
        """Read the header. `verify` False leaves the digest in END unchecked (a third faster).

        Raises `CorruptEvents`.
        """
        self.path = path
        self.end: End | None = None
        self._source = source
        self._sha256 = hashlib.sha256() if verify else None
        self._offset = 0  # of the first byte of `_data`
        self._data = b""
        self._at = 0  # in `_data`, of the next slot
        if not self._fill():
            self._raise("no_header", "the stream is empty", SLOT_BYTES, 0)
        if self._data[:8] != MAGIC:
            self._raise("bad_magic", "not an event stream", MAGIC, self._data[:8])
        if self._data[KIND_AT] != Kind.HEADER:
            self._raise("bad_kind", "the first slot is no header", 1, self._data[KIND_AT])
        event = self._with_payload(SLOT.unpack_from(self._data, self._slot()))
        try:
            facts = event.json()
        except ValueError:
            self._raise("bad_payload", "the header holds no JSON object", None, event.payload)
        self.header = Header(event.ts_recv_ns, event.ts_event_ns, facts)

    def __iter__(self) -> Iterator[Event]:
        """Yield the events up to END; raises `CorruptEvents` where the stream is wrong or stops short."""
        for block in self.blocks():
            if isinstance(block, Event):
                yield block
            else:
                for slot in SLOT.iter_unpack(block):
                    yield Event._make((*slot, b""))

    def blocks(self) -> Iterator[bytes | Event]:
        """Yield runs of slots without payloads as bytes, and a slot with one as an `Event`, in order.

        For readers in a hurry: `SLOT.iter_unpack` of such bytes gives tuples in the order of `Event`.
        """
        while True:
            if not self._fill():
                self._raise("no_end", "the stream stops without END", "END", None)
            plain = self._plain_slots()
            if plain:
                run = self._data[self._at : self._at + plain * SLOT_BYTES]
                self._at += len(run)
                yield run
                continue
            kind = self._data[self._at + KIND_AT]
            if kind == Kind.END:
                self._finish()
                return
            if kind >= ANCILLARY:
                self._at += SLOT_BYTES
            elif kind not in WITH_PAYLOAD or kind == Kind.HEADER:
                self._raise("bad_kind", "a slot that does not belong here", None, kind)
            else:
                yield self._with_payload(SLOT.unpack_from(self._data, self._slot()))

    def _plain_slots(self) -> int:
        """Return how many slots from here on are whole and of known kinds without a payload."""
        whole = (len(self._data) - self._at) // SLOT_BYTES
        kinds = self._data[self._at + KIND_AT :: SLOT_BYTES][:whole]
        count = whole - len(kinds.lstrip(_PLAIN))
        flags = self._data[self._at + FLAGS_AT :: SLOT_BYTES][:count]
        bad = flags.lstrip(_FLAGS)
        if bad:
            self._raise(
                "bad_flags", "undefined flags", None, bad[0], (count - len(bad)) * SLOT_BYTES
            )
        return count

    def _with_payload(self, slot: tuple[int, ...]) -> Event:
        size = slot[3]
        if not 0 <= size <= PAYLOAD_MAX:
            self._raise("bad_payload", "an impossible payload length", PAYLOAD_MAX, size, -64)
        parts = []
        left = size
        for _ in range(continuation_slots(size)):
            if not self._fill():
                self._raise("no_end", "the stream stops inside a payload", left, 0)
            at = self._slot()
            used = min(left, CONTINUATION_BYTES)
            kind, length = self._data[at + KIND_AT], self._data[at + FLAGS_AT]
            if kind != Kind.CONTINUATION or length != used:
                self._raise(
                    "bad_payload", "a payload does not go on as it says",
                    f"{used} bytes more", f"kind {kind}, {length} bytes", -64,
                )  # fmt: skip
            parts.append(self._data[at : at + used])
            left -= used
        return Event._make((*slot, b"".join(parts)))

    def _finish(self) -> None:
        self._account()
        digest = None if self._sha256 is None else self._sha256.copy().digest()
        slots = self._offset // SLOT_BYTES
        try:
            end = End.unpack(self._data[:SLOT_BYTES])
        except ValueError as error:
            self._raise("bad_kind", f"END: {error}", None, None)
        if end.slots != slots:
            self._raise("bad_count", "END counts other slots", end.slots, slots)
        if digest is not None and digest != end.sha256:
            self._raise("bad_digest", "the digest in END differs", end.sha256.hex(), digest.hex())
        self._at = SLOT_BYTES
        self.end = end
        if self._fill():
            self.end = None
            self._raise("after_end", "bytes after END", 0, len(self._data))

    def _slot(self) -> int:
        """Return where the next slot stands in the buffer, and step over it."""
        at = self._at
        self._at = at + SLOT_BYTES
        return at

    def _account(self) -> None:
        """Drop what was read from the buffer, into the digest."""
        if self._sha256 is not None:
            self._sha256.update(memoryview(self._data)[: self._at])
        self._data = self._data[self._at :]
        self._offset += self._at
        self._at = 0

    def _fill(self) -> bool:
        """Make sure that a whole slot is in the buffer; False at a clean end."""
        if len(self._data) - self._at >= SLOT_BYTES:
            return True
        self._account()
        while len(self._data) < SLOT_BYTES:
            more = self._source.read(READ_BYTES)
            if not more:
                if self._data and self.end is None:
                    self._raise(
                        "torn_slot", "the stream stops inside a slot", SLOT_BYTES, len(self._data)
                    )
                return bool(self._data)
            self._data += more
        return True

    def _raise(
        self, kind: str, message: str, expected: object, found: object, shift: int = 0
    ) -> NoReturn:
        raise CorruptEvents(
            message,
            kind=kind,
            path=self.path,
            offset=self._offset + self._at + shift,
            expected=expected,
            found=found,
        )


_PLAIN: Final = bytes(sorted(KNOWN - WITH_PAYLOAD - {Kind.CONTINUATION, Kind.END}))
_FLAGS: Final = bytes(
    state | settled << 3 | end
    for state in (0, 1, 2, 3, 4, 5, 7)
    for settled in (0, 1, 2)
    for end in (0, 0x80)
)


class EventFile(EventReader):
    """A reader that owns what it reads; use it in a `with`."""

    def __init__(self, source: _Closable, path: Path, *, verify: bool) -> None:
        self._close = source.close
        try:
            super().__init__(source, path=path, verify=verify)
        except BaseException:
            source.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_events(path: Path | str, *, verify: bool = True) -> EventFile:
    """Open a finished file. Raises `MissingFile`, `CorruptEvents`."""
    path = Path(path)
    return EventFile(_opened(path), path, verify=verify)


def _opened(path: Path) -> FileIO:
    try:
        return FileIO(path, "rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingFile("no such file", path=path) from error


class _Growing:
    """Reads a file that another process still writes, up to its END."""

    def __init__(self, file: FileIO, wait: Callable[[], bool]) -> None:
        self._file = file
        self._wait = wait
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while True:
            whole = self._file.read(size - size % SLOT_BYTES)
            if whole:
                # A read may stop inside a slot; the rest follows with the next one.
                while len(whole) % SLOT_BYTES:
                    rest = self._file.read(SLOT_BYTES - len(whole) % SLOT_BYTES)
                    if rest:
                        whole += rest
                    elif not self._wait():
                        return whole
                self._ended = whole[-SLOT_BYTES + KIND_AT] == Kind.END
                return whole
            if self._ended or not self._wait():
                return b""

    def close(self) -> None:
        self._file.close()


def follow_file(path: Path | str, wait: Callable[[], bool], *, verify: bool = True) -> EventFile:
    """Open a file that still grows.

    `wait` is called when nothing new is there: it returns True to look again (after it has slept as the
    caller likes), False to give up, which raises `CorruptEvents` of kind `no_end` or `torn_slot`. The
    file must exist (`MissingFile`).
    """
    path = Path(path)
    return EventFile(_Growing(_opened(path), wait), path, verify=verify)
