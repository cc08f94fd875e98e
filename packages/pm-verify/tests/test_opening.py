"""Bundles that pm-archive has made smaller are verified as what they were."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames.archive import archive, restore
from pm_frames.index import read_index
from pm_frames.layout import Version
from pm_frames.seekable import LEVEL, codec, table
from pm_verify.findings import Code
from pm_verify.repair import NotRepairable, repair_run
from pm_verify.report import Report
from pm_verify.verify import verify_files, verify_run

BuildRun = Callable[..., Path]
Program = Callable[..., list[str]]

FRAMES = "capture/shard_00.frames"
NOW = 1


@pytest.fixture
def archived_run(sealed_run: Path) -> Path:
    assert all(done.done for done in archive(sealed_run))
    assert not list(sealed_run.glob("capture/*.frames"))
    return sealed_run


def facts(report: Report) -> object:
    values = report.as_json()
    return {key: value for key, value in values.items() if key != "elapsed_ms"}


def tampered(path: Path, offset: int, *, size: int | None = None) -> None:
    data = bytearray(path.read_bytes()[:size])
    if size is None:
        data[offset] ^= 0x40
    path.write_bytes(data)


def test_an_archive_has_the_report_of_its_frames(sealed_run: Path) -> None:
    plain = verify_run(sealed_run)
    assert plain.ok
    list(archive(sealed_run))
    assert facts(verify_run(sealed_run)) == facts(plain)
    assert verify_run(sealed_run, quick=True).ok
    assert verify_run(sealed_run, jobs=2).ok
    files = [sealed_run / FRAMES, sealed_run / f"{FRAMES}.zst"]
    assert all(verify_files(one, sealed_run / "capture/shard_00.idx").ok for one in files)
    list(restore(sealed_run))
    assert facts(verify_run(sealed_run)) == facts(plain)


def test_what_a_killed_archiver_leaves_is_no_finding(sealed_run: Path) -> None:
    """Both forms of a shard, and a scratch folder: the plain file is what counts."""
    kept = (sealed_run / FRAMES).read_bytes()
    list(archive(sealed_run))
    (sealed_run / FRAMES).write_bytes(kept)
    tampered(sealed_run / f"{FRAMES}.zst", 0, size=3)
    (sealed_run / ".archive").mkdir()
    (sealed_run / ".archive" / "shard_01.frames").write_bytes(b"half")
    assert verify_run(sealed_run).ok
    tampered(sealed_run / FRAMES, 40)
    assert Code.FILE_DIGEST in verify_run(sealed_run).counts


def test_damage_that_was_archived_is_found_at_its_place(
    sealed_run: Path, tmp_path: Path, build_run: BuildRun
) -> None:
    """The archive is sound; what is in it is not what was sealed. Offsets are those of the frames."""
    other = build_run(tmp_path / "other")
    tampered(other / FRAMES, 40)
    expected = verify_run(other)
    assert expected.exit_code == 4
    compressed = _compressed((other / FRAMES).read_bytes())
    (other / f"{FRAMES}.zst").write_bytes(compressed)
    (other / FRAMES).unlink()
    assert facts(verify_run(other)) == facts(expected)


def _compressed(data: bytes) -> bytes:
    packed = codec().compress(data, LEVEL)
    return packed + table([(len(packed), len(data))])


def test_every_damaged_byte_of_an_archive_is_a_finding(
    archived_run: Path, campaign_full: bool
) -> None:
    path = archived_run / f"{FRAMES}.zst"
    whole = path.read_bytes()
    for offset in range(0, len(whole), 1 if campaign_full else 5):
        tampered(path, offset)
        blamed(verify_run(archived_run), len(whole))
        path.write_bytes(whole)
    for size in range(0, len(whole), 1 if campaign_full else 7):
        tampered(path, 0, size=size)
        blamed(verify_run(archived_run), len(whole))
        path.write_bytes(whole)


def blamed(report: Report, size: int) -> None:
    assert report.exit_code == 4
    (finding,) = [one for one in report.findings if one.code is Code.ARCHIVE_DAMAGED]
    assert finding.file == f"{FRAMES}.zst"
    assert finding.shard == 0
    assert finding.ordinal is not None
    assert finding.offset is not None
    assert 0 <= finding.offset <= size
    assert Code.LISTED_FILE_MISSING not in report.counts
    assert Code.UNREADABLE not in report.counts
    json.dumps(report.as_json())


def test_the_frames_before_a_damaged_chunk_are_judged(
    tmp_path: Path, build_run: BuildRun, records: Callable[..., list[object]]
) -> None:
    run = build_run(tmp_path / "run", shards={0: records(400)})
    data = (run / FRAMES).read_bytes()
    cut = next(read_index(run / "capture/shard_00.idx", Version.V2, start=200)).offset_frames
    parts = [data[:cut], data[cut:]]
    packed = [codec().compress(part, LEVEL) for part in parts]
    sizes = [(len(a), len(b)) for a, b in zip(packed, parts, strict=True)]
    (run / f"{FRAMES}.zst").write_bytes(b"".join(packed) + table(sizes))
    (run / FRAMES).unlink()
    assert verify_run(run).ok
    tampered(run / f"{FRAMES}.zst", len(packed[0]) + 20)
    report = verify_run(run)
    (finding,) = [one for one in report.findings if one.code is Code.ARCHIVE_DAMAGED]
    assert finding.offset == len(packed[0])
    assert finding.ordinal == report.records == 200
    assert report.summaries[0].first_bad_offset == cut


def test_an_archived_run_is_repaired_from_what_it_was(
    sealed_run: Path, tmp_path: Path, build_run: BuildRun
) -> None:
    """The same repair, byte for byte but for the time, whether the damaged frames are archived or not."""
    tampered(sealed_run / FRAMES, 100)
    plain = repair_run(sealed_run, tmp_path / "plain", now_wall_ns=NOW)
    (sealed_run / f"{FRAMES}.zst").write_bytes(_compressed((sealed_run / FRAMES).read_bytes()))
    (sealed_run / FRAMES).unlink()
    out = tmp_path / "out"
    archived = repair_run(sealed_run, out, now_wall_ns=NOW)
    assert archived.lossy == plain.lossy
    assert verify_run(out).ok
    for path in (tmp_path / "plain").rglob("*"):
        if path.is_file():
            assert (out / path.relative_to(tmp_path / "plain")).read_bytes() == path.read_bytes()
    assert not list(out.rglob("*.zst"))


def test_a_damaged_archive_is_not_repaired_and_nothing_is_written(
    archived_run: Path, tmp_path: Path
) -> None:
    tampered(archived_run / f"{FRAMES}.zst", 30)
    with pytest.raises(NotRepairable, match=r"PMV034 capture/shard_00\.frames\.zst.*from a copy"):
        repair_run(archived_run, tmp_path / "out", now_wall_ns=NOW)
    assert not list(tmp_path.glob("out*"))


def test_without_a_zstd_library_the_program_says_what_to_install(
    archived_run: Path, tmp_path: Path
) -> None:
    """A real process in which neither library can be imported."""
    blocker = tmp_path / "site"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(
        "import sys\nsys.modules['zstandard'] = None\nsys.modules['compression.zstd'] = None\n"
    )
    for arguments in (
        [str(archived_run)],
        ["--repair", str(tmp_path / "out"), str(archived_run)],
        ["--frames", str(archived_run / FRAMES)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pm_verify", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(blocker)},
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "pip install 'pm-frames[zstd]'" in done.stderr
        assert "Traceback" not in done.stderr
