import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_verify.examine import Task, examine
from pm_verify.findings import Code
from pm_verify.verify import verify_run


def test_file_that_cannot_be_read_is_a_finding_and_no_crash(sealed_run: Path) -> None:
    (sealed_run / "capture" / "shard_00.idx").unlink()
    task = Task(sealed_run, 0, "capture/shard_00.frames", "capture/shard_00.idx")
    result = examine(task)
    (finding,) = result.tally.listed
    assert (finding.code, finding.file) == (Code.UNREADABLE, "capture/shard_00.idx")
    assert not result.ok


def test_digests_are_taken_of_damaged_files_too(sealed_run: Path) -> None:
    path = sealed_run / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    task = Task(sealed_run, 0, "capture/shard_00.frames", "capture/shard_00.idx", digest=True)
    result = examine(task)
    lines = [line.split("  ") for line in (sealed_run / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert result.idx_sha256 == sums["capture/shard_00.idx"]
    assert result.frames_sha256 not in (None, sums["capture/shard_00.frames"])


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in directories on Windows")
@pytest.mark.parametrize("name", ["runlog.ndjson", "SHA256SUMS", "manifest.json", "seal.json"])
def test_pipe_in_place_of_a_file_does_not_block(sealed_run: Path, name: str) -> None:
    (sealed_run / name).unlink()
    os.mkfifo(sealed_run / name)
    assert verify_run(sealed_run).exit_code == 4


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in directories on Windows")
def test_pipe_in_place_of_a_shard_is_a_missing_shard(
    build_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    for suffix in ("frames", "idx"):
        path = run / "capture" / f"shard_01.{suffix}"
        path.unlink()
        os.mkfifo(path)
    assert Code.SHARD_MISSING in verify_run(run).counts
