"""Run directories: made once, locked, never entered again."""

from pathlib import Path

import pytest

from pm_capture.rundir import RunDirectory, new_run_id
from pm_frames.errors import RunLocked
from pm_frames.lock import is_locked


def test_default_ids_are_stamp_and_suffix() -> None:
    assert new_run_id(1_795_240_664_294_930_803, 0xBEEF) == "20261121T055744Z-0000beef"


def test_made_and_locked(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "data", "r")
    assert directory.path == tmp_path / "data" / "runs" / "r"
    assert is_locked(directory.path)
    directory.release()
    assert not is_locked(directory.path)


def test_a_run_that_exists_is_refused_untouched(tmp_path: Path) -> None:
    RunDirectory(tmp_path, "r").release()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunLocked, match=r"runs.r: this run exists already"):
        RunDirectory(tmp_path, "r")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("run_id", ["", "..", "a/b", "a b"])
def test_an_id_that_is_no_name_is_refused(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run id"):
        RunDirectory(tmp_path, run_id)


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "r")
    (directory.path / "universe").mkdir()
    (directory.path / "universe" / "000000.json").write_bytes(b"{}")
    directory.discard()
    assert list((tmp_path / "runs").iterdir()) == []
    RunDirectory(tmp_path, "r").release()


def test_a_run_that_began_is_not_discarded(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, "r")
    (directory.path / "runlog.ndjson").write_bytes(b"")
    (directory.path / "capture").mkdir()
    (directory.path / "runlog.ndjson").write_bytes(b"{}\n")
    directory.discard()
    assert (directory.path / "runlog.ndjson").read_bytes() == b"{}\n"
    (directory.path / "runlog.ndjson").write_bytes(b"")
    directory.discard()
    assert not directory.path.exists()
