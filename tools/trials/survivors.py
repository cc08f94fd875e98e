"""What a killed capture left, judged by what the venue sent and by which writes had returned."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pm_frames import Frame, FrameDecoder, read_frames
from pm_frames.layout import HEADER, IDX, Version
from pm_frames.paths import RUNLOG
from pm_frames.runlog import read_runlog

CHUNK_BYTES = 1 << 20
HEADER_BYTES = HEADER[Version.V2].size
ENTRY_BYTES = IDX[Version.V2].size


@dataclass(frozen=True, slots=True)
class Survivors:
    """One shard after a kill."""

    shard_id: int
    whole: int  # whole frames that are in the file
    returned: int  # of the frames that were sent, those inside the bytes whose write had returned
    torn_bytes: int  # after the last whole frame
    entries: int
    entries_returned: int
    first_difference: int | None  # from what the venue sent
    file_short: bool  # the whole frames are fewer bytes than had been written

    @property
    def lost(self) -> int:
        """Frames that are gone although their write had returned."""
        return max(0, self.returned - self.whole)

    @property
    def problems(self) -> list[str]:
        found = []
        if self.lost or self.file_short:
            found.append(f"{self.lost} frames lost whose write had returned")
        if self.first_difference is not None:
            found.append(f"differs from what was sent at frame {self.first_difference}")
        if self.entries < self.entries_returned:
            found.append(f"{self.entries_returned - self.entries} index entries lost")
        if self.entries > self.whole:
            found.append("the index is ahead of the frames")
        return [f"shard {self.shard_id}: {problem}" for problem in found]


def connected(run_dir: Path) -> dict[int, str]:
    """The local address of each shard that connected; a run that was killed connected once."""
    return {
        record["shard_id"]: record["local_address"]
        for record in read_runlog(run_dir / RUNLOG)
        if record["record_type"] == "ws_connect"
    }


def whole_frames(path: Path) -> Iterator[Frame]:
    """Whole frames up to a torn tail; damage before it raises `CorruptFrame`."""
    decoder = FrameDecoder()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield from decoder.feed(chunk)


def judge_shard(
    run_dir: Path, shard_id: int, sent: Path | None, bytes_returned: tuple[int, int]
) -> Survivors:
    """Compare one shard with the venue's log (None: it never connected) and with the counters."""
    path = run_dir / "capture" / f"shard_{shard_id:02d}.frames"
    surviving = whole_frames(path)
    whole = end = returned = sent_end = 0
    difference = None
    # How many frames the written bytes held is told by the venue's log, not by the file that is judged.
    for theirs in read_frames(sent) if sent is not None else ():
        ours = next(surviving, None)
        if ours is not None:
            if difference is None and ours.payload != theirs.payload:
                difference = whole
            whole += 1
            end = ours.offset + HEADER_BYTES + len(ours.payload)
        sent_end += HEADER_BYTES + len(theirs.payload)
        returned += sent_end <= bytes_returned[0]
        if ours is None and sent_end > bytes_returned[0]:
            break
    for _ in surviving:  # never sent
        difference = whole if difference is None else difference
        whole += 1
    size = path.stat().st_size
    return Survivors(
        shard_id,
        whole,
        returned,
        size - end,
        path.with_suffix(".idx").stat().st_size // ENTRY_BYTES,
        bytes_returned[1] // ENTRY_BYTES,
        difference,
        end < bytes_returned[0],
    )
