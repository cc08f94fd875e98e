"""What a repair leaves out: the bytes, kept as they were, and a list of where each of them stood."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pm_frames.paths import QUARANTINE
from pm_frames.window import SPAN, Window

# Bytes that are all zero by the meaning of their code; there may be gigabytes of them.
NOT_COPIED: Final = frozenset({"zero_tail"})


@dataclass(slots=True)
class Dropped:
    """Bytes of the parent, from `offset` to before `end` of `file`, that are not in the repair.

    `reason` is the name of a finding, or `after_point_in_time`. `ordinal` is that of the first record
    concerned, None where none is known. `kept_at` is where the bytes begin in `kept_in`; both are None
    for bytes that are all zero.
    """

    file: str
    offset: int
    end: int
    reason: str
    ordinal: int | None = None
    kept_in: str | None = None
    kept_at: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return the range as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Quarantine:
    """The ranges of one file of the parent, one after the other in one file of the repair."""

    out_dir: Path
    file: str
    ranges: list[Dropped] = field(default_factory=list)
    _out: BinaryIO | None = None

    @property
    def name(self) -> str:
        """Return the path of the kept bytes, relative to the repair."""
        return f"{QUARANTINE}/{self.file}"

    def take(
        self, window: Window, offset: int, end: int, reason: str, ordinal: int | None = None
    ) -> None:
        """Keep the bytes of a range; one that continues the last for the same reason joins it."""
        if end <= offset:
            return
        last = self.ranges[-1] if self.ranges else None
        joins = last is not None and last.end == offset and last.reason == reason
        if last is not None and joins:
            last.end = end
        else:
            last = Dropped(self.file, offset, end, reason, ordinal)
            self.ranges.append(last)
        if reason in NOT_COPIED:
            return
        out = self._open()
        if last.kept_at is None:
            last.kept_in, last.kept_at = self.name, out.tell()
        while offset < end:
            data = window.at(offset, min(SPAN, end - offset))
            if not data:
                break
            out.write(data)
            offset += len(data)

    def close(self) -> None:
        """Close the file of kept bytes, if there are any."""
        if self._out is not None:
            self._out.close()

    def _open(self) -> BinaryIO:
        if self._out is None:
            path = self.out_dir / self.name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._out = path.open("xb")
        return self._out
