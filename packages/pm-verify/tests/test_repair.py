import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import open_bundle
from pm_frames.command import UsageError
from pm_frames.errors import RunLocked
from pm_frames.lock import RunLock
from pm_verify.findings import Code
from pm_verify.modes import Mode
from pm_verify.repair import NotRepairable, repair_run
from pm_verify.verify import verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]
Program = Callable[..., list[str]]


def snapshot(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file()
    }


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def payloads(run: Path) -> list[bytes]:
    """Read a bundle as every strict reader does."""
    return [frame.payload for _, _, frame in open_bundle(run).frames()]


def test_a_clean_run_needs_nothing(sealed_run: Path, tmp_path: Path) -> None:
    done = repair_run(sealed_run, tmp_path / "out", now_wall_ns=1)
    assert (done.out, done.exit_code) == (None, 0)
    assert not (tmp_path / "out").exists()
    assert done.sentence().endswith("every byte is what was written.")


def test_a_kill_just_before_the_close_loses_nothing(unsealed_run: Path, tmp_path: Path) -> None:
    before = snapshot(unsealed_run)
    done = repair_run(unsealed_run, tmp_path / "out", now_wall_ns=7, mode=Mode.STRICT)
    assert snapshot(unsealed_run) == before
    assert (done.lossy, done.exit_code) == (False, 0)
    after = snapshot(tmp_path / "out")
    added = {"SHA256SUMS", "seal.json", "repair.json"}
    assert after.keys() - before.keys() == added
    assert before.keys() - after.keys() == {".lock", "capture/watermark"}
    assert {name: after[name] for name in after.keys() - added} == {
        name: before[name] for name in after.keys() - added
    }
    record = json.loads(after["repair.json"])
    assert record["repaired_wall_ns_utc"] == 7
    assert record["parent"]["state"] == "crashed"
    assert record["parent"]["sha256"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in before.items() if name in after
    }
    assert json.loads(after["seal.json"])["stop_reason"] == "repair"
    assert len(payloads(tmp_path / "out")) == 9


def test_shards_come_out_the_same_from_every_repair(unsealed_run: Path, tmp_path: Path) -> None:
    flip(unsealed_run / "capture" / "shard_00.frames", 80)
    for name in ("one", "two"):
        repair_run(unsealed_run, tmp_path / name, now_wall_ns=1)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert repair_run(tmp_path / "one", tmp_path / "three", now_wall_ns=2).out is None


def test_a_repair_that_is_damaged_can_be_repaired(unsealed_run: Path, tmp_path: Path) -> None:
    flip(unsealed_run / "capture" / "shard_00.frames", 80)
    first, second = tmp_path / "first", tmp_path / "second"
    repair_run(unsealed_run, first, now_wall_ns=1)
    flip(first / "capture" / "shard_01.frames", 60)
    assert verify_run(first).exit_code == 4
    repair_run(first, second, now_wall_ns=2)
    assert verify_run(second).findings == ()
    names = snapshot(second).keys()
    assert {"parent/repair.json", "parent/seal.json", "parent/SHA256SUMS"} <= names
    assert "parent/quarantine/capture/shard_00.frames" in names


def test_a_running_run_is_refused(unsealed_run: Path, tmp_path: Path) -> None:
    with RunLock(unsealed_run), pytest.raises(RunLocked):
        repair_run(unsealed_run, tmp_path / "out", now_wall_ns=1)
    assert list(tmp_path.iterdir()) == [unsealed_run]


@pytest.mark.parametrize("place", ["out", "out.partial", "golden/inside"])
def test_nothing_is_overwritten(unsealed_run: Path, tmp_path: Path, place: str) -> None:
    if "inside" not in place:
        (tmp_path / place).mkdir()
    out = tmp_path / (place if "inside" in place else "out")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError):
        repair_run(unsealed_run, out, now_wall_ns=1)
    assert snapshot(tmp_path) == before


