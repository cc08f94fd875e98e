import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pm_frames.lock import RunLock
from pm_verify.findings import Code
from pm_verify.verify import verify_files, verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]
BuildPair = Callable[..., tuple[bytes, bytes]]


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("version", [1, 2])
def test_sealed_run_is_clean(build_run: BuildRun, tmp_path: Path, version: int) -> None:
    report = verify_run(build_run(tmp_path / "run", version=version))
    assert report.findings == ()
    assert report.ok
    assert report.exit_code == 0
    assert report.state == "ended"
    assert report.run_id == "golden"
    assert report.totals() == {
        "records": 9,
        "errors": 0,
        "crc_mismatch": 0,
        "truncated_shards": 0,
        "idx_bad_shards": 0,
        "bytes": {1: 506, 2: 578}[version],
    }
    assert [shard.schema_versions for shard in report.summaries] == [[version], [version]]


def test_unsealed_run_is_tolerable(unsealed_run: Path) -> None:
    report = verify_run(unsealed_run)
    assert list(report.counts) == [Code.UNSEALED]
    assert report.exit_code == 3
    assert report.state == "crashed"


def test_running_run_forgives_what_is_only_not_finished(unsealed_run: Path) -> None:
    frames = unsealed_run / "capture" / "shard_00.frames"
    idx = unsealed_run / "capture" / "shard_00.idx"
    frames.write_bytes(frames.read_bytes()[:-5])
    idx.write_bytes(idx.read_bytes()[:-40])
    with (unsealed_run / "runlog.ndjson").open("ab") as file:
        file.write(b'{"record_type":"hear')
    # The counts of the runlog are still claims: this run says that it synced what is cut off here.
    with RunLock(unsealed_run):
        report = verify_run(unsealed_run)
    assert set(report.counts) == {Code.RUNNING, Code.DURABLE_FRAMES_LOST, Code.RECORDED_FRAMES_LOST}
    assert report.state == "running"
    assert report.summaries[0].ok


def test_running_run_with_damage_in_the_middle_is_corrupt(unsealed_run: Path) -> None:
    frames = unsealed_run / "capture" / "shard_00.frames"
    data = bytearray(frames.read_bytes())
    data[40] ^= 1
    frames.write_bytes(data)
    with RunLock(unsealed_run):
        report = verify_run(unsealed_run)
    assert Code.CRC_MISMATCH in report.counts
    assert report.exit_code == 4


def test_fatal_run_with_right_bytes_is_tolerable(unsealed_run: Path) -> None:
    (unsealed_run / "fatal.json").write_text(
        json.dumps({"fatal_reason": "RUNLOG_FAILURE", "fatal_message": "disk full"})
    )
    report = verify_run(unsealed_run)
    assert list(report.counts) == [Code.FATAL]
    assert "RUNLOG_FAILURE disk full" in report.findings[0].message
    assert (report.state, report.exit_code) == ("fatal", 3)


def test_torn_fatal_json_is_still_a_fatal_run(unsealed_run: Path) -> None:
    (unsealed_run / "fatal.json").write_text('{"fatal_rea')
    report = verify_run(unsealed_run)
    assert list(report.counts) == [Code.FATAL]


@pytest.mark.parametrize("content", ["nothing", "empty directory", "file", "other files"])
def test_place_without_a_run(tmp_path: Path, content: str) -> None:
    place = tmp_path / "place"
    if content == "file":
        place.write_text("x")
    elif content != "nothing":
        place.mkdir()
        if content == "other files":
            (place / "notes.txt").write_text("x")
    report = verify_run(place)
    assert list(report.counts) == [Code.NO_RUN]
    assert (report.exit_code, report.state) == (2, "missing")
    assert str(place) in str(report.run_dir)


def test_run_without_any_frames_file_is_missing_input(unsealed_run: Path) -> None:
    shutil.rmtree(unsealed_run / "capture")
    report = verify_run(unsealed_run)
    assert list(report.counts) == [Code.NO_FRAMES]
    assert report.exit_code == 2
    assert report.run_id == "golden"


def just_created(run: Path, *, files: str, runlog: bytes | None) -> None:
    """Make of a run what a capture leaves that is killed while it creates its files."""
    (run / "manifest.json").unlink()
    for path in (run / "capture").iterdir():
        path.write_bytes(b"")
        if path.suffix not in files.split():
            path.unlink()
    (run / "runlog.ndjson").unlink()
    if runlog is not None:
        (run / "runlog.ndjson").write_bytes(runlog)


RUN_START = b'{"record_type":"run_start","run_id":"golden","ts_mono_ns":1,"ts_wall_ns_utc":1}\n'


