"""A sealed run bundle made by a tool: frames of its own, a runlog with the records that replay needs, a seal."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pm_capture.seal import seal
from pm_frames import Flag, ShardWriter, paths
from pm_frames.runlog import RunlogWriter

MADE = int(Flag.TEXT | Flag.REENCODED)


class BundleBuilder:
    """Writes one run; frames and records are given in the order of their stamps (monotonic ns)."""

    def __init__(
        self,
        path: Path,
        *,
        t0_mono_ns: int,
        t0_wall_ns_utc: int,
        markets: Sequence[Mapping[str, Any]],
        origin: str,
    ) -> None:
        """`markets` are rows of a universe file; `origin` says in the manifest where the frames come from."""
        self.path = path
        self._wall = t0_wall_ns_utc - t0_mono_ns
        self._shards: dict[int, ShardWriter] = {}
        (path / paths.CAPTURE).mkdir(parents=True)
        universe = paths.universe_path(path, 0)
        universe.parent.mkdir()
        self._json(universe, {"universe_version": 0, "kind": "full", "markets": list(markets)})
        self._json(
            path / paths.MANIFEST,
            {
                "manifest_version": 1,
                "run_id": path.name,
                "origin": origin,
                "t0_mono_ns": t0_mono_ns,
                "t0_wall_ns_utc": t0_wall_ns_utc,
            },
        )
        self._runlog = RunlogWriter(path / paths.RUNLOG, path.name)

    def record(self, mono_ns: int, record_type: str, **fields: Any) -> None:
        """Append a runlog record."""
        self._runlog.append(
            record_type, fields, ts_mono_ns=mono_ns, ts_wall_ns_utc=mono_ns + self._wall
        )

    def connect(self, shard: int, token_ids: Sequence[str], mono_ns: int) -> None:
        """Open the first connection of a shard and subscribe its tokens."""
        where = {"shard_id": shard, "connection": 1}
        self.record(mono_ns, "ws_connect", **where)
        self.record(mono_ns, "subscribe_attempt", **where, token_ids=list(token_ids))

    def frame(self, shard: int, mono_ns: int, payload: bytes) -> None:
        """Append a frame."""
        self.frames(shard, mono_ns, [payload])

    def frames(self, shard: int, mono_ns: int, payloads: Sequence[bytes]) -> None:
        """Append frames that arrived together."""
        writer = self._shards.get(shard)
        flags = [MADE] * len(payloads)
        if writer is None:
            writer = self._shards[shard] = ShardWriter(self.path / paths.CAPTURE, shard)
            flags[0] |= Flag.FIRST
        writer.append(
            list(zip(flags, payloads, strict=True)),
            rx_mono_ns=mono_ns,
            rx_wall_ns_utc=mono_ns + self._wall,
        )

    def seal(self, mono_ns: int) -> None:
        """End the run."""
        self.record(mono_ns, "capture_stop", reason="made")
        self._runlog.close()
        for writer in self._shards.values():
            writer.close()
        files = [each for each in self.path.rglob("*") if each.is_file()]
        seal(
            self.path,
            run_id=self.path.name,
            stop_reason="made",
            closed=(mono_ns, mono_ns + self._wall),
            digests={each.relative_to(self.path).as_posix(): _sha256(each) for each in files},
            shards=list(self._shards.values()),
        )

    def _json(self, path: Path, value: Mapping[str, Any]) -> None:
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
