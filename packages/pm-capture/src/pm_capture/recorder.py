"""Everything that a run writes while it lives: frames, runlog, metrics, watermark.

One thread (the event loop) appends; `sync` belongs to another. A frame, or a record, whose append has
returned is in the kernel. The stamps all come from one `Stamper`, which is what makes the order of the
bundle true; see `stamper.py`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pm_capture.metrics import Beat, Durations, Meters, ShardFacts, global_record, shard_record
from pm_capture.ndjson import NdjsonFile
from pm_capture.stamper import Stamper
from pm_frames import BundleError, ShardWriter, paths
from pm_frames.errors import RunLocked, WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.histogram import LogHistogram
from pm_frames.runlog import RunlogWriter
from pm_frames.watermark import WatermarkWriter


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """The files of a shard that a run has gained; `Recorder.adopt` takes them over."""

    writer: ShardWriter
    metrics_path: Path
    metrics: NdjsonFile


class Recorder:
    """The files of one run, from the moment when its directory exists until the seal."""

    def __init__(
        self,
        run_dir: Path,
        run_id: str,
        *,
        shards: int,
        stamper: Stamper,
        version: int = 2,
        files: Files | None = None,
    ) -> None:
        """Create every file, empty and durable by name.

        Raises `RunLocked` or `WriteFailed` of pm_frames, or OSError.
        """
        files = OsFiles() if files is None else files
        self._files = files
        self._version = version
        self.run_dir = run_dir
        self.run_id = run_id
        self.stamper = stamper
        self.durable_frames = 0
        for name in (paths.CAPTURE, paths.METRICS):
            (run_dir / name).mkdir()
        with contextlib.ExitStack() as made:  # another run may be alive, and need the descriptors
            self.runlog = RunlogWriter(run_dir / paths.RUNLOG, run_id, files)
            made.callback(self.runlog.close)
            self.shards: list[ShardWriter] = []
            for shard_id in range(shards):
                self.shards.append(
                    ShardWriter(run_dir / paths.CAPTURE, shard_id, version=version, files=files)
                )
                made.callback(self.shards[-1].close)
            self._watermark = WatermarkWriter(run_dir / paths.WATERMARK)
            made.callback(self._watermark.close)
            self._metrics: dict[Path, NdjsonFile] = {}
            for path in [
                run_dir / paths.METRICS_GLOBAL,
                *(paths.shard_metrics_path(run_dir, shard_id) for shard_id in range(shards)),
            ]:
                self._metrics[path] = NdjsonFile(path, files)
                made.callback(self._metrics[path].close)
            files.sync_directory(run_dir / paths.METRICS)
            files.sync_directory(run_dir)
            made.pop_all()
        self._shard_metrics = list(self._metrics.values())[1:]
        self.meters = [Meters() for _ in range(shards)]
        # From the end of an append to the end of what the policies made of the frames, in ns.
        self.reactions = LogHistogram()
        self._append_ended = 0
        # Per shard, the last moment at which its connection was certain to deliver.
        self._certain = [0] * shards

    @property
    def frames_total(self) -> int:
        """Frames in the files of all shards."""
        return sum(shard.frames for shard in self.shards)

    @property
    def bytes_total(self) -> int:
        """Bytes of the `.frames` files of all shards."""
        return sum(shard.frames_bytes for shard in self.shards)

    @property
    def metrics_errors(self) -> int:
        """Metrics records that could not be written."""
        return sum(file.errors for file in self._metrics.values())

    def frames(
        self, shard_id: int, frames: Sequence[tuple[int, bytes]], stamp: tuple[int, int]
    ) -> None:
        """Append what one read completed. Raises `WriteFailed`."""
        mono, wall = stamp
        began = self.stamper.now()
        self.shards[shard_id].append(frames, rx_mono_ns=mono, rx_wall_ns_utc=wall)
        ended = self.stamper.now()
        self._certain[shard_id] = mono
        self._append_ended = ended
        self.meters[shard_id].read_recorded(stamped=mono, began=began, ended=ended)
        self._watermark.publish(self.stamper.watermark(ended))

    def reacted(self) -> None:
        """Take note that what followed from the newest append is done."""
        self.reactions.record(max(0, self.stamper.now() - self._append_ended))

    def reactions_taken(self) -> dict[str, Any]:
        """Return what `reacted` has counted since the last call, as a sparse histogram."""
        taken, self.reactions = self.reactions, LogHistogram()
        return taken.to_dict()

    def note(self, record_type: str, fields: Mapping[str, object]) -> None:
        """Append a runlog record, later than everything written before. Raises `WriteFailed`.

        `disconnect` gets `since_mono_ns` here, unless it has it: the stamp of the last frame of the
        connection, or of its `ws_connect` if it had none. What came after that moment may be missing.
        """
        mono, wall = self.stamper.record()
        shard_id = fields.get("shard_id")
        if isinstance(shard_id, int):
            if record_type == "disconnect":
                fields = {"since_mono_ns": self._certain[shard_id], **fields}
            elif record_type == "ws_connect":
                self._certain[shard_id] = mono
        self.runlog.append(record_type, fields, ts_mono_ns=mono, ts_wall_ns_utc=wall)

    def make_shard(self, shard_id: int) -> ShardFiles:
        """Create the files of one more shard, durable by name; in any thread.

        Raises `RunLocked` or `WriteFailed` of pm_frames, or OSError; then none of them is there.
        """
        path = paths.shard_metrics_path(self.run_dir, shard_id)
        metrics = NdjsonFile(path, self._files)
        try:
            self._files.sync_directory(path.parent)
            writer = ShardWriter(
                self.run_dir / paths.CAPTURE, shard_id, version=self._version, files=self._files
            )
        except (BundleError, OSError) as error:
            metrics.close()
            path.unlink(missing_ok=True)
            if not isinstance(error, RunLocked):
                # Empty, and nobody else's: they must not be in the way of the next attempt.
                for left in paths.shard_paths(self.run_dir, shard_id):
                    left.unlink(missing_ok=True)
            raise
        return ShardFiles(writer, path, metrics)

    def adopt(self, files: ShardFiles) -> None:
        """Take a shard into the run, as the next in number; it begins with no token.

        Raises `WriteFailed`.
        """
        shard_id = files.writer.shard_id
        if shard_id != len(self.shards):
            raise ValueError(f"expected shard {len(self.shards)}, found {shard_id}")
        self.meters.append(Meters())
        self._certain.append(0)
        self._metrics[files.metrics_path] = files.metrics
        self._shard_metrics.append(files.metrics)
        self.shards.append(files.writer)
        self.note("shard_open", {"shard_id": shard_id, "token_count": 0})

    def last_frame_ns(self, shard_id: int) -> int | None:
        """Stamp of the newest frame of a shard."""
        return self.shards[shard_id].rx_mono_ns_last

    def publish_watermark(self) -> None:
        """Tell followers that everything up to now is written. Raises `WriteFailed`."""
        self._watermark.publish(self.stamper.watermark())

    def meters_taken(self) -> list[Meters]:
        """Return what the reads of each shard have been since the last call."""
        taken, self.meters = self.meters, [Meters() for _ in self.meters]
        return taken

    def shard_metrics(
        self, beat: Beat, facts: ShardFacts, before: ShardFacts, meters: Meters
    ) -> Durations:
        """Write the record of one shard and return its durations."""
        durations = meters.told()
        record = shard_record(beat, facts, before, durations)
        self._shard_metrics[facts.shard_id].append(record)
        return durations

    def global_metrics(
        self,
        beat: Beat,
        facts: Sequence[ShardFacts],
        before: Sequence[ShardFacts],
        durations: Durations,
        extra: Mapping[str, object],
    ) -> Mapping[str, object]:
        """Write the record of the whole run, and return it."""
        record = global_record(beat, facts, before, durations, extra)
        self._metrics[self.run_dir / paths.METRICS_GLOBAL].append(record)
        return record

    def sync(self) -> int:
        """Make what is written durable and return how many frames are; any one thread at a time.

        Counts first, then runlog, frames, idx: every record that was written before a counted frame is
        durable when the frame is. Raises `WriteFailed` at the first refusal, for good.
        """
        counted = [(shard, shard.frames) for shard in tuple(self.shards)]
        self.runlog.sync()
        for shard, count in counted:
            if shard.durable_frames < count:
                shard.sync()
        self.durable_frames = sum(count for _, count in counted)
        return self.durable_frames

    def close_frames(self) -> None:
        """Sync and close every shard. Raises `WriteFailed`, also for a sync that failed before.

        What one sync could not make durable no later one can vouch for.
        """
        for shard in self.shards:
            shard.close()
            if shard.durable_frames < shard.frames:
                raise WriteFailed(
                    "a sync has failed, so the frames since are not known to be durable",
                    path=shard.frames_path,
                    expected=shard.frames,
                    found=shard.durable_frames,
                    frames_whole=shard.frames,
                )
        self.durable_frames = self.frames_total

    def close(self) -> dict[str, str]:
        """Close the rest; return the SHA-256 of every file written here, by relative path.

        `close_frames` has been called. Raises `WriteFailed`.
        """
        self.runlog.sync()
        self.runlog.close()
        self.publish_watermark()
        self._watermark.close()
        digests = {paths.RUNLOG: self.runlog.digest()}
        for shard in self.shards:
            digest_frames, digest_idx = shard.digests()
            digests[_relative(self.run_dir, shard.frames_path)] = digest_frames
            digests[_relative(self.run_dir, shard.idx_path)] = digest_idx
        for path, file in self._metrics.items():
            digests[_relative(self.run_dir, path)] = file.close()
        return digests

    def abandon(self) -> None:
        """Close what can be closed after a fatal error; nothing raises."""
        for close in (
            *(shard.close for shard in self.shards),
            self.runlog.close,
            *(file.close for file in self._metrics.values()),
            self._watermark.close,
        ):
            try:
                close()
            except Exception:  # the first fatal error is the one to tell
                pass
        # Closing syncs what nothing has refused to sync yet.
        self.durable_frames = sum(shard.durable_frames for shard in self.shards)


def _relative(run_dir: Path, path: Path) -> str:
    return path.relative_to(run_dir).as_posix()