@pytest.mark.parametrize("runlog", [None, b"", RUN_START])
@pytest.mark.parametrize("files", [".frames .idx", ".frames", ".idx"])
def test_run_that_was_killed_while_it_created_its_files(
    unsealed_run: Path, files: str, runlog: bytes | None
) -> None:
    just_created(unsealed_run, files=files, runlog=runlog)
    report = verify_run(unsealed_run)
    assert report.exit_code == 3
    assert set(report.counts) <= {Code.UNSEALED, Code.IDX_MISSING, Code.RUNLOG_MISSING}
    [unsealed] = [item for item in report.findings if item.code is Code.UNSEALED]
    assert "crashed before it began" in unsealed.message


def test_run_that_creates_its_files_is_running(unsealed_run: Path) -> None:
    just_created(unsealed_run, files=".frames .idx", runlog=RUN_START)
    with RunLock(unsealed_run):
        assert list(verify_run(unsealed_run).counts) == [Code.RUNNING]


@pytest.mark.parametrize("left", ["frames", "capture_start"])
def test_run_that_began_needs_its_manifest(unsealed_run: Path, left: str) -> None:
    start = RUN_START.replace(b"run_start", b"capture_start")
    just_created(
        unsealed_run,
        files=".frames .idx",
        runlog=start if left == "capture_start" else RUN_START,
    )
    if left == "frames":
        (unsealed_run / "capture" / "shard_00.frames").write_bytes(b"P")
    report = verify_run(unsealed_run)
    assert Code.MANIFEST_MISSING in report.counts
    assert report.exit_code == 4


def test_sealed_run_of_a_universe_without_tokens_is_clean(
    build_run: BuildRun, tmp_path: Path
) -> None:
    report = verify_run(build_run(tmp_path / "run", shards={}))
    assert report.ok
    assert report.verdict() == "0 frames in 0 shards: every byte is what was written"


def test_sealed_run_that_lost_all_shards(sealed_run: Path) -> None:
    shutil.rmtree(sealed_run / "capture")
    report = verify_run(sealed_run)
    assert set(report.counts) == {
        Code.SHARD_MISSING,
        Code.LISTED_FILE_MISSING,
        Code.SEAL_DISAGREES,
        Code.DURABLE_FRAMES_LOST,
    }
    assert report.exit_code == 4


def test_missing_idx_is_tolerable_in_an_unsealed_run(unsealed_run: Path) -> None:
    (unsealed_run / "capture" / "shard_01.idx").unlink()
    report = verify_run(unsealed_run)
    assert set(report.counts) == {Code.UNSEALED, Code.IDX_MISSING}
    assert report.exit_code == 3
    assert report.totals()["idx_bad_shards"] == 1
    (finding,) = (item for item in report.findings if item.code is Code.IDX_MISSING)
    assert (finding.shard, finding.file) == (1, "capture/shard_01.idx")
    assert "--repair" in finding.fix
    assert str(unsealed_run) in finding.fix


def test_every_idx_deleted_does_not_pass(sealed_run: Path) -> None:
    for path in (sealed_run / "capture").glob("*.idx"):
        path.unlink()
    report = verify_run(sealed_run)
    assert report.counts[Code.IDX_MISSING] == 2
    assert report.counts[Code.LISTED_FILE_MISSING] == 2
    assert report.exit_code == 4


def test_missing_frames(unsealed_run: Path) -> None:
    (unsealed_run / "capture" / "shard_00.frames").unlink()
    report = verify_run(unsealed_run)
    assert Code.FRAMES_MISSING in report.counts
    assert report.exit_code == 4


def test_missing_shard_is_noticed(unsealed_run: Path) -> None:
    for suffix in ("frames", "idx"):
        (unsealed_run / "capture" / f"shard_01.{suffix}").unlink()
    report = verify_run(unsealed_run)
    (finding,) = (item for item in report.findings if item.code is Code.SHARD_MISSING)
    assert finding.shard == 1
    assert report.exit_code == 4


