"""The bands of a shard cover its time without a hole, and every loss is one of them."""

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_audit.latency.connection_bands import Link, connection_bands

EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["on", "fault", "planned"]), st.integers(0, 60)),
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_bands_tile_the_run(made: Any, events: list[tuple[int, str, int]]) -> None:
    records, at = [], made.T0
    for shard, kind, step in events:
        at += step
        if kind == "on":
            records.append(made.connect(at, shard))
        else:
            records.append(
                made.disconnect(at, at - step // 2, planned=kind == "planned", shard=shard)
            )
    end = at + 10
    bands = connection_bands(records, made.T0, end)
    for shard in {band.shard_id for band in bands}:
        own = [band for band in bands if band.shard_id == shard]
        assert (own[0].start_mono_ns, own[-1].end_mono_ns) == (made.T0, end)
        for before, after in pairwise(own):
            assert before.end_mono_ns == after.start_mono_ns
        assert all(b.end_mono_ns > b.start_mono_ns or b.link is Link.FAULT for b in own)


def test_a_loss_begins_with_the_last_frame(made: Any) -> None:
    t0 = made.T0
    records = [
        made.connect(t0 + 5), made.disconnect(t0 + 50, t0 + 30), made.connect(t0 + 60),
        made.disconnect(t0 + 70, t0 + 65, planned=True), made.connect(t0 + 80),
        made.record("disconnect", t0 + 95, shard_id=0, planned=True, trigger="stop", since_mono_ns=t0 + 90),
    ]  # fmt: skip
    bands = connection_bands(records, t0, t0 + 100)
    assert [(b.link, b.start_mono_ns - t0, b.end_mono_ns - t0, b.why) for b in bands] == [
        ("waiting", 0, 5, None), ("connected", 5, 30, None), ("fault", 30, 60, "peer_closed"),
        ("connected", 60, 65, None), ("planned", 65, 80, "universe_refresh"),
        ("connected", 80, 90, None), ("ended", 90, 100, "stop"),
    ]  # fmt: skip


def test_what_does_not_say_planned_is_a_fault_and_an_untold_loss_is_one(made: Any) -> None:
    bare = made.record("disconnect", made.T0 + 9, shard_id=0)
    records = [made.connect(made.T0), bare, made.connect(made.T0 + 20), made.connect(made.T0 + 30)]
    links = [(b.link, b.end_mono_ns - b.start_mono_ns) for b in connection_bands(records, made.T0, made.T0 + 40)]  # fmt: skip
    assert links == [
        ("connected", 9),
        ("fault", 11),
        ("connected", 10),
        ("fault", 0),
        ("connected", 10),
    ]


def test_what_ended_before_the_start_is_no_band(made: Any) -> None:
    t0 = made.T0
    records = [
        made.connect(t0), made.disconnect(t0 + 10, t0 + 5), made.connect(t0 + 20, number=2),
        made.disconnect(t0 + 140, t0 + 90, number=2),  # written after the end, and of a loss before it
        made.connect(t0 + 150, number=3),
    ]  # fmt: skip
    bands = connection_bands(records, t0 + 50, t0 + 100)
    assert [(b.link, b.start_mono_ns - t0, b.end_mono_ns - t0) for b in bands] == [
        ("connected", 50, 90), ("fault", 90, 100),
    ]  # fmt: skip
