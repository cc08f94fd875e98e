"""Latencies that are constant or drawn."""

import json
from pathlib import Path

import pytest

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_frames.histogram import LogHistogram
from pm_sim.latency import latency_of


def test_milliseconds_are_exact() -> None:
    assert latency_of("2.5", seed=0, what="order").draw_ns(7) == 2_500_000
    for text in ("-1", "0.0000001", "nan", "1e20"):
        with pytest.raises(UsageError):
            latency_of(text, seed=0, what="order")


def test_draws_depend_on_seed_and_number_alone_and_follow_the_histogram(tmp_path: Path) -> None:
    histogram = LogHistogram()
    for value in [10] * 300 + [100] * 100:
        histogram.record(value)
    path = tmp_path / "latency.json"
    path.write_text(json.dumps(histogram.to_dict()))
    drawn = latency_of(str(path), seed=1, what="order")
    values = [drawn.draw_ns(number) for number in range(4000)]
    assert values == [
        latency_of(str(path), seed=1, what="order").draw_ns(number) for number in range(4000)
    ]
    assert values != [
        latency_of(str(path), seed=2, what="order").draw_ns(number) for number in range(4000)
    ]
    assert set(values) == {10, 100}
    assert 2850 < values.count(10) < 3150


def test_files_that_are_no_histograms(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        latency_of(str(tmp_path / "none"), seed=0, what="order")
    path = tmp_path / "x"
    for text in ("", "[]", "{}", json.dumps(LogHistogram().to_dict())):
        path.write_text(text)
        with pytest.raises(UsageError, match="histogram"):
            latency_of(str(path), seed=0, what="order")
