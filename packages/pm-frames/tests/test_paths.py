from pathlib import Path

import pytest

from pm_frames.paths import (
    last_frames_path,
    run_dir,
    shard_ids,
    shard_metrics_path,
    shard_paths,
    universe_path,
    universe_versions,
    valid_run_id,
)


def test_shard_numbers_have_at_least_two_digits() -> None:
    frames, idx = shard_paths(Path("run"), 7)
    assert frames.as_posix() == "run/capture/shard_07.frames"
    assert idx.as_posix() == "run/capture/shard_07.idx"
    assert shard_paths(Path("run"), 123)[0].name == "shard_123.frames"
    assert shard_metrics_path(Path("run"), 3).as_posix() == "run/metrics/shard_03.ndjson"
    assert last_frames_path(Path("run"), 3).name == "last_frames_shard_03.bin"


def test_shards_are_listed_by_number_and_unknown_names_are_not_shards(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    capture.mkdir()
    for name in ("shard_100", "shard_11", "shard_09", "shard_7", "shard_007", "shard_xx", "old"):
        (capture / f"{name}.frames").touch()
    (capture / "shard_55.idx").touch()
    (capture / "shard_09.frames.bak").touch()
    assert shard_ids(tmp_path) == [9, 11, 100]
    assert shard_ids(tmp_path, "idx") == [55]
    assert shard_ids(tmp_path / "nowhere") == []


def test_universe_generations_are_listed_by_number(tmp_path: Path) -> None:
    assert universe_versions(tmp_path) == []
    (tmp_path / "universe").mkdir()
    for version in (10, 0, 1_000_000):
        universe_path(tmp_path, version).touch()
    (tmp_path / "universe" / "00.json").touch()
    assert universe_versions(tmp_path) == [0, 10, 1_000_000]
    assert universe_path(tmp_path, 0).name == "000000.json"


@pytest.mark.parametrize("text", ["x", "20261121T044200Z-00ab", "a.b_c-d", "9" * 128])
def test_names_that_every_file_system_takes_are_run_ids(text: str) -> None:
    assert valid_run_id(text)
    assert run_dir(Path("data"), text) == Path("data/runs") / text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\\b", "-x", "a.", "a b", "é", "9" * 129])
def test_other_names_are_refused(text: str) -> None:
    assert not valid_run_id(text)
    with pytest.raises(ValueError, match="run id"):
        run_dir(Path("data"), text)