def test_the_end_of_a_fatal_run_goes_to_parent(unsealed_run: Path, tmp_path: Path) -> None:
    ends = {
        "fatal.json": b'{"fatal_reason": "DISK_FULL"}',
        "missing_tokens.json": b"{}",
        "last_frames_shard_00.bin": b"PMCAP",
    }
    for name, data in ends.items():
        (unsealed_run / name).write_bytes(data)
    (unsealed_run / ".reserve").write_bytes(bytes(100))
    done = repair_run(unsealed_run, tmp_path / "out", now_wall_ns=1)
    after = snapshot(tmp_path / "out")
    assert {name: after.get(f"parent/{name}") for name in ends} == ends
    assert not ends.keys() & after.keys()
    assert ".reserve" not in after
    parent = done.record["parent"]
    assert isinstance(parent, dict)
    assert (parent["state"], parent["finding_counts"]) == ("fatal", {"PMV005": 1})


@pytest.mark.parametrize(
    ("damage", "modes"),
    [
        ("none", "strict tolerate-tail point-in-time salvage"),
        ("no idx", "strict tolerate-tail point-in-time salvage"),
        ("torn", "tolerate-tail point-in-time salvage"),
        ("hole", "point-in-time salvage"),
        ("runlog", "point-in-time salvage"),
        ("no frames", "salvage"),
        ("manifest", ""),
        ("universe", ""),
    ],
)
def test_each_mode_repairs_what_it_may(
    unsealed_run: Path, tmp_path: Path, damage: str, modes: str
) -> None:
    frames = unsealed_run / "capture" / "shard_01.frames"
    match damage:
        case "no idx":
            frames.with_suffix(".idx").unlink()
        case "torn":
            frames.write_bytes(frames.read_bytes()[:-2])
        case "hole":
            flip(frames, 120)
        case "runlog":
            runlog = unsealed_run / "runlog.ndjson"
            runlog.write_bytes(runlog.read_bytes().replace(b'{"record_type":"heartbeat"', b"{x"))
        case "no frames":
            frames.unlink()
        case "manifest":
            (unsealed_run / "manifest.json").write_text("{}")
        case "universe":
            (unsealed_run / "universe" / "000000.json").write_text("{}")
    report = verify_run(unsealed_run)
    for mode in Mode:
        out = tmp_path / str(mode)
        if str(mode) in modes.split():
            repair_run(unsealed_run, out, now_wall_ns=1, mode=mode)
            assert verify_run(out).findings == ()
            payloads(out)
            assert mode is Mode.STRICT or report.weight(mode) in (0, 3)
        else:
            with pytest.raises(NotRepairable) as caught:
                repair_run(unsealed_run, out, now_wall_ns=1, mode=mode)
            assert caught.value.exit_code == 4
            assert "Next: " in str(caught.value)
            assert not out.exists()
            assert mode is Mode.STRICT or report.weight(mode) == 4


def test_point_in_time_cuts_all_shards_and_the_runlog_alike(
    build_run: BuildRun, tmp_path: Path
) -> None:
    shards = {
        number: [(1, 1_000 * (place + 1) + number, 5, b"%d" % place) for place in range(20)]
        for number in (0, 1)
    }
    run = build_run(tmp_path / "run", shards=shards)
    flip(run / "capture" / "shard_00.frames", 37 * 9 + 30)
    out = tmp_path / "out"
    done = repair_run(run, out, now_wall_ns=1, mode=Mode.POINT_IN_TIME)
    limit = 1_000 * 9 - 1
    assert done.record["point_in_time_mono_ns"] == limit
    kept = [(shard, frame.rx_mono_ns) for shard, _, frame in open_bundle(out).frames()]
    stamps = [(number, one[1]) for number, items in shards.items() for one in items]
    assert sorted(kept) == sorted(item for item in stamps if item[1] <= limit)
    assert (out / "quarantine" / "capture" / "shard_01.frames").read_bytes() == (
        (run / "capture" / "shard_01.frames").read_bytes()[37 * 8 :]
    )
    assert all(
        json.loads(line)["ts_mono_ns"] <= limit
        for line in (out / "runlog.ndjson").read_text().splitlines()
    )


