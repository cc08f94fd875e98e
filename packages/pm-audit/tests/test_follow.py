"""A bundle that grows in pieces of any size is shown whole, once, and in merge order."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_audit.inspect.chosen_frames import Chosen
from pm_audit.inspect.follow import Follower
from pm_frames.bundle import open_bundle
from pm_frames.lock import RunLock


class Growing:
    """The files of a finished bundle, written again byte by byte under a lock."""

    def __init__(self, source: Path, target: Path) -> None:
        self.path = target
        (target / "capture").mkdir(parents=True)
        self.lock = RunLock(target)
        self.lock.acquire()
        self.left = {p.name: p.read_bytes() for p in (source / "capture").iterdir()}
        self.frames = list(open_bundle(source).frames())

    def grow(self, name: str, count: int) -> None:
        data, self.left[name] = self.left[name][:count], self.left[name][count:]
        with open(self.path / "capture" / name, "ab") as file:
            file.write(data)

    def mark(self) -> None:
        """Publish the highest mark that is true: below every frame that is not whole."""
        there = {0: 0, 1: 0}
        for shard in there:
            stem = self.path / "capture" / f"shard_{shard:02d}"
            sizes = [stem.with_suffix(s) for s in (".frames", ".idx")]
            frames, idx = (path.stat().st_size if path.exists() else 0 for path in sizes)
            ends = [f.end for s, _, f in self.frames if s == shard]
            there[shard] = min(sum(end <= frames for end in ends), idx // 32)
        missing = [f.rx_mono_ns for s, i, f in self.frames if i >= there[s]]
        mark = min(missing, default=2**63) - 1
        (self.path / "capture" / "watermark").write_bytes(struct.pack("<Q", mark))


@pytest.fixture(scope="module")
def source(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = made.clean_run()
    run.frames = {
        shard: [(made.T0 + 10 * n + shard, made.book("abc"[n % 3])) for n in range(6)]
        for shard in (0, 1)
    }
    path: Path = made.write_run(tmp_path_factory.mktemp("whole") / "source", run)
    return path


NAMES = ("shard_00.frames", "shard_00.idx", "shard_01.frames", "shard_01.idx")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 400)), max_size=25), st.integers(0, 4)
)
def test_any_growth_is_shown_in_order(
    source: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], tail: int
) -> None:
    growing = Growing(source, tmp_path_factory.mktemp("growing") / "run")
    follower = Follower(growing.path)
    shown: list[Chosen] = list(follower.last(tail))
    assert shown == []
    for name, count in steps:
        growing.grow(name, count)
        growing.mark()
        shown += follower.round()
        assert not follower.ended
    for name in NAMES:
        growing.grow(name, 10**6)
    growing.lock.release()
    shown += follower.round()
    assert follower.ended
    assert shown == [Chosen(*one) for one in growing.frames]
    assert list(follower.round()) == []


def test_without_a_mark_nothing_is_shown_before_the_end(source: Path, tmp_path: Path) -> None:
    growing = Growing(source, tmp_path / "run")
    for name in NAMES:
        growing.grow(name, 10**6)
    follower = Follower(growing.path)
    assert list(follower.round()) == []
    growing.lock.release()
    assert len(list(follower.round())) == 12


@pytest.mark.parametrize("count", [0, 1, 5, 12, 99])
def test_the_last_frames_over_all_shards(source: Path, count: int) -> None:
    everything = [Chosen(*one) for one in open_bundle(source).frames()]
    assert Follower(source).last(count) == everything[len(everything) - min(count, 12) :]


def test_tokens_choose_among_the_last(source: Path) -> None:
    shown = Follower(source, shards=frozenset({1}), tokens=frozenset("c")).last(3)
    assert [(c.shard_id, c.ordinal) for c in shown] == [(1, 5)]
