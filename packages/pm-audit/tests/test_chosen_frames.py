"""Every selector against the plainest model of it: all frames, filtered."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_audit.inspect.chosen_frames import Choice, Chosen, chosen_frames, parse_ordinals
from pm_frames.bundle import Bundle, open_bundle
from pm_frames.command import TimePoint, UsageError
from pm_frames.errors import CorruptFrame
from pm_frames.peek import peek


@pytest.fixture(scope="module")
def bundle(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    run = made.clean_run()
    for shard in (0, 1):
        run.frames[shard] = [
            (made.T0 + 100 * n + shard * (n % 3), made.book("abc"[n % 3]) if n % 2 else made.change("a", "c"))
            for n in range(40)
        ]  # fmt: skip
    path = made.write_run(tmp_path_factory.mktemp("runs") / "many", run)
    return open_bundle(path)


def model(bundle: Bundle, t0: int, choice: Choice) -> list[Chosen]:
    found = []
    for shard, ordinal, frame in bundle.frames():
        assert frame.rx_wall_ns_utc is not None
        since, before = choice.since, choice.before
        clocks = {True: frame.rx_mono_ns - t0, False: frame.rx_wall_ns_utc}
        if (
            (choice.shards is None or shard in choice.shards)
            and (choice.tokens is None or choice.tokens & set(peek(frame.payload).token_ids))
            and (since is None or clocks[since.relative] >= since.ns)
            and (before is None or clocks[before.relative] < before.ns)
            and (choice.ordinals is None or choice.ordinals[0] <= ordinal)
            and (choice.ordinals is None or ordinal < (choice.ordinals[1] or 10**9))
        ):
            found.append(Chosen(shard, ordinal, frame))
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from([None, frozenset({0}), frozenset({0, 1})]),
    st.sampled_from([None, frozenset("b"), frozenset("z")]),
    st.none() | st.tuples(st.integers(-50, 4200), st.booleans()),
    st.none() | st.tuples(st.integers(-50, 4200), st.booleans()),
)
def test_what_is_chosen_is_what_fits(
    bundle: Bundle, made: Any, shards: Any, tokens: Any, since: Any, before: Any
) -> None:
    def point(text: tuple[int, bool] | None) -> TimePoint | None:
        if text is None:
            return None
        return TimePoint(text[0] if text[1] else made.WALL + text[0], relative=text[1])

    choice = Choice(shards, tokens, point(since), point(before))
    assert list(chosen_frames(bundle, choice)) == model(bundle, made.T0, choice)


@pytest.mark.parametrize("text", ["0:3", "5:", ":7", ":", "39:40", "40:99", "7:7"])
def test_ordinals(bundle: Bundle, made: Any, text: str) -> None:
    choice = Choice(shards=frozenset({1}), ordinals=parse_ordinals(text))
    assert list(chosen_frames(bundle, choice)) == model(bundle, made.T0, choice)


@pytest.mark.parametrize("text", ["", "3", "a:b", "3:1", "-1:2", "1:2:3", "٣:٤"])
def test_no_ranges(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ordinals(text)


def test_what_cannot_be_asked(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="--shard"):
        list(chosen_frames(bundle, Choice(ordinals=(0, 1))))
    with pytest.raises(UsageError, match="no shard 9"):
        list(chosen_frames(bundle, Choice(shards=frozenset({9}))))


def test_a_torn_tail_ends_and_damage_before_it_raises(made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "torn", made.clean_run())
    path = run_dir / "capture" / "shard_00.frames"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    shown = [(c.shard_id, c.ordinal) for c in chosen_frames(open_bundle(run_dir), Choice())]
    assert shown == [(0, 0), (0, 1), (1, 0), (1, 1)]
    path.write_bytes(data[:40] + b"\xee" + data[41:])
    with pytest.raises(CorruptFrame):
        list(chosen_frames(open_bundle(run_dir), Choice()))


def test_a_shard_without_idx_has_nothing_to_show(made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "bare", made.clean_run())
    (run_dir / "capture" / "shard_00.idx").unlink()
    shown = [c.shard_id for c in chosen_frames(open_bundle(run_dir), Choice())]
    assert shown == [1, 1]


def test_a_wall_clock_that_jumps_back_hides_nothing(made: Any, tmp_path: Path) -> None:
    from pm_frames.frames import encode_frame, read_frames
    from pm_frames.index import encode_entry, entry_of

    run = made.clean_run()
    run.frames = {0: []}
    run_dir = made.write_run(tmp_path / "steps", run)
    path = run_dir / "capture" / "shard_00.frames"
    walls = [10, 20, 30, 15, 25, 35]
    path.write_bytes(
        b"".join(
            encode_frame(b"{}", rx_mono_ns=n, rx_wall_ns_utc=wall, flags=1)
            for n, wall in enumerate(walls)
        )
    )
    entries = [encode_entry(entry_of(frame), 2) for frame in read_frames(path)]
    path.with_suffix(".idx").write_bytes(b"".join(entries))
    for since in range(8, 38):
        for before in range(since, 38):
            points = (TimePoint(since, relative=False), TimePoint(before, relative=False))
            choice = Choice(since=points[0], before=points[1])
            shown = [c.frame.rx_wall_ns_utc for c in chosen_frames(open_bundle(run_dir), choice)]
            assert shown == [wall for wall in walls if since <= wall < before]
