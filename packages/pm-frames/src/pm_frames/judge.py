"""What is wrong at a place of a shard, and where reading goes on.

Two witnesses, the frames and the idx, and one rule for who is believed: a frame that its own checksum proves
is sound; an entry says where the next frame begins; stamps on which they differ are reported, because
nothing can tell which side is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pm_frames.checksum import crc32
from pm_frames.damage import FIELD_KINDS, Damage
from pm_frames.frames import Fault, Frame, frame_at, unpack_header
from pm_frames.index import IdxEntry, IndexCursor, entry_of
from pm_frames.layout import HEADER, MAGIC, Version
from pm_frames.resync import HEADER_WHOLE, find_magic, follows, last_nonzero, resume
from pm_frames.window import Window

LOOKAHEAD: Final = 8  # entries, or frames, that are tried around a place that does not fit
MATCH_ENTRIES: Final = 8192  # entries that a frame found by search may belong to
FAR_SEARCHES: Final = 16  # vain ones in a row after which only near places are tried


class Judge:
    """Where a scan stands: the next byte, the next entry, and how far entries are off.

    `shift` is what must be taken from an entry's offset to find its frame: 0 until bytes or whole
    frames turn out to have been lost or inserted.
    """

    def __init__(
        self, probe: Window, cursor: IndexCursor | None, version: Version, payload_max: int
    ) -> None:
        self.probe = probe
        self.cursor = cursor
        self.version = version
        self.payload_max = payload_max
        self.header_bytes = HEADER[version].size
        self.offset = 0
        self.ordinal = 0
        self.shift = 0
        self.last_mono = 0
        self._adrift = False  # the frame of the last entry is in ruins, and where it ends unproved
        self._surplus = False  # whole frames after the last entry
        self._nonzero: int | None = None
        self._far_searches = FAR_SEARCHES
        self._nothing_before = 0  # offset up to which a search has found nothing

    def advance(self, count: int, offset: int, last_mono: int) -> None:
        """Stand behind `count` more sound frames."""
        self.ordinal += count
        self.offset = offset
        self.last_mono = last_mono
        self._adrift = False
        if count and self.cursor is not None and self.ordinal > self.cursor.count:
            self._surplus = True

    def judge(self) -> Iterator[Frame | Damage]:
        """Say what is wrong here, and move on past it."""
        entry = None if self.cursor is None else self.cursor.get(self.ordinal)
        found = self._frame_at(self.offset)
        if isinstance(found, Frame) and not self._empty_proved(found, entry):
            found = Fault("crc_mismatch", entry.payload_crc32 if entry else None, found.crc32)
        if isinstance(found, Frame):
            if entry is not None:
                yield from self._sound_but(found, entry)
            else:
                yield from self._sound(found)
        elif entry is not None:
            yield from self._unsound_with(entry, found)
        else:
            yield from self._unsound_without(found)

    def ending(self) -> Iterator[Damage]:
        """Say where the idx and the frames do not end together."""
        cursor = self.cursor
        if cursor is None:
            return
        whole = cursor.count * cursor.entry_bytes
        if self._surplus:
            yield Damage(
                "idx_short", "idx", whole, whole, cursor.count, "tail", self.ordinal, cursor.count
            )
        elif self.ordinal < cursor.count:
            first = self.ordinal * cursor.entry_bytes
            yield Damage(
                "idx_long", "idx", first, whole, self.ordinal, "tail", self.ordinal, cursor.count
            )
        if cursor.torn_bytes:
            yield Damage(
                "idx_torn",
                "idx",
                whole,
                whole + cursor.torn_bytes,
                cursor.count,
                "tail",
                cursor.entry_bytes,
                cursor.torn_bytes,
            )

    def _empty_proved(self, frame: Frame, entry: IdxEntry | None) -> bool:
        """Return whether more than the frame's checksum says that it is empty, if it is.

        The checksum of nothing is 0, so a header whose last eight bytes were zeroed seems sound.
        """
        own = entry_of(frame)[-2:]
        if frame.payload or (entry is not None and entry[-2:] == own):
            return True
        if entry is not None and self._payload_proved(entry):
            return False
        strict = entry is not None
        return follows(self.probe, frame.end, self.version, self.payload_max, strict=strict)

    # A sound frame stands here.

    def _sound(self, frame: Frame, damages: Sequence[Damage] = ()) -> Iterator[Frame | Damage]:
        """Yield a frame that is sound by itself after what is wrong around it."""
        yield from damages
        last_mono = frame.rx_mono_ns
        if any(damage.kind == "idx_mono_mismatch" for damage in damages):
            last_mono = self.last_mono  # not to be believed
        elif frame.rx_mono_ns < self.last_mono:
            yield self._entry_damage("mono_backwards", frame, self.last_mono, frame.rx_mono_ns)
        yield frame
        self.advance(1, frame.end, last_mono)

    def _sound_but(self, frame: Frame, entry: IdxEntry) -> Iterator[Frame | Damage]:
        """A sound frame that its entry does not describe: the entry, the frame or the order is wrong."""
        own = entry_of(frame)
        moved = own._replace(offset_frames=frame.offset + self.shift)
        wrong = [field for field in range(len(entry)) if moved[field] != entry[field]]
        in_place = 0 not in wrong
        if len(wrong) <= 1:
            if not in_place:
                self._believe_shift(frame, entry)
        else:
            reach = MATCH_ENTRIES if self._far_searches else LOOKAHEAD
            ahead = self._entry_ahead(frame, reach)
            strangers = 0 if ahead is not None else self._frames_before(entry, frame, reach)
            if ahead is not None or strangers:
                self._far_searches = FAR_SEARCHES
                yield from self._skip(ahead, strangers, entry, frame)
                return
            self._far_searches = max(0, self._far_searches - 1)
        damages = [
            self._entry_damage(FIELD_KINDS[field], frame, moved[field], entry[field])
            for field in wrong
        ]
        yield from self._sound(frame, damages)

    def _believe_shift(self, frame: Frame, entry: IdxEntry) -> None:
        """Take a moved offset for the new rule if the next entry follows from it."""
        assert self.cursor is not None
        following = self.cursor.get(self.ordinal + 1)
        length = self.header_bytes + entry.payload_len
        if following is not None and following.offset_frames == entry.offset_frames + length:
            self.shift = entry.offset_frames - frame.offset

    def _entry_ahead(self, frame: Frame, reach: int) -> int | None:
        """Return the ordinal of a later entry that describes this frame, among the next `reach`."""
        assert self.cursor is not None
        for ordinal in range(self.ordinal + 1, self.ordinal + 1 + reach):
            entry = self.cursor.get(ordinal)
            if entry is None:
                return None
            if entry[1:] == entry_of(frame)[1:]:
                return ordinal
        return None

    def _frames_before(self, entry: IdxEntry, frame: Frame, reach: int) -> int:
        """Return how many frames stand before the one that `entry` describes; 0 if it is not near."""
        place = frame.end
        for count in range(1, reach + 1):
            following = self._frame_at(place)
            if not isinstance(following, Frame):
                return 0
            if entry_of(following)[1:] == entry[1:]:
                return count
            place = following.end
        return 0

    def _skip(
        self, ahead: int | None, strangers: int, entry: IdxEntry, frame: Frame
    ) -> Iterator[Frame | Damage]:
        """Report entries up to `ahead`, which describes `frame`, or frames up to that of `entry`."""
        if ahead is not None:
            assert self.cursor is not None
            target = self.cursor.get(ahead)
            assert target is not None
            shift = target.offset_frames - frame.offset
            kind = "idx_extra_entry" if shift == self.shift else "frame_missing"
            yield from self._absent(kind, ahead)
            self.shift = shift
        for _ in range(strangers):
            stranger = self._frame_at(self.offset)
            assert isinstance(stranger, Frame)
            yield self._entry_damage("frame_not_indexed", stranger, None, None)
            yield stranger
            self.offset = stranger.end
        if strangers:
            self.shift = entry.offset_frames - self.offset

    def _absent(self, kind: str, stop: int) -> Iterator[Damage]:
        """Report the entries from here to before ordinal `stop`, whose frames are not there."""
        assert self.cursor is not None
        for ordinal in range(self.ordinal, stop):
            entry = self.cursor.get(ordinal)
            yield Damage(
                kind, "frames", self.offset, self.offset, ordinal, "hole", entry, None,
                f"the entry states offset {entry.offset_frames if entry else None}",
            )  # fmt: skip
        self.ordinal = stop

    # No sound frame stands here.

    def _unsound_with(self, entry: IdxEntry, fault: Fault) -> Iterator[Damage]:
        """Damage at a place of which an entry speaks."""
        place = entry.offset_frames - self.shift
        if place > self.offset and self._matches(place, entry):
            yield self._hole(fault, place, None)
            self.offset = place
            return
        if place != self.offset:
            yield self._hole(
                Fault("idx_offset_mismatch", self.offset + self.shift, entry.offset_frames),
                self.offset,
                self.ordinal,
            )
        if self.offset >= self._last_nonzero():
            yield from self._zero_tail()
            return
        end = self.offset + self.header_bytes + entry.payload_len
        proved = self._payload_proved(entry)
        if proved or self._next_entries_hold():
            yield from self._frame_ruined(entry, fault, end, proved=proved)
        elif (match := self._search()) is not None:
            yield from self._moved(fault, *match)
        else:
            yield from self._frame_ruined(entry, fault, end, proved=False)

    def _payload_proved(self, entry: IdxEntry) -> bool:
        """Return whether the payload that the entry describes is here, whatever the header says."""
        start = self.offset + self.header_bytes
        length = entry.payload_len
        if length > self.payload_max or start + length > self.probe.size:
            return False
        return crc32(self.probe.at(start, length)) == entry.payload_crc32

    def _next_entries_hold(self) -> bool:
        """Return whether one of the next entries describes the frame at its offset."""
        assert self.cursor is not None
        for ordinal in range(self.ordinal + 1, self.ordinal + 1 + LOOKAHEAD):
            entry = self.cursor.get(ordinal)
            if entry is None:
                return False
            if self._matches(entry.offset_frames - self.shift, entry):
                return True
        return False

    def _frame_ruined(
        self, entry: IdxEntry, fault: Fault, end: int, *, proved: bool
    ) -> Iterator[Damage]:
        """Report one frame whose place is known, and go on where the next entry says."""
        assert self.cursor is not None
        following = self.cursor.get(self.ordinal + 1)
        if following is not None and not proved:
            place = following.offset_frames - self.shift
            end = place if place > self.offset else end
        detail = ""
        header = self.probe.at(self.offset, self.header_bytes)
        if proved and len(header) == self.header_bytes:
            detail = "the payload is as the idx says; the header is damaged"
            length = unpack_header(header, 0, self.version).payload_len
            if fault.kind in HEADER_WHOLE and length != entry.payload_len:
                fault = Fault("length_mismatch", entry.payload_len, length)
        yield self._hole(fault, min(end, self.probe.size), self.ordinal, detail)
        self.offset = min(end, self.probe.size)
        self.ordinal += 1
        self._adrift = following is None and not proved

    def _moved(self, fault: Fault, offset: int, ordinal: int) -> Iterator[Damage]:
        """Report bytes that were lost or inserted: the frame at `offset` belongs to entry `ordinal`."""
        assert self.cursor is not None
        entry = self.cursor.get(ordinal)
        assert entry is not None
        inserted = ordinal == self.ordinal
        yield self._hole(fault, offset, None if inserted else self.ordinal)
        self.offset = offset
        if not inserted:
            self.ordinal += 1
            yield from self._absent("frame_missing", ordinal)
        self.shift = entry.offset_frames - offset

    def _search(self) -> tuple[int, int] | None:
        """Find the next frame that one of the next entries describes; its offset and ordinal.

        What has been searched in vain is not searched again, so a scan stays linear.
        """
        assert self.cursor is not None
        start = max(self.offset + 1, self._nothing_before)
        if start >= self.probe.size:
            return None
        wanted: dict[tuple[int, ...], int] = {}
        for ordinal in range(self.ordinal, self.ordinal + MATCH_ENTRIES):
            entry = self.cursor.get(ordinal)
            if entry is None:
                break
            wanted.setdefault((entry.payload_len, entry.payload_crc32), ordinal)
        for offset in find_magic(self.probe, start, self.probe.size, MAGIC[self.version]):
            data = self.probe.at(offset, self.header_bytes)
            if len(data) < self.header_bytes:
                break
            header = unpack_header(data, 0, self.version)
            ordinal = wanted.get((header.payload_len, header.payload_crc32), -1)
            entry = self.cursor.get(ordinal) if ordinal >= 0 else None
            if entry is not None and self._matches(offset, entry):
                return offset, ordinal
        self._nothing_before = self.probe.size
        return None

    def _unsound_without(self, fault: Fault) -> Iterator[Damage]:
        """Damage of which no entry speaks."""
        if self.offset >= self._last_nonzero():
            yield from self._zero_tail()
            return
        detail = ""
        if fault.kind == "crc_mismatch" and fault.expected is None:
            detail = "an empty payload proves nothing, and no frame begins behind it"
        end, length = self.probe.size, None
        if not self._adrift:
            end, length = resume(self.probe, self.offset, fault, self.version, self.payload_max)
        if length is not None:
            header = self.probe.at(self.offset, self.header_bytes)
            stated = unpack_header(header, 0, self.version).payload_len
            fault = Fault("length_mismatch", length, stated)
        elif fault.kind == "bad_magic" and end == self.probe.size:
            fault = fault._replace(kind="trailing_garbage")
        yield self._hole(fault, end, self.ordinal, detail)
        self.offset = end
        self.ordinal += 1

    def _zero_tail(self) -> Iterator[Damage]:
        size = self.probe.size
        yield self._hole(Fault("zero_tail", None, size - self.offset), size, self.ordinal)
        self.offset = size
        self.ordinal += 1

    def _last_nonzero(self) -> int:
        if self._nonzero is None:
            self._nonzero = last_nonzero(self.probe)
        return self._nonzero

    def _frame_at(self, offset: int) -> Frame | Fault:
        return frame_at(self.probe, offset, self.version, self.payload_max)

    def _matches(self, offset: int, entry: IdxEntry) -> bool:
        """Return whether the frame that `entry` describes stands at `offset`, whole and sound."""
        if not self.offset < offset < self.probe.size:
            return False
        frame = self._frame_at(offset)
        return isinstance(frame, Frame) and entry_of(frame)[1:] == entry[1:]

    def _entry_damage(self, kind: str, frame: Frame, expected: object, found: object) -> Damage:
        return Damage(
            kind, "frames", frame.offset, frame.end, self.ordinal, "entry", expected, found
        )

    def _hole(self, fault: Fault, end: int, ordinal: int | None, detail: str = "") -> Damage:
        extent: Literal["tail", "hole"] = "tail" if end >= self.probe.size else "hole"
        return Damage(
            fault.kind, "frames", self.offset, end, ordinal, extent,
            fault.expected, fault.found, detail,
        )  # fmt: skip
