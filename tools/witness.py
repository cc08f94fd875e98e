"""Judge a capture by a witness outside the bundle: the log of what the venue sent.

    python tools/witness.py RUN_DIR SENT_LOG_DIR

For every connection of every shard: is what was captured a prefix of what was sent, byte for byte and
in order, and was every frame that is missing sent inside a gap that the bundle itself declares?

A gap is read from the bundle alone. It begins with the venue's own `timestamp` in the last frame that
is not after `since_mono_ns` of the `disconnect` and has one (the stamp of its arrival would be too
late: what the venue sent meanwhile was under way), or with `ws_connect` if there is none. It ends with
the shard's next `ws_connect`, or with the run.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pm_frames import Frame, open_bundle, read_frames
from pm_frames.runlog import read_runlog

NS_PER_MS = 1_000_000
TIMESTAMP = re.compile(rb'"timestamp": ?"(\d{13})"')
FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection as the bundle tells it. Wall times in ns since 1970."""

    shard_id: int
    number: int
    local_address: str
    opened_mono_ns: int
    ended_mono_ns: int
    ended_planned: bool
    opened_wall_ns: int
    since_mono_ns: int
    trigger: str
    next_opened_wall_ns: int


@dataclass(slots=True)
class Verdict:
    """What the witness says of one connection."""

    connection: Connection
    sent: int = 0
    captured: int = 0
    first_difference: int | None = None
    gap_from_wall_ns: int = 0
    gap_to_wall_ns: int = FOREVER
    missing: int = 0
    missing_outside_gap: int = 0

    @property
    def ok(self) -> bool:
        return self.first_difference is None and self.missing_outside_gap == 0


def connections(run_dir: Path) -> list[Connection]:
    """Every connection that the runlog names, in order of opening within its shard."""
    opened: dict[int, list[dict]] = {}
    ended: dict[tuple[int, int], dict] = {}
    for record in read_runlog(open_bundle(run_dir).runlog_path):
        if record["record_type"] == "ws_connect":
            opened.setdefault(record["shard_id"], []).append(record)
        elif record["record_type"] == "disconnect":
            ended[record["shard_id"], record["connection"]] = record
    found = []
    for shard_id, records in sorted(opened.items()):
        for record, following in zip(records, [*records[1:], None], strict=True):
            end = ended.get((shard_id, record["connection"]))
            found.append(
                Connection(
                    shard_id,
                    record["connection"],
                    record["local_address"],
                    record["ts_mono_ns"],
                    end["ts_mono_ns"] if end else FOREVER,
                    bool(end and end["planned"]),
                    record["ts_wall_ns_utc"],
                    end["since_mono_ns"] if end else FOREVER,
                    end["trigger"] if end else "",
                    following["ts_wall_ns_utc"] if following else FOREVER,
                )
            )
    return found


def captured_frames(
    run_dir: Path, shard_connections: list[Connection]
) -> Iterator[tuple[int, Frame]]:
    """The frames of one shard, each with the number of the connection that it came on."""
    [shard] = [
        s for s in open_bundle(run_dir).shards() if s.shard_id == shard_connections[0].shard_id
    ]
    current = 0
    for frame in shard.frames():
        while (
            current + 1 < len(shard_connections)
            and frame.rx_mono_ns > shard_connections[current + 1].opened_mono_ns
        ):
            current += 1
        yield shard_connections[current].number, frame


def venue_time_ns(frame: Frame) -> int:
    stamps = TIMESTAMP.findall(frame.payload)
    return int(stamps[-1]) * NS_PER_MS if stamps else frame.rx_wall_ns_utc or 0


def sent_entries(sent_dir: Path) -> dict[str, list[dict]]:
    """The lines of the venue's log about accepted connections, by the client's address.

    An address can come again: the system reuses ports.
    """
    entries: dict[str, list[dict]] = {}
    for line in (sent_dir / "connections.ndjson").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["how"] != "refused":
            entries.setdefault(entry["remote"], []).append(entry)
    return entries


def entry_of(connection: Connection, entries: dict[str, list[dict]]) -> dict:
    """The venue's line about a connection: that of its address which was opened next to it."""
    return min(
        entries[connection.local_address],
        key=lambda entry: abs(entry["opened_mono_ns"] - connection.opened_mono_ns),
    )


def judge(run_dir: Path, sent_dir: Path) -> list[Verdict]:
    """Compare a bundle with the venue's log, connection by connection, in bounded memory."""
    entries = sent_entries(sent_dir)
    by_shard: dict[int, list[Connection]] = {}
    for connection in connections(run_dir):
        by_shard.setdefault(connection.shard_id, []).append(connection)
    verdicts = []
    for members in by_shard.values():
        frames = captured_frames(run_dir, members)
        pending = next(frames, None)
        for connection in members:
            verdict = Verdict(connection, gap_to_wall_ns=connection.next_opened_wall_ns)
            number = entry_of(connection, entries)["connection"]
            sent = read_frames(sent_dir / f"connection_{number:04d}.frames")
            last = None
            while pending is not None and pending[0] == connection.number:
                frame = pending[1]
                if frame.rx_mono_ns <= connection.since_mono_ns and b'"timestamp"' in frame.payload:
                    last = frame
                expected = next(sent, None)
                verdict.sent += expected is not None
                if verdict.first_difference is None and (
                    expected is None or expected.payload != frame.payload
                ):
                    verdict.first_difference = verdict.captured
                verdict.captured += 1
                pending = next(frames, None)
            verdict.gap_from_wall_ns = venue_time_ns(last) if last else connection.opened_wall_ns
            for frame in sent:
                verdict.sent += 1
                verdict.missing += 1
                when = frame.rx_wall_ns_utc or 0
                if not verdict.gap_from_wall_ns <= when <= verdict.gap_to_wall_ns:
                    verdict.missing_outside_gap += 1
            verdicts.append(verdict)
    return verdicts


def describe(verdict: Verdict) -> str:
    connection = verdict.connection
    name = f"shard {connection.shard_id} connection {connection.number}"
    if verdict.first_difference is not None:
        return f"{name}: DIFFERS from what was sent at frame {verdict.first_difference}"
    text = f"{name}: {verdict.captured:,} of {verdict.sent:,} frames, byte for byte"
    if verdict.missing:
        text += (
            f"; {verdict.missing:,} missing, {verdict.missing_outside_gap:,} of them unexplained"
        )
    return text


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    verdicts = judge(Path(sys.argv[1]), Path(sys.argv[2]))
    print(*map(describe, verdicts), sep="\n")
    return 0 if verdicts and all(verdict.ok for verdict in verdicts) else 3


if __name__ == "__main__":
    sys.exit(main())
