"""The frames of a bundle that grows, in merge order, as they become whole.

Sans-IO but for reading the bundle: `round` says what there is now, the shell waits between rounds.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from pm_audit.inspect.chosen_frames import Chosen, Span, merged, whole_until
from pm_frames import paths
from pm_frames.bundle import open_bundle
from pm_frames.lock import is_locked
from pm_frames.watermark import read_watermark


class Follower:
    """Where a reader of a growing bundle is. `ended` is true once nothing more can come."""

    def __init__(
        self,
        run_dir: Path,
        *,
        shards: frozenset[int] | None = None,
        tokens: frozenset[str] | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.ended = False
        self._shards = shards
        self._tokens = tokens
        self._next: dict[int, int] = {}

    def last(self, count: int) -> list[Chosen]:
        """Return the last `count` frames that are there, and begin behind them.

        `count` is of all frames of the shards, before tokens choose among them.
        """
        spans = self._whole()
        self._next = {span.shard_id: span.stop for span in spans}
        recent = [span._replace(start=max(0, span.stop - count)) for span in spans]
        places = deque(((c.shard_id, c.ordinal) for c in merged(recent)), maxlen=count)
        first: dict[int, int] = {}
        for shard_id, ordinal in places:
            first[shard_id] = min(ordinal, first.get(shard_id, ordinal))
        starts = [span._replace(start=first.get(span.shard_id, span.stop)) for span in spans]
        return list(merged(starts, self._tokens))

    def round(self) -> Iterator[Chosen]:
        """Yield what has become whole since the last round, in merge order over all rounds."""
        spans = [span for span in self._whole() if span.stop > span.start]
        yield from merged(spans, self._tokens)
        self._next.update((span.shard_id, span.stop) for span in spans)

    def _whole(self) -> list[Span]:
        # The lock is looked at before the files: a run that is not locked does not change any more. While
        # it is locked, frames above the watermark may still be overtaken by another shard's.
        running = is_locked(self.run_dir)
        mark = read_watermark(self.run_dir / paths.WATERMARK) if running else None
        self.ended = not running
        spans = []
        for shard in open_bundle(self.run_dir, empty_ok=True).shards():
            if self._shards is not None and shard.shard_id not in self._shards:
                continue
            start = self._next.get(shard.shard_id, 0)
            # No mark yet: nothing is known to be complete.
            stop = 0 if running and mark is None else whole_until(shard, mark)
            spans.append(Span(shard, start, max(start, stop)))
        return spans
