"""Every system call of a slice and of a merge failing: nothing stays, the source is untouched, a second try works."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_frames import open_bundle
from pm_frames.errors import WriteFailed
from pm_slice.asked import Asked
from pm_slice.cut import Slicer, Wish
from pm_slice.merge import join

WINDOW = Asked("mono", 1_020_000, 1_050_000)


def cut(
    run: Path, target: Path, files: Any, wish: Wish | None = None, *, replaces: bool = False
) -> None:
    slicer = Slicer(run, wish or Wish(WINDOW))
    try:
        slicer.cut(target, "part", clocks=lambda: (1, 2), files=files, replaces=replaces)
    finally:
        slicer.close()


def contents(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def every_call(broken: Callable[..., Any], work: Callable[[Any], None], *, for_ever: bool) -> int:
    """Let call after call fail until the work gets through; return how many did."""
    calls = 0
    while True:
        calls += 1
        system = broken(calls, errno.ENOSPC, for_ever=for_ever)
        try:
            work(system)
        except WriteFailed:
            continue
        assert system.calls < calls
        return calls - 1


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
def test_a_slice_is_whole_or_not_there(
    build: Callable[..., Path], broken: Callable[..., Any], tmp_path: Path, for_ever: bool
) -> None:
    run = build(tmp_path / "run", shards=1, steps=30)
    before = contents(run)
    target = tmp_path / "out" / "part"

    def work(files: Any) -> None:
        try:
            cut(run, target, files)
        except WriteFailed:
            # Only the last step, the sync of the name, may fail with the slice in its place.
            if target.exists():
                assert open_bundle(target).seal is not None
                assert files.calls >= 30
                import shutil

                shutil.rmtree(target)
            assert list((tmp_path / "out").iterdir()) == []
            raise

    failed = every_call(broken, work, for_ever=for_ever)
    assert failed > 30
    assert open_bundle(target).seal is not None
    assert contents(run) == before


def test_a_merge_is_whole_or_not_there(
    build: Callable[..., Path], broken: Callable[..., Any], unsynced: Any, tmp_path: Path
) -> None:
    run = build(tmp_path / "run", steps=30)
    parts = [tmp_path / "left", tmp_path / "right"]
    for shard, part in enumerate(parts):
        cut(run, part, unsynced, Wish(WINDOW, (shard,)))
    target = tmp_path / "out" / "whole"

    def work(files: Any) -> None:
        try:
            join(parts, target, clocks=lambda: (1, 2), files=files)
        except WriteFailed:
            assert not target.exists() or open_bundle(target).seal is not None
            if target.exists():
                import shutil

                shutil.rmtree(target)
            assert list((tmp_path / "out").iterdir()) == []
            raise

    assert every_call(broken, work, for_ever=False) > 30
    assert open_bundle(target).seal is not None


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
def test_what_is_replaced_is_there_until_the_new_one_is(
    build: Callable[..., Path],
    broken: Callable[..., Any],
    unsynced: Any,
    tmp_path: Path,
    for_ever: bool,
) -> None:
    run = build(tmp_path / "run", shards=1, steps=30)
    target = tmp_path / "out" / "part"
    cut(run, target, unsynced, Wish(Asked("mono", 1_020_000, 1_021_000)))
    old = contents(target)
    replaced = 0

    def work(files: Any) -> None:
        nonlocal replaced
        try:
            cut(run, target, files, replaces=True)
        except WriteFailed:
            (found,) = (tmp_path / "out").iterdir()
            if found != target:  # not even the old name could be given back
                assert for_ever
                assert found.name == ".part.replaced"
                found.rename(target)
            if contents(target) != old:
                replaced += 1
                assert open_bundle(target).seal is not None
                cut(run, target, unsynced, Wish(Asked("mono", 1_020_000, 1_021_000)), replaces=True)
                assert contents(target) == old
            raise

    assert every_call(broken, work, for_ever=for_ever) > 30
    assert replaced == 1  # the sync of the name
    assert contents(target) != old
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["part"]
