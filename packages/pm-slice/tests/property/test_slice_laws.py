"""Laws of slices, on made-up captures."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_frames import open_bundle
from pm_frames.files import Files
from pm_frames.selection import Selection
from pm_slice.asked import Asked
from pm_slice.cut import Outcome, Slicer, Wish
from pm_slice.merge import join

Replayed = Callable[..., list[tuple[Any, ...]]]
SPAN = 1_000_000, 1_090_000
moments = st.integers(*SPAN)
quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


UNSYNCED: list[Files] = []


@pytest.fixture(autouse=True)
def _files(unsynced: Files) -> None:
    UNSYNCED[:] = [unsynced]


def cut(source: Path, target: Path, wish: Wish) -> Outcome:
    slicer = Slicer(source, wish)
    try:
        return slicer.cut(target, target.name, clocks=lambda: (1, 2), files=UNSYNCED[0])
    finally:
        slicer.close()


def contents(path: Path) -> dict[str, bytes]:
    """What the law compares: everything but names and the documents that hold them."""
    return {
        name: file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and (name := file.relative_to(path).as_posix())
        not in {"manifest.json", "slice.json", "seal.json", "SHA256SUMS"}
    }


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield lambda: Path(tempfile.mkdtemp(dir=name))


@quick
@given(
    seed=st.integers(0, 10**6), limits=st.tuples(moments, moments), version=st.sampled_from([1, 2])
)
def test_a_replay_of_a_slice_is_the_window_of_the_replay(
    build: Callable[..., Path], replayed: Replayed, folder: Any,
    seed: int, limits: tuple[int, int], version: int,
) -> None:  # fmt: skip
    place, (first, last) = folder(), sorted(limits)
    run = build(place / "run", seed=seed, version=version)
    outcome = cut(run, place / "slice", Wish(Asked("mono", first, last)))
    assert outcome.unsound_count == 0
    whole = [event for event in replayed(open_bundle(run)) if first <= event[0] <= last]
    assert replayed(open_bundle(place / "slice")) == whole


@quick
@given(seed=st.integers(0, 10**6), limits=st.tuples(moments, moments), data=st.data())
def test_a_replay_of_chosen_tokens_is_theirs(
    build: Callable[..., Path], replayed: Replayed, folder: Any,
    seed: int, limits: tuple[int, int], data: st.DataObject,
) -> None:  # fmt: skip
    place, (first, last) = folder(), sorted(limits)
    run = build(place / "run", seed=seed)
    tokens = data.draw(st.sets(st.sampled_from(["01", "02", "03", "11", "14"]), min_size=1))
    selection = Selection(tokens=tuple(sorted(tokens)))
    cut(run, place / "slice", Wish(Asked("mono", first, last), (), selection))
    sliced = open_bundle(place / "slice")
    chosen = frozenset(tokens)
    shards = {shard.shard_id for shard in sliced.shards()}
    assert shards == {int(token[0]) for token in tokens}
    whole = [
        event for event in replayed(open_bundle(run), chosen)
        if first <= event[0] <= last and (len(event) != 3 or event[1] in shards)
    ]  # fmt: skip
    assert replayed(sliced, chosen) == whole
    payloads = {frame.payload for _, _, frame in sliced.frames()}
    assert payloads <= {frame.payload for _, _, frame in open_bundle(run).frames()}


@quick
@given(
    seed=st.integers(0, 10**6),
    limits=st.tuples(moments, moments, moments, moments),
    shards=st.sampled_from([((), ()), ((0,), ()), ((), (1,)), ((1,), (1,))]),
    tokens=st.sampled_from([((), ()), (("01", "11", "12"), ("11",)), ((), ("02", "13"))]),
)
def test_a_slice_of_a_slice_is_the_slice_of_the_original(
    build: Callable[..., Path], folder: Any, seed: int, limits: tuple[int, ...],
    shards: tuple[tuple[int, ...], ...], tokens: tuple[tuple[str, ...], ...],
) -> None:  # fmt: skip
    place, (first, inner, last, end) = folder(), sorted(limits)
    run = build(place / "run", seed=seed)
    inside = Wish(Asked("mono", inner, last), shards[1], Selection(tokens=tokens[1] or tokens[0]))
    if shards[0] == (0,) and tokens[0]:
        inside = Wish(inside.asked, (0,), Selection(tokens=("01",)))
    cut(
        run,
        place / "outer",
        Wish(Asked("mono", first, end), shards[0], Selection(tokens=tokens[0])),
    )
    both = Wish(inside.asked, inside.shards or shards[0], inside.selection)
    try:
        cut(run, place / "direct", both)
    except Exception as error:
        with pytest.raises(type(error)):
            cut(place / "outer", place / "twice", inside)
        return
    cut(place / "outer", place / "twice", inside)
    assert contents(place / "twice") == contents(place / "direct")
    twice, direct = (
        json.loads((place / n / "slice.json").read_bytes()) for n in ("twice", "direct")
    )
    same = ("emit_from_mono_ns", "emit_before_mono_ns", "token_ids", "shards")
    assert [twice[key] for key in same] == [direct[key] for key in same]
    assert [one["slice_id"] for one in twice["ancestors"]] == [None, "outer"]
    assert twice["ancestors"][0] == direct["ancestors"][0]


@quick
@given(seed=st.integers(0, 10**6), limits=st.tuples(moments, moments), at=st.integers(0, 2**32), bit=st.integers(0, 7), side=st.sampled_from(["frames", "idx"]))  # fmt: skip
def test_what_is_damaged_is_left_out_and_told(
    build: Callable[..., Path], folder: Any, seed: int, limits: tuple[int, int],
    at: int, bit: int, side: str,
) -> None:  # fmt: skip
    place, (first, last) = folder(), sorted(limits)
    run = build(place / "run", seed=seed, shards=1)
    shutil.copytree(run, place / "hurt")
    path = place / "hurt/capture" / f"shard_00.{side}"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    sound = cut(run, place / "a", Wish(Asked("mono", first, last)))
    told = cut(place / "hurt", place / "b", Wish(Asked("mono", first, last)))
    whole = [frame for _, _, frame in open_bundle(run).frames()]
    flags_only = {frame._replace(offset=0, flags=0) for frame in whole}
    copied = [
        frame._replace(offset=0, flags=0) for _, _, frame in open_bundle(place / "b").frames()
    ]
    assert set(copied) <= flags_only  # nothing is made up
    window = [frame for frame in whole if first <= frame.rx_mono_ns <= last]
    there = [frame for frame in copied if first <= frame.rx_mono_ns <= last]
    assert len(window) - len(there) <= told.unsound_count
    if told.unsound_count == 0 and side == "idx":
        assert contents(place / "a") == contents(place / "b")
    assert sound.unsound_count == 0


@quick
@given(seed=st.integers(0, 10**6), shards=st.integers(2, 4), window=st.none() | st.tuples(moments, moments), data=st.data())  # fmt: skip
def test_a_merge_of_the_parts_is_the_whole(
    build: Callable[..., Path], folder: Any, seed: int, shards: int,
    window: tuple[int, int] | None, data: st.DataObject,
) -> None:  # fmt: skip
    place = folder()
    run = build(place / "run", seed=seed, shards=shards)
    asked = Asked("all") if window is None else Asked("mono", *sorted(window))
    numbers = data.draw(st.permutations(range(shards)))
    at = data.draw(st.integers(1, shards - 1))
    parts = [tuple(sorted(numbers[:at])), tuple(sorted(numbers[at:]))]
    for name, chosen in zip(("left", "right"), parts, strict=True):
        cut(run, place / name, Wish(asked, chosen))
    merged = join(
        [place / "left", place / "right"], place / "both", clocks=lambda: (1, 2), files=UNSYNCED[0]
    )
    cut(run, place / "one", Wish(asked))
    assert contents(place / "both") == contents(place / "one") | {
        "merge.json": (place / "both/merge.json").read_bytes()
    }
    assert merged.notes == []
    one, both = (open_bundle(place / name) for name in ("one", "both"))
    assert both.manifest == one.manifest | {"slice_id": "both"}
    assert both.emit_window == one.emit_window
    if window is None:
        for name, data_there in contents(run).items():
            assert contents(place / "both")[name] == data_there