def test_shard_that_never_opened_is_told_apart(build_run: BuildRun, tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["shards"]["assignments"]["2"] = {"token_ids": ["9"], "groups": [["9"]]}
    manifest["shards"]["assignments"]["3"] = {"token_ids": [], "groups": []}
    (run / "manifest.json").write_text(json.dumps(manifest))
    report = verify_run(run)
    (finding,) = (item for item in report.findings if item.code is Code.SHARD_NOT_OPENED)
    assert finding.shard == 2
    assert report.exit_code == 3


@pytest.mark.parametrize("files", ["empty", "none"])
def test_shard_without_tokens_may_have_empty_files_or_none(unsealed_run: Path, files: str) -> None:
    manifest = json.loads((unsealed_run / "manifest.json").read_text())
    manifest["shards"]["assignments"]["2"] = {"token_ids": [], "groups": []}
    (unsealed_run / "manifest.json").write_text(json.dumps(manifest))
    if files == "empty":
        for suffix in ("frames", "idx"):
            (unsealed_run / "capture" / f"shard_02.{suffix}").write_bytes(b"")
    assert list(verify_run(unsealed_run).counts) == [Code.UNSEALED]


def test_shard_of_nobody(unsealed_run: Path) -> None:
    for suffix in ("frames", "idx"):
        source = unsealed_run / "capture" / f"shard_01.{suffix}"
        shutil.copy(source, unsealed_run / "capture" / f"shard_07.{suffix}")
    report = verify_run(unsealed_run)
    (finding,) = (item for item in report.findings if item.code is Code.SHARD_UNANNOUNCED)
    assert finding.shard == 7
    assert report.exit_code == 4


def test_empty_shard_is_legal(
    build_run: BuildRun, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:
    report = verify_run(build_run(tmp_path / "run", shards={0: records(2), 1: []}))
    assert report.ok
    assert report.summaries[1].records == 0


def test_unknown_files_and_keys_are_ignored(unsealed_run: Path) -> None:
    (unsealed_run / "capture" / "shard_1.frames").write_text("an unknown file")
    (unsealed_run / "capture" / "shard_007.frames").write_text("another")
    edit_json(unsealed_run / "manifest.json", future={"a": 1})
    assert list(verify_run(unsealed_run).counts) == [Code.UNSEALED]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda path: path.unlink(), Code.MANIFEST_MISSING),
        (lambda path: path.write_text("{"), Code.MANIFEST_DAMAGED),
        (lambda path: path.write_text("{}"), Code.MANIFEST_DAMAGED),
        (lambda path: edit_json(path, manifest_version=2), Code.MANIFEST_UNSUPPORTED),
        (lambda path: edit_json(path, run_id="other"), Code.RUN_ID_DISAGREES),
    ],
)
def test_manifest(unsealed_run: Path, change: Callable[[Path], object], code: Code) -> None:
    change(unsealed_run / "manifest.json")
    report = verify_run(unsealed_run)
    assert set(report.counts) == {Code.UNSEALED, code}
    assert report.exit_code == 4
    assert report.totals()["records"] == 9


def test_universe_files_have_the_digests_under_which_the_run_names_them(unsealed_run: Path) -> None:
    path = unsealed_run / "universe" / "000000.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert set(verify_run(unsealed_run).counts) == {Code.UNSEALED, Code.UNIVERSE_DIGEST}
    path.unlink()
    assert set(verify_run(unsealed_run).counts) == {Code.UNSEALED, Code.UNIVERSE_MISSING}


@pytest.mark.parametrize(
    ("field", "at", "code"),
    [("rx_mono_ns", 8, Code.IDX_RX_MONO), ("rx_wall_ns_utc", 16, Code.IDX_RX_WALL)],
)
def test_seal_decides_between_stamps(
    build_run: BuildRun, tmp_path: Path, field: str, at: int, code: Code
) -> None:
    """A stamp that differs is told with both values; only a digest can say which side is right."""
    for sealed in (False, True):
        run = build_run(tmp_path / f"{field}-{sealed}", sealed=sealed)
        idx = run / "capture" / "shard_00.idx"
        data = bytearray(idx.read_bytes())
        data[32 + at] ^= 1
        idx.write_bytes(data)
        finding = next(item for item in verify_run(run).findings if item.code is code)
        assert (finding.shard, finding.ordinal) == (0, 1)
        assert isinstance(finding.expected, int)
        assert isinstance(finding.found, int)
        assert finding.expected ^ finding.found == 1
        if sealed:
            assert finding.fix.startswith("believe capture/shard_00.frames")
        else:
            assert "cannot be told" in finding.message


def test_findings_are_bounded_and_all_counted(
    build_run: BuildRun, build_pair: BuildPair, tmp_path: Path
) -> None:
    shard = [(1, 10 * n, 20 * n, b"x") for n in range(500)]
    run = build_run(tmp_path / "run", shards={0: shard}, sealed=False)
    frames = run / "capture" / "shard_00.frames"
    frames.write_bytes(frames.read_bytes().replace(b"x", b"y"))
    report = verify_run(run)
    assert report.counts[Code.CRC_MISMATCH] == 500
    assert sum(item.code is Code.CRC_MISMATCH for item in report.findings) == 20
    assert report.totals()["crc_mismatch"] == 500


def test_pair_of_files(
    build_pair: BuildPair, records: Callable[[int], Sequence[Record]], tmp_path: Path
) -> None:
    frames, idx = build_pair(records(6), 2)
    (tmp_path / "a.frames").write_bytes(frames)
    (tmp_path / "a.idx").write_bytes(idx)
    report = verify_files(tmp_path / "a.frames", tmp_path / "a.idx")
    assert report.ok
    assert report.state == "files"
    alone = verify_files(tmp_path / "a.frames", None)
    assert alone.ok
    assert alone.summaries[0].idx_ok is None
    for frames_path, idx_path in (("a", "b.idx"), ("b", "a.idx"), ("b", None), ("", None)):
        missing = verify_files(
            tmp_path / f"{frames_path}.frames" if frames_path else tmp_path,
            tmp_path / idx_path if idx_path else None,
        )
        assert (missing.exit_code, list(missing.counts)) == (2, [Code.NO_FILE])
