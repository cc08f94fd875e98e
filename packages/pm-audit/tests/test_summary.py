"""The summary of a run in every state that a run can be in."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_audit.inspect.listing import list_run
from pm_audit.inspect.pages import length_text, summary_page
from pm_audit.inspect.summary import inspect_run
from pm_frames.errors import MissingFile
from pm_frames.lock import RunLock


@pytest.fixture
def run_dir(made: Any, tmp_path: Path) -> Path:
    run: Path = made.write_run(tmp_path / "golden", made.clean_run())
    return run


def test_the_keys_of_r214(run_dir: Path, made: Any) -> None:
    summary = inspect_run(run_dir)
    assert summary["exit_code"] == 0
    assert summary["state"] == "ended"
    assert summary["problems"] == []
    assert summary["manifest_version"] == 1
    assert {"run_dir", "run_id", "capture_schema_version", "payload_source"} <= summary.keys()
    shards = summary["shards"]
    frames = run_dir / "capture" / "shard_00.frames"
    assert (shards["count"], shards["records"]) == (2, 5)
    assert shards["by_shard"]["00"]["frames_bytes"] == frames.stat().st_size
    assert shards["by_shard"]["00"]["frames_path"] == "capture/shard_00.frames"
    assert shards["by_shard"]["00"]["rx_mono_ns_first"] == made.T0 + 20
    assert shards["by_shard"]["01"]["rx_wall_ns_utc_last"] == made.WALL + 8 * made.S - 4
    metrics = summary["metrics"]
    assert metrics["global"]["path"] == "metrics/global.ndjson"
    assert metrics["global"]["count"] == 8
    assert metrics["global"]["last"]["hb_mono_ns"] == made.T0 + 8 * made.S
    assert metrics["shards"] == {}
    assert summary["runlog"]["disconnects_planned"] == 2
    json.dumps(summary)


def test_payloads_are_never_read(run_dir: Path) -> None:
    clean = inspect_run(run_dir)
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[36:60] = b"\xee" * 24  # the payload of the first frame: its CRC is wrong now
    path.write_bytes(data)
    assert inspect_run(run_dir) == clean


@pytest.mark.parametrize("cut", [1, 35, 36, 37, 90])
def test_a_torn_shard_is_told(run_dir: Path, cut: int) -> None:
    path = run_dir / "capture" / "shard_01.frames"
    path.write_bytes(path.read_bytes()[:-cut])
    summary = inspect_run(run_dir)
    one = summary["shards"]["by_shard"]["01"]
    assert one["records"] == 2
    assert one["whole_frames"] == (1 if cut < 90 else one["whole_frames"]) < 2
    assert any("frames are not whole" in problem for problem in summary["problems"])
    assert summary["exit_code"] == 0


def test_a_short_and_torn_idx_is_told(run_dir: Path) -> None:
    path = run_dir / "capture" / "shard_00.idx"
    path.write_bytes(path.read_bytes()[:-5])
    summary = inspect_run(run_dir)
    one = summary["shards"]["by_shard"]["00"]
    assert (one["records"], one["whole_frames"]) == (2, 2)
    assert one["unindexed_bytes"] > 0
    text = "\n".join(summary["problems"])
    assert "27 bytes of an entry" in text
    assert "no idx entry names" in text


def test_a_missing_idx_and_a_spoilt_frames_file(run_dir: Path) -> None:
    (run_dir / "capture" / "shard_00.idx").unlink()
    (run_dir / "capture" / "shard_01.frames").write_bytes(b"not a frame at all" * 9)
    summary = inspect_run(run_dir)
    assert summary["shards"]["by_shard"]["00"]["records"] is None
    assert summary["shards"]["by_shard"]["01"]["schema_version"] is None
    assert len(summary["problems"]) == 2
    assert any("shard_00.idx" in line for line in summary_page(summary))


def test_crashed_fatal_and_running(run_dir: Path, made: Any) -> None:
    (run_dir / "seal.json").unlink()
    crashed = inspect_run(run_dir)
    assert crashed["state"] == "crashed"
    assert crashed["duration_ns"] == 8 * made.S - 4
    assert "not closed cleanly" in crashed["problems"][0]
    fatal = {"fatal_reason": "LOW_DISK", "fatal_message": "4 GB are free"}
    (run_dir / "fatal.json").write_text(json.dumps(fatal), encoding="utf-8")
    assert inspect_run(run_dir)["fatal"] == fatal
    assert inspect_run(run_dir)["state"] == "fatal"
    assert any("LOW_DISK" in line for line in summary_page(inspect_run(run_dir)))
    with RunLock(run_dir):
        assert inspect_run(run_dir)["state"] == "running"


def test_nothing_but_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"run_id": "young"}', encoding="utf-8")
    summary = inspect_run(tmp_path)
    assert (summary["run_id"], summary["exit_code"]) == ("young", 0)
    assert "capture/: no shard_NN.frames" in summary["problems"]
    assert list(summary_page(summary))


def test_without_a_manifest_the_rest_is_shown(run_dir: Path) -> None:
    (run_dir / "manifest.json").unlink()
    summary = inspect_run(run_dir)
    assert summary["exit_code"] == 2
    assert summary["shards"]["records"] == 5
    (run_dir / "manifest.json").write_bytes(b"{")
    assert inspect_run(run_dir)["exit_code"] == 4
    with pytest.raises(MissingFile):
        inspect_run(run_dir / "nowhere")


def test_a_slice_names_its_parent(run_dir: Path, made: Any) -> None:
    made.cut(run_dir, made.T0 + 2 * made.S, made.T0 + 5 * made.S)
    summary = inspect_run(run_dir)
    assert summary["slice"]["slice_id"] == "part"
    assert summary["problems"] == []
    # Of the window, not of the run, and not up to when the slice was made.
    assert summary["duration_ns"] == list_run(run_dir)["duration_ns"] == 3 * made.S
    assert summary["runlog"]["disconnects_planned"] == 0
    assert any("cut from   run golden (sealed)" in line for line in summary_page(summary))


def test_a_slice_that_does_not_say_what_counts_is_damaged(run_dir: Path) -> None:
    (run_dir / "slice.json").write_text('{"slice_version": 1}', encoding="utf-8")
    summary = inspect_run(run_dir)
    assert (summary["slice"], summary["exit_code"]) == (None, 4)
    assert "ancestors" in summary["problems"][0]
    assert "ancestors" in str(list_run(run_dir)["problem"])


def test_the_parts_of_a_merged_bundle(run_dir: Path, made: Any) -> None:
    seal = {"closed_mono_ns": made.T0 + 3600 * made.S}
    (run_dir / "seal.json").write_text(json.dumps(seal), encoding="utf-8")
    assert inspect_run(run_dir)["duration_ns"] == 3600 * made.S
    parts = {"parts": [{"run_id": "one"}, {"run_id": "one", "slice_id": "two"}, 3]}
    (run_dir / "merge.json").write_text(json.dumps(parts), encoding="utf-8")
    summary = inspect_run(run_dir)
    assert any("merged of  one, two" in line for line in summary_page(summary))
    # The seal says when it was put together.
    assert summary["duration_ns"] == list_run(run_dir)["duration_ns"] == 8 * made.S - 4


def test_torn_ends_of_runlog_and_metrics(run_dir: Path) -> None:
    for name in ("runlog.ndjson", "metrics/global.ndjson"):
        with open(run_dir / name, "ab") as file:
            file.write(b'{"half')
    summary = inspect_run(run_dir)
    assert summary["runlog"]["torn_bytes"] == 6
    assert len(summary["problems"]) == 2


def test_version_1_has_no_wall_clock(run_dir: Path, made: Any) -> None:
    from pm_frames.frames import encode_frame, read_frames
    from pm_frames.index import encode_entry, entry_of

    path = run_dir / "capture" / "shard_00.frames"
    path.write_bytes(encode_frame(b"{}", rx_mono_ns=7, rx_wall_ns_utc=None, flags=1, version=1) * 2)
    entries = [encode_entry(entry_of(frame), 1) for frame in read_frames(path)]
    path.with_suffix(".idx").write_bytes(b"".join(entries))
    one = inspect_run(run_dir)["shards"]["by_shard"]["00"]
    assert (one["schema_version"], one["records"], one["rx_mono_ns_last"]) == (1, 2, 7)
    assert one["rx_wall_ns_utc_last"] is None


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"), (1_500_000_000, "1.50s"), (61 * 10**9, "1m01s"), (3 * 3600 * 10**9, "3h00m"),
        (26 * 3600 * 10**9, "1d02h"),
    ],
)  # fmt: skip
def test_lengths(ns: int | None, text: str) -> None:
    assert length_text(ns) == text
