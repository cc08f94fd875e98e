"""One shard of a repair: every frame that can be proved, in its order, with an entry for each.

What frames and index agree on is copied byte for byte. From the first damage on, the tolerant scan of
pm_frames says which frames are sound, and three things are decided here and nowhere else:

- A frame and its entry state different stamps. The digest of a sealed file decides, else the stamps of the
  neighbours where they leave only one possibility; else the header's is taken and nothing is proved.
- A stamp goes back. Of the two frames the one is left out that does not fit between its neighbours.
- A frame is marked as salvaged (0x8000) if something before it was left out, or its stamps are not proved.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pm_frames.checksum import crc32
from pm_frames.damage import Damage
from pm_frames.frames import Frame, encode_frame, unpack_header
from pm_frames.index import encode_entry, entry_of, read_index
from pm_frames.layout import CRITICAL_UNKNOWN, IDX, Flag, Version, header_size, idx_size
from pm_frames.scan import Start, scan_shard
from pm_frames.window import SPAN, Window
from pm_verify.diagnosis import CODE_OF_KIND, NOTHING_LOST
from pm_verify.opening import open_shard_bytes
from pm_verify.quarantine import Quarantine
from pm_verify.shard_result import ShardResult

AFTER_POINT: Final = "after_point_in_time"
STAMPS: Final = {"idx_mono_mismatch": "rx_mono_ns", "idx_wall_mismatch": "rx_wall_ns_utc"}
# Entries that name a frame which is not there: something is missing between its neighbours.
LOST: Final = frozenset({"frame_missing", "idx_long"})
WALL_STEP_NS: Final = 1_000_000_000


@dataclass(slots=True)
class Choice:
    """A stamp on which the frame and its entry disagreed, and what was done about it.

    `by` is what decided: `seal`, `order` (the stamps of the neighbours), `clock` (the distance of the two
    clocks), or `nothing`: then the header's value stands and may be wrong.
    """

    shard: int | None
    ordinal: int
    field: str
    header: int | None
    entry: int | None
    taken: int | None = None
    by: str = "nothing"

    def as_json(self) -> dict[str, object]:
        """Return the choice as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class LostEntry:
    """Entries of the parent without a frame in the repair, `count` of them from `ordinal` on."""

    file: str
    ordinal: int
    count: int
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return the entries as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class SalvagedShard:
    """What a repair has made of one shard. Stamps are those of its first and last frame.

    `marked` counts frames with the flag of a repair; `restored` are the ordinals, in the parent, of frames
    whose header was made anew from their entry.
    """

    shard: int
    version: Version
    frames: int = 0
    frames_bytes: int = 0
    idx_bytes: int = 0
    marked: int = 0
    first: tuple[int, int | None] | None = None
    last: tuple[int, int | None] | None = None
    restored: list[int] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    lost_entries: list[LostEntry] = field(default_factory=list)

    @property
    def lossy(self) -> bool:
        """Return whether a frame is missing, or stands here unproved."""
        unproved = any(choice.by != "seal" for choice in self.choices)
        return unproved or any(lost.reason in LOST for lost in self.lost_entries)


@dataclass(slots=True)
class _Held:
    """A frame whose place is not certain before the next one is seen; `gap` says what was before it."""

    frame: Frame
    choices: list[Choice]
    gap: bool


