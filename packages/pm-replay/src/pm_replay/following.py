"""Replay of a run that still grows: the items of `pm_frames.follow`, fed as they become certain.

What is told is, byte for byte, what a replay of the finished bundle tells. Clock and sleep are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pm_frames import paths
from pm_frames.bundle import Bundle
from pm_frames.errors import BundleError
from pm_frames.follow import Follower
from pm_frames.frames import Frame
from pm_frames.histogram import LogHistogram
from pm_frames.lock import is_locked
from pm_frames.merge import Item
from pm_frames.rows import Row
from pm_frames.runlog import RunlogReader
from pm_replay.pipeline import Replay, one_by_one, refuse_shard

POLL_S = 0.002  # between two looks at a run that has nothing new; a look costs some 20 µs


def await_beginning(bundle: Bundle, wait: Callable[[], None]) -> None:
    """Return when the runlog has its first record, which tells what continuity is judged by, or the run is over."""
    while is_locked(bundle.path):
        if bundle.runlog_path.is_file():
            with RunlogReader(bundle.runlog_path) as runlog:
                try:
                    if next(runlog, None) is not None:
                        return
                except BundleError:
                    return  # for the replay to say
        wait()


class Following:
    """The source of a replay that follows; afterwards, how closely it did."""

    def __init__(self, wait: Callable[[], None], now_ns: Callable[[], int]) -> None:
        """`wait` is called when there is nothing new; `now_ns` is the receive clock of the run."""
        self._wait = wait
        self._now_ns = now_ns
        self.events_before_seal = 0
        self.lag_ns = LogHistogram()  # from the stamp of a frame to the moment it is fed

    def rows(self, replay: Replay) -> Iterator[Sequence[Row]]:
        """Yield each item as soon as it is certain, until the run has ended."""
        return one_by_one(self._items(replay))

    def _items(self, replay: Replay) -> Iterator[tuple[int, int, Item]]:
        bundle = replay.bundle
        follower = Follower(bundle.path, wants=replay.wants)
        seal = bundle.path / paths.SEAL
        now, lag = self._now_ns, self.lag_ns
        while not follower.ended:
            taken = follower.taken
            for each in follower.round():
                shard, _, item = each
                refuse_shard(shard, bundle.path)
                if isinstance(item, Frame):
                    # Stamps of another boot, or another machine, are not of this clock.
                    lag.record(max(0, now() - item.rx_mono_ns))
                yield each
            if not follower.ended:
                if not seal.exists():
                    self.events_before_seal = replay.engine.seq
                # At the end of each round: where every round brings something, nothing else hands it on
                # before thousands of pieces have come together.
                with replay.interrupts.deferred():
                    replay.writer.flush()
                if follower.taken == taken:
                    self._wait()
        replay.state = bundle.state()

    def summary(self) -> dict[str, Any]:
        """Return what the summary says of it."""
        lag = self.lag_ns
        return {
            "events_before_seal": self.events_before_seal,
            "lag_ns": {
                "p50": lag.quantile(50), "p99": lag.quantile(99), "max": lag.max,
            },
        }  # fmt: skip
