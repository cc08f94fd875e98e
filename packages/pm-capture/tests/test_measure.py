"""What a bench hands on and what it reports."""

import json
from pathlib import Path

import pytest

from pm_capture.bench.measure import BenchFailed, Sent, flags, report
from pm_capture.settings import resolve
from pm_frames.histogram import LogHistogram


def test_what_was_set_is_handed_on_and_what_is_decided_is_not() -> None:
    resolved = resolve(
        flags={"uvloop": False, "run_id": "-x y", "ws_shards": "4", "offline": "true"},
        environ={"PM_DATA_MIN_FREE_DISK_GB": "1", "PM_DATA_CLOB_WS_URL": "wss://venue/"},
        toml={"duration_seconds": 3.0, "fixtures_multiplier": 5, "ws_connect_timeout_seconds": 2},
        toml_name="t",
    )
    handed = [flag for flag in flags(resolved) if "free-disk" not in flag]
    assert handed == [
        "--run-id=-x y", "--ws-shards=4", "--ws-connect-timeout-seconds=2.0", "--no-uvloop",
    ]  # fmt: skip


def left(path: Path, *, frames: int) -> Path:
    """What a report reads of a run: two heartbeats' metrics, seal and manifest."""
    (path / "metrics").mkdir(parents=True)
    lines = []
    for values in ([100] * 98, [100, 5000]):
        histogram = LogHistogram()
        for value in values:
            histogram.record(value)
        told = histogram.to_dict()
        lines.append(
            json.dumps(
                {"histograms": dict.fromkeys(("write_ns", "ingest_ns", "backpressure_ns"), told)}
            )
        )
    (path / "metrics" / "global.ndjson").write_text("\n".join(lines) + "\n")
    seal = {"run_id": "r", "frames_total": frames, "bytes_total": 4000}
    (path / "seal.json").write_text(json.dumps(seal))
    manifest = {
        "environment": {"event_loop": "l", "transport": "websockets", "python": "3"},
        "versions": {"websockets": "17"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_rates_are_by_the_clock_of_the_venue_and_percentiles_of_the_whole_run(
    tmp_path: Path,
) -> None:
    sent = Sent(connections=2, frames=20, began_ns=1_000, ended_ns=2_001_000)
    assert report(left(tmp_path / "r", frames=20), sent) == {
        "run_id": "r", "run_dir": str(tmp_path / "r"), "frames": 20, "bytes_written": 4000,
        "elapsed_ns": 2_000_000, "msgs_per_sec": 10_000.0, "bytes_per_sec": 2_000_000.0,
        "write_ns_p99": 100, "ingest_ns_p99": 100, "reads": 100, "connections": 2, "loop": "l",
        "transport": "websockets 17", "python": "3",
    }  # fmt: skip


def test_a_run_that_is_not_what_was_sent_has_no_figures(tmp_path: Path) -> None:
    sent = Sent(connections=2, frames=21, began_ns=0, ended_ns=1)
    with pytest.raises(
        BenchFailed, match="expected the 21 frames that were sent, found 20"
    ) as caught:
        report(left(tmp_path / "r", frames=20), sent)
    assert caught.value.exit_code == 3