class ShardSalvage:
    """Writes the files of one shard. `limit_mono_ns` leaves out every frame stamped after it."""

    def __init__(
        self,
        shard: int,
        result: ShardResult,
        sources: tuple[Path | None, Path | None],
        targets: tuple[Path, Path],
        quarantine: Quarantine,
        *,
        right_side: str | None,
        limit_mono_ns: int | None,
    ) -> None:
        """`right_side` is `frames` or `idx` where a digest proves that one, and only that, is whole."""
        self._result = result
        self._frames_path, self._idx_path = sources
        self._targets = targets
        self._quarantine = quarantine
        self._right_side = right_side
        self._limit = limit_mono_ns
        self.made = SalvagedShard(shard, _version_of(result))
        self._header_bytes = header_size(self.made.version)
        self._held: _Held | None = None
        self._last_mono = 0
        self._last_wall_distance: int | None = None
        self._gap = False

    def run(self) -> SalvagedShard:
        """Write both files and the quarantine of this shard. Raises OSError."""
        with self._targets[0].open("xb") as frames, self._targets[1].open("xb") as idx:
            self._out = (frames, idx)
            if self._frames_path is not None:
                with Window(self._frames_path) as window:
                    self._copy_agreed(frames, idx)
                    if self._limit is None:
                        self._salvage(window, self._frames_path)
                    else:
                        self._keep_up_to(self._limit, window, self._frames_path)
            self.made.frames_bytes, self.made.idx_bytes = frames.tell(), idx.tell()
        return self.made

    def _copy_agreed(self, frames: BinaryIO, idx: BinaryIO) -> None:
        """Copy the records that need no repair, up to the limit if there is one."""
        agreed, version = self._result.agreed, self.made.version
        count, end = agreed.records, agreed.frames_end
        if not count:
            return
        assert self._idx_path is not None
        assert self._frames_path is not None
        if self._limit is not None and IDX[version].unpack(agreed.last)[1] > self._limit:
            count, end = self._cut_at_limit(count, end)
        _copy(self._frames_path, frames, end)
        _copy(self._idx_path, idx, count * idx_size(version))
        self.made.frames = count
        for ordinal in (0, count - 1) if count else ():
            (entry,) = read_index(self._idx_path, version, start=ordinal, stop=ordinal + 1)
            self._note(entry.rx_mono_ns, entry.rx_wall_ns_utc)

    def _cut_at_limit(self, count: int, end: int) -> tuple[int, int]:
        assert self._idx_path is not None
        assert self._limit is not None
        entries = read_index(self._idx_path, self.made.version, stop=count)
        for ordinal, entry in enumerate(entries):
            if entry.rx_mono_ns > self._limit:
                return ordinal, entry.offset_frames
        return count, end

    def _keep_up_to(self, limit: int, window: Window, frames_path: Path) -> None:
        """Leave out everything after the limit; up to there no frame is in doubt."""
        end = self._out[0].tell()
        start = Start(end, self.made.frames, self._last_mono)
        for item in scan_shard(frames_path, self._idx_path, start=start):
            if isinstance(item, Damage):
                if CODE_OF_KIND[item.kind] in NOTHING_LOST:
                    continue
                break
            if item.rx_mono_ns > limit:
                break
            self._write(item, item.flags)
            end = item.end
        self._quarantine.take(window, end, window.size, AFTER_POINT, self.made.frames)

    def _salvage(self, window: Window, frames_path: Path) -> None:
        """Read on from where agreement ends, and write what is sound."""
        agreed = self._result.agreed
        start = Start(agreed.frames_end, agreed.records, self._last_mono)
        notes: list[Damage] = []
        for item in scan_shard(frames_path, self._idx_path, start=start):
            if isinstance(item, Frame):
                self._take(window, item, notes)
                notes = []
            elif item.extent == "entry":
                notes.append(item)
            elif item.file == "frames" and item.end > item.offset:
                self._settle(window, None)
                reason = CODE_OF_KIND[item.kind].name.lower()
                restored = self._restored(window, item)
                end = item.end if restored is None else restored.offset + self._header_bytes
                self._quarantine.take(window, item.offset, end, reason, item.ordinal)
                self._gap = True
                if restored is not None:
                    self.made.restored.append(item.ordinal or 0)
                    self._take(window, restored, [])
                    self._gap = restored.end < item.end
                    self._quarantine.take(window, restored.end, item.end, reason, None)
            elif item.ordinal is not None:
                self._lose_entry(window, item)
        self._settle(window, None)

    def _restored(self, window: Window, damage: Damage) -> Frame | None:
        """Return the frame of a ruined header, where the entry states it and proves its payload.

        Only `flags` is taken from the header, which the entry does not repeat: a header of which they
        are what is damaged is not believed.
        """
        version, size = self.made.version, self._header_bytes
        if self._idx_path is None or damage.ordinal is None or damage.kind == "unknown_flags":
            return None
        count = self._result.idx_bytes // idx_size(version)
        if damage.ordinal >= count or damage.offset + size > window.size:
            return None
        (entry,) = read_index(
            self._idx_path, version, start=damage.ordinal, stop=damage.ordinal + 1
        )
        flags = unpack_header(window.at(damage.offset, size), 0, version).flags
        end = damage.offset + size + entry.payload_len
        if flags & CRITICAL_UNKNOWN or not entry.payload_len or end > damage.end:
            return None
        payload = window.at(damage.offset + size, entry.payload_len)
        if crc32(payload) != entry.payload_crc32:
            return None
        return Frame(
            damage.offset,
            version,
            flags,
            entry.rx_mono_ns,
            entry.rx_wall_ns_utc,
            entry.payload_crc32,
            payload,
        )

    def _lose_entry(self, window: Window, damage: Damage) -> None:
        assert damage.ordinal is not None
        count = 1
        if damage.kind in LOST:
            self._settle(window, None)
            self._gap = True
        if damage.kind == "idx_long":
            count = (damage.end - damage.offset) // idx_size(self.made.version)
        elif damage.file == "idx":
            return  # short or torn: every frame is there
        lost = self.made.lost_entries
        file = self._quarantine.file.removesuffix(".frames") + ".idx"
        after = lost[-1].ordinal + lost[-1].count if lost else None
        if lost and after == damage.ordinal and lost[-1].reason == damage.kind:
            lost[-1].count += count
        else:
            lost.append(LostEntry(file, damage.ordinal, count, damage.kind))

    def _take(self, window: Window, frame: Frame, notes: list[Damage]) -> None:
        """Take the next sound frame, with what its entry says otherwise."""
        ordinal = next((note.ordinal for note in notes if note.ordinal is not None), 0)
        choices = [
            Choice(self.made.shard, ordinal, STAMPS[note.kind], note.expected, note.found)  # type: ignore[arg-type]
            for note in notes
            if note.kind in STAMPS
        ]
        stranger = any(note.kind == "frame_not_indexed" for note in notes)
        taken = _Held(frame, choices, gap=self._gap or stranger)
        self._gap = False
        self._settle(window, taken)

    def _settle(self, window: Window, following: _Held | None) -> None:
        """Write the frame that is held back, now that the next is known, and hold that one."""
        held = self._held
        if held is None:
            self._held = self._not_before(window, following)
            return
        held.frame = self._decided(held, following)
        mono = held.frame.rx_mono_ns
        if mono < self._last_mono:
            self._leave_out(window, held)
        elif following is None or following.choices or following.frame.rx_mono_ns >= mono:
            self._write_held(held)
        elif following.frame.rx_mono_ns < self._last_mono:
            self._leave_out(window, following)
            return
        else:
            self._leave_out(window, held)
        if following is not None:
            following.gap |= self._gap
            self._gap = False
        self._held = self._not_before(window, following)

    def _write_held(self, held: _Held) -> None:
        flags = held.frame.flags
        proved = all(
            choice.by == "seal" and choice.taken == choice.header for choice in held.choices
        )
        if held.gap or not proved:
            flags |= Flag.SALVAGED
            self.made.marked += 1
        self.made.choices += held.choices
        self._write(held.frame, flags)

    def _not_before(self, window: Window, held: _Held | None) -> _Held | None:
        """Return the frame to hold, unless none of its stamps can follow what is written."""
        if held is None:
            return None
        stamps = [held.frame.rx_mono_ns, *(choice.entry for choice in held.choices if choice.entry)]
        if max(stamps) >= self._last_mono:
            return held
        self._leave_out(window, held)
        return None

    def _leave_out(self, window: Window, odd: _Held) -> None:
        frame = odd.frame
        self._quarantine.take(window, frame.offset, frame.end, "stamp_backwards", None)
        self._gap = True

    def _decided(self, held: _Held, following: _Held | None) -> Frame:
        """Choose between the stamps of a frame and of its entry."""
        frame = held.frame
        for choice in held.choices:
            if choice.by != "nothing":
                continue
            if self._right_side is not None:
                choice.by = "seal"
                choice.taken = choice.header if self._right_side == "frames" else choice.entry
            elif choice.field == "rx_mono_ns":
                self._decide_by_order(choice, following)
            else:
                self._decide_by_clock(choice, frame)
            if choice.field == "rx_mono_ns":
                frame = frame._replace(rx_mono_ns=choice.taken or 0)
            else:
                frame = frame._replace(rx_wall_ns_utc=choice.taken)
        return frame

    def _decide_by_order(self, choice: Choice, following: _Held | None) -> None:
        after = following.frame.rx_mono_ns if following and not following.choices else None
        fitting = [
            stamp
            for stamp in (choice.header, choice.entry)
            if stamp is not None
            and stamp >= self._last_mono
            and (after is None or stamp <= after or after < self._last_mono)
        ]
        choice.taken = fitting[0] if fitting else choice.header
        choice.by = "order" if len(fitting) == 1 else "nothing"

    def _decide_by_clock(self, choice: Choice, frame: Frame) -> None:
        choice.taken = choice.header
        known = self._last_wall_distance
        if known is None or choice.header is None or choice.entry is None:
            return
        steps = [
            abs(stamp - frame.rx_mono_ns - known) > WALL_STEP_NS
            for stamp in (choice.header, choice.entry)
        ]
        if steps[0] != steps[1]:
            choice.by = "clock"
            choice.taken = choice.entry if steps[0] else choice.header

    def _write(self, frame: Frame, flags: int) -> None:
        frames, idx = self._out
        frame = frame._replace(offset=frames.tell(), flags=flags)
        data = encode_frame(
            frame.payload,
            rx_mono_ns=frame.rx_mono_ns,
            rx_wall_ns_utc=frame.rx_wall_ns_utc,
            flags=frame.flags,
            version=frame.version,
            crc=frame.crc32,
        )
        frames.write(data)
        idx.write(encode_entry(entry_of(frame), frame.version))
        self.made.frames += 1
        self._note(frame.rx_mono_ns, frame.rx_wall_ns_utc)

    def _note(self, mono: int, wall: int | None) -> None:
        if self.made.first is None:
            self.made.first = (mono, wall)
        self.made.last = (mono, wall)
        self._last_mono = mono
        if wall is not None:
            self._last_wall_distance = wall - mono


def _version_of(result: ShardResult) -> Version:
    """Return the version of a shard; without any frame the one in which its index was understood."""
    if result.schema_versions:
        return Version(result.schema_versions[0])
    whole = [one for one in Version if result.idx_bytes // idx_size(one) == result.idx_records]
    return max(whole, default=Version.V2)


def _copy(path: Path, out: BinaryIO, size: int) -> None:
    """Copy the first `size` bytes."""
    source = open_shard_bytes(path).file
    with source:
        while size > 0 and (data := source.read(min(SPAN, size))):
            out.write(data)
            size -= len(data)


def begins_with(path: Path, start: Path) -> bool:
    """Return whether the bytes of `start` are the beginning of `path`."""
    return all(ours == theirs for ours, theirs in _side_by_side(path, start))


def _side_by_side(path: Path, start: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as ours, start.open("rb") as theirs:
        while data := theirs.read(SPAN):
            yield ours.read(len(data)), data