def test_damaged_lines_of_the_runlog_are_kept_apart(unsealed_run: Path, tmp_path: Path) -> None:
    runlog = unsealed_run / "runlog.ndjson"
    lines = runlog.read_bytes().splitlines(keepends=True)
    lines[2:2] = [b"\xff\xfe\n", b"[1]\n"]
    runlog.write_bytes(b"".join(lines) + b'{"torn')
    done = repair_run(unsealed_run, tmp_path / "out", now_wall_ns=1)
    del lines[2:4]
    assert (tmp_path / "out" / "runlog.ndjson").read_bytes() == b"".join(lines)
    kept = (tmp_path / "out" / "quarantine" / "runlog.ndjson").read_bytes()
    assert kept == b'\xff\xfe\n[1]\n{"torn'
    assert done.exit_code == 3


def test_zeros_at_the_end_are_named_and_not_copied(unsealed_run: Path, tmp_path: Path) -> None:
    frames = unsealed_run / "capture" / "shard_00.frames"
    size = frames.stat().st_size
    with frames.open("r+b") as file:
        file.truncate(size + (1 << 24))
    done = repair_run(unsealed_run, tmp_path / "out", now_wall_ns=1)
    assert done.record["dropped"] == [
        {
            "file": "capture/shard_00.frames",
            "offset": size,
            "end": size + (1 << 24),
            "reason": "zero_tail",
            "ordinal": 6,
            "kept_in": None,
            "kept_at": None,
        }
    ]
    assert not (tmp_path / "out" / "quarantine").exists()


def test_a_run_that_never_began_has_nothing_to_repair(unsealed_run: Path, tmp_path: Path) -> None:
    (unsealed_run / "manifest.json").unlink()
    (unsealed_run / "runlog.ndjson").unlink()
    for path in (unsealed_run / "capture").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UsageError, match="nothing was recorded"):
        repair_run(unsealed_run, tmp_path / "out", now_wall_ns=1)


def test_a_repair_json_alone_excuses_nothing(unsealed_run: Path) -> None:
    """Only a sealed one speaks for the counts; put into a crashed run it changes nothing."""
    (unsealed_run / "repair.json").write_text('{"repair_version": 1}')
    frames = unsealed_run / "capture" / "shard_00"
    frames.with_suffix(".frames").write_bytes(b"")
    frames.with_suffix(".idx").write_bytes(b"")
    assert Code.DURABLE_FRAMES_LOST in verify_run(unsealed_run).counts
    (unsealed_run / "repair.json").write_text("{}")
    assert Code.REPAIR_DAMAGED in verify_run(unsealed_run).counts


def test_the_program(program: Program, unsealed_run: Path, tmp_path: Path) -> None:
    flip(unsealed_run / "capture" / "shard_00.frames", 120)
    out = tmp_path / "out"

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(program(*arguments), capture_output=True, check=False, timeout=60)

    refused = run("--repair", str(out), "--mode", "tolerate-tail", str(unsealed_run))
    assert (refused.returncode, refused.stdout) == (4, b"")
    assert b"PMV025" in refused.stderr
    done = run("--repair", str(out), str(unsealed_run))
    assert (done.returncode, done.stderr) == (3, b"")
    told = json.loads(done.stdout)
    assert (told["out"], told["dropped_bytes"], told["mode"]) == (str(out), 65, "salvage")
    assert run("--repair", str(out), str(unsealed_run)).returncode == 2
    again = run("--repair", str(tmp_path / "again"), str(out))
    assert (again.returncode, json.loads(again.stdout)["out"]) == (0, None)
    for arguments in (
        ["--repair", "x"],
        ["--for", "1s"],
        ["--jobs", "0"],
        ["--live", "--frames", "x"],
    ):
        assert run(*arguments, *([] if "--frames" in arguments else ["a", "b"])).returncode == 2


def test_quick_reads_no_payload(program: Program, sealed_run: Path) -> None:
    flip(sealed_run / "capture" / "shard_00.frames", 37)
    assert verify_run(sealed_run).exit_code == 4
    report = verify_run(sealed_run, quick=True)
    assert (report.exit_code, report.records) == (0, 9)
    assert report.verdict().endswith("payloads and digests were not read")
    flip(sealed_run / "capture" / "shard_00.frames", 75 + 12)
    report = verify_run(sealed_run, quick=True)
    assert Code.IDX_RX_MONO in report.counts
    done = subprocess.run(program("--quick", str(sealed_run)), capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["quick"]) == (4, True)
