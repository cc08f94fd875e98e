"""Downsampling keeps every extreme; joining bands keeps every loss."""

from itertools import pairwise
from math import nan
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.latency.chart_data import chart_data, extremes, joined_bands
from pm_audit.latency.connection_bands import Band, Link
from pm_audit.latency.run_readings import read_run
from pm_frames.bundle import open_bundle


@given(st.lists(st.integers(0, 99) | st.just(nan), max_size=40), st.integers(1, 9))
def test_no_peak_is_lost_and_none_made_up(values: list[float], group: int) -> None:
    low, high = extremes(values, group)
    assert len(low) == len(high) == -(-len(values) // group)
    for i, (least, most) in enumerate(zip(low, high, strict=True)):
        there = [v for v in values[i * group : (i + 1) * group] if v == v]
        assert (least, most) == ((min(there), max(there)) if there else (None, None))


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans()), max_size=30),
    st.integers(1, 70),
)
def test_a_loss_is_never_left_out(parts: list[tuple[int, int, bool]], limit: int) -> None:
    bands, at = [Band(0, Link.WAITING, 0, 5, None)], 5
    for up, down, planned in parts:
        bands.append(Band(0, Link.CONNECTED, at, at + up, None))
        link = Link.PLANNED if planned else Link.FAULT
        bands.append(Band(0, link, at + up, at + up + down, "x"))
        at += up + down
    bands.append(Band(0, Link.CONNECTED, at, at + 1, None))
    kept, joined = joined_bands(bands, limit)
    assert joined == len(bands) - len(kept)
    assert len(kept) <= max(limit + 1, 4)
    assert (kept[0].start_mono_ns, kept[-1].end_mono_ns) == (0, at + 1)
    assert all(one.end_mono_ns == two.start_mono_ns for one, two in pairwise(kept))
    for band in bands:
        if band.link is Link.FAULT:
            assert any(
                k.link is Link.FAULT
                and k.start_mono_ns <= band.start_mono_ns
                and band.end_mono_ns <= k.end_mono_ns
                for k in kept
            )


def test_a_run_longer_than_the_page(made: Any, tmp_path: Any) -> None:
    run = made.clean_run(20)
    for n, record in enumerate(run.metrics):
        record["msgs_per_sec"] = n
    readings = read_run(open_bundle(made.write_run(tmp_path / "run", run)))
    short, long = chart_data(readings), chart_data(readings, points_max=6)
    assert (short["intervals_per_point"], len(short["x"])) == (1, 20)
    assert "low" not in short["charts"][0]["lines"][0]
    assert (long["intervals_per_point"], long["x"]) == (4, [4.0, 8.0, 12.0, 16.0, 20.0])
    line = long["charts"][0]["lines"][0]
    assert (line["low"], line["high"]) == ([0, 4, 8, 12, 16], [3, 7, 11, 15, 19])
    assert long["t0_ms"] == made.WALL // 10**6
