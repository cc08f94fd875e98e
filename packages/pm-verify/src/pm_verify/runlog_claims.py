"""What the runlog says about the frames: who opened, how many were written, where each one ended.

Read line by line in bounded memory. A damaged line is evidence and does not end the reading: the
records after it still count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pm_verify.documents import as_integer, decode_object, open_file

# The longest record names all tokens of a subscribe chunk: 250 ids of 78 digits are 20 KB.
LINE_BYTES_MAX = 16 << 20
BAD_LINES_MAX = 1000


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record. `torn` is true for an incomplete last one.

    `after_mono_ns` is the highest stamp of the records before it.
    """

    number: int
    offset: int
    end: int
    reason: str
    torn: bool = False
    after_mono_ns: int = 0


@dataclass(slots=True)
class Counts:
    """Frames that the records of a run, or of one part of a merged one, speak of.

    `frames_total` and `durable_frames_total` are the highest that any record states, `stop_frames` is what the
    record of the end states.
    """

    frames_total: int = 0
    durable_frames_total: int = 0
    stop_frames: int | None = None

    def take_counts(self, record: Mapping[str, object]) -> None:
        """Note what one record counts."""
        frames = as_integer(record.get("frames_total"))
        self.frames_total = max(self.frames_total, frames or 0)
        durable = as_integer(record.get("durable_frames_total")) or 0
        self.durable_frames_total = max(self.durable_frames_total, durable)
        if record.get("record_type") in ("capture_stop", "part_stop"):
            self.stop_frames = frames


@dataclass(slots=True)
class RunlogClaims(Counts):
    """The claims of a runlog that the files of the bundle must bear out.

    The counts are those of the whole run, and `parts` those of the parts that a merged one is made of.
    `started` says that a capture_start is there. `last_stamps` maps a shard to the highest rx_mono_ns that a
    disconnect names as its last frame; `last_stamp` are the highest stamps of any record, monotonic and wall.
    """

    present: bool = False
    problem: str | None = None
    records: int = 0
    started: bool = False
    bad_lines: list[BadLine] = field(default_factory=list)
    run_ids: dict[str, int] = field(default_factory=dict)
    announced: set[int] = field(default_factory=set)
    lines: int = 0
    parts: dict[int, Counts] = field(default_factory=dict)
    last_stamps: dict[int, int] = field(default_factory=dict)
    universe: dict[str, str] = field(default_factory=dict)
    last_stamp: tuple[int, int] | None = None
    stop_reason: str | None = None
    _connected_ns: dict[int, int] = field(default_factory=dict)

    def take(self, record: Mapping[str, object], offset: int) -> None:
        """Note what one record claims. `offset` is where its line begins."""
        self.records += 1
        run_id = record.get("run_id")
        if isinstance(run_id, str):
            self.run_ids.setdefault(run_id, offset)
        stamps = as_integer(record.get("ts_mono_ns")), as_integer(record.get("ts_wall_ns_utc"))
        if stamps[0] is not None and stamps[1] is not None:
            self.last_stamp = max(self.last_stamp or (0, 0), (stamps[0], stamps[1]))
        match record.get("record_type"):
            case "shard_open" | "ws_connect":
                self._take_opening(record)
            case "disconnect":
                self._take_disconnect(record)
            case "capture_start":
                self.started = True
                if not record.get("part"):  # a merged run has the universe of its first part
                    self._take_universe(record)
            case "capture_stop":
                reason = record.get("reason")
                self.stop_reason = reason if isinstance(reason, str) else None
        part = as_integer(record.get("part"))
        if part is None or record.get("record_type") == "capture_stop":
            self.take_counts(record)  # the last stop of a merged run has the sums
        else:
            self.parts.setdefault(part, Counts()).take_counts(record)

    def _take_opening(self, record: Mapping[str, object]) -> None:
        shard_id = as_integer(record.get("shard_id"))
        if shard_id is None:
            return
        self.announced.add(shard_id)
        stamp = as_integer(record.get("ts_mono_ns"))
        if record.get("record_type") == "ws_connect" and stamp is not None:
            self._connected_ns[shard_id] = stamp

    def _take_disconnect(self, record: Mapping[str, object]) -> None:
        shard_id = as_integer(record.get("shard_id"))
        since = as_integer(record.get("since_mono_ns"))
        # A connection without a frame names the stamp of its own ws_connect: no frame to look for.
        if shard_id is None or since is None or since <= self._connected_ns.get(shard_id, -1):
            return
        self.last_stamps[shard_id] = max(since, self.last_stamps.get(shard_id, 0))

    def _take_universe(self, record: Mapping[str, object]) -> None:
        file, digest = record.get("universe_file"), record.get("universe_sha256")
        if isinstance(file, str) and isinstance(digest, str):
            self.universe[file] = digest


def read_runlog_claims(path: Path) -> RunlogClaims:
    """Read a runlog. Never raises for what the file holds."""
    claims = RunlogClaims()
    try:
        file = open_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return claims
    except OSError as error:
        return RunlogClaims(present=True, problem=f"cannot be read: {error.strerror}")
    claims.present = True
    with file:
        try:
            for number, offset, line in _lines(file):
                claims.lines = number
                _judge_line(claims, number, offset, line)
        except OSError as error:
            claims.problem = f"cannot be read: {error.strerror}"
    return claims


def _lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    offset = number = 0
    while line := file.readline(LINE_BYTES_MAX):
        number += 1
        yield number, offset, line
        offset += len(line)


def _judge_line(claims: RunlogClaims, number: int, offset: int, line: bytes) -> None:
    end = offset + len(line)
    after = claims.last_stamp[0] if claims.last_stamp else 0
    if not line.endswith(b"\n"):
        torn = len(line) < LINE_BYTES_MAX
        reason = "has no newline" if torn else f"is longer than {LINE_BYTES_MAX} bytes"
        bad = BadLine(number, offset, end, reason, torn=torn, after_mono_ns=after)
    else:
        try:
            record = decode_object(line)
        except ValueError as error:
            bad = BadLine(number, offset, end, str(error), after_mono_ns=after)
        else:
            if isinstance(record.get("record_type"), str):
                claims.take(record, offset)
                return
            bad = BadLine(number, offset, end, "has no record_type", after_mono_ns=after)
    if len(claims.bad_lines) < BAD_LINES_MAX:
        claims.bad_lines.append(bad)
