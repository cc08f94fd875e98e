"""What slice.json and merge.json state of a bundle, and every way in which the files can say otherwise."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_verify.findings import Code
from pm_verify.repair import repair_run
from pm_verify.report import Report
from pm_verify.verify import verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]

LEAD_IN, FIRST = 2, 10  # frames before the window, and what stands before shard 0 in the capture
OFFSET = 4_000


def reseal(run: Path) -> None:
    """Seal a bundle anew: what is wrong afterwards is wrong in itself, not against the seal."""
    path = run / "seal.json"
    seal = json.loads(path.read_bytes())
    names = sorted(
        one.relative_to(run).as_posix()
        for one in run.rglob("*")
        if one.is_file() and one.name not in (".lock", "watermark", "seal.json", "SHA256SUMS")
    )
    digests = [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names]
    text = "".join(f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True))
    (run / "SHA256SUMS").write_bytes(text.encode())
    seal["sha256sums_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    del seal["seal_sha256"]
    canonical = json.dumps(seal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    seal["seal_sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(seal))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def entries(*runs: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<4Q", *run) for run in runs)


def counted(record: dict[str, Any], frames: int) -> dict[str, Any]:
    keys = {"frames_total", "durable_frames_total"} & record.keys()
    return {**record, **dict.fromkeys(keys, frames)}


@pytest.fixture
def sliced(tmp_path: Path, build_run: BuildRun, records: Callable[[int], list[Record]]) -> Path:
    """A slice of one shard: two frames of lead-in, then four that followed later in the capture."""
    shard = records(6)
    run = build_run(tmp_path / "slice", shards={0: shard})
    offsets = [0]
    for _, _, _, payload in shard:
        offsets.append(offsets[-1] + 36 + len(payload))
    lines = (run / "runlog.ndjson").read_bytes().splitlines()
    # The counts are those of the whole run.
    kept = [json.dumps(counted(json.loads(line), 1000)).encode() + b"\n" for line in lines]
    (run / "runlog.ndjson").write_bytes(b"".join(kept))
    (run / "source").mkdir()
    there = OFFSET + 5_000
    (run / "source/shard_00.map").write_bytes(
        entries((0, FIRST, OFFSET, LEAD_IN), (LEAD_IN, 50, there, 4))
    )
    (run / "source/runlog.map").write_bytes(entries((0, 3, 700, len(lines))))
    slice_json = {
        "slice_version": 1, "slice_id": "cut",
        "emit_from_mono_ns": shard[LEAD_IN][1], "emit_before_mono_ns": shard[-1][1] + 1,
        "ancestors": [{"run_id": "golden", "slice_id": None, "state": "ended", "seal_sha256": None}],
        "source_run_dir": "runs/golden", "asked": {"kind": "all"}, "token_ids": None,
        "shards": {"0": {
            "frames": 6, "lead_in_frames": LEAD_IN, "first_ordinal": 50, "last_ordinal": 53,
            "first_offset": there, "end_offset": there + offsets[6] - offsets[2],
        }},
        "damage": [], "damage_count": 0,
    }  # fmt: skip
    (run / "slice.json").write_text(json.dumps(slice_json))
    edit(run / "manifest.json", lambda manifest: manifest.update(slice_id="cut"))
    reseal(run)
    return run


def blame(report: Report, code: Code, file: str) -> None:
    assert report.exit_code == 4
    assert {one.code for one in report.findings} == {code}, report.findings
    assert report.findings[0].file == file


def test_what_the_runlog_counts_is_not_held_against_a_slice(sliced: Path) -> None:
    assert verify_run(sliced).ok
    assert verify_run(sliced, quick=True).ok
    (sliced / "slice.json").unlink()
    reseal(sliced)
    assert Code.DURABLE_FRAMES_LOST in verify_run(sliced).counts


def test_a_slice_json_that_was_not_sealed_excuses_nothing(sliced: Path) -> None:
    document = (sliced / "slice.json").read_bytes()
    (sliced / "slice.json").unlink()
    reseal(sliced)
    (sliced / "slice.json").write_bytes(document)
    counts = verify_run(sliced).counts
    assert {Code.FILE_UNLISTED, Code.DURABLE_FRAMES_LOST} <= set(counts)


OF_A_SHARD = (
    "frames",
    "lead_in_frames",
    "first_ordinal",
    "last_ordinal",
    "first_offset",
    "end_offset",
)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("key", OF_A_SHARD)
def test_every_value_of_a_shard_is_compared(sliced: Path, key: str, by: int) -> None:
    def change(document: Any) -> None:
        document["shards"]["0"][key] += by

    edit(sliced / "slice.json", change)
    reseal(sliced)
    blame(verify_run(sliced), Code.SLICE_DISAGREES, "slice.json")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda d: d.update(emit_from_mono_ns=d["emit_from_mono_ns"] + 1), "at the first frame"),
        (lambda d: d.update(emit_from_mono_ns=5), "after the lead-in"),
        (lambda d: d.update(emit_before_mono_ns=d["emit_before_mono_ns"] - 1), "at the last frame"),
        (lambda d: d.update(slice_id="other"), "slice_id"),
        (lambda d: d["ancestors"][0].update(run_id="other"), "run_id"),
        (lambda d: d["shards"].update({"1": d["shards"]["0"]}), "shards"),
        (lambda d: d["shards"].clear(), "shards"),
    ],
)
def test_what_is_stated_of_the_whole_is_compared(
    sliced: Path, change: Callable[[Any], None], found: str
) -> None:
    edit(sliced / "slice.json", change)
    reseal(sliced)
    report = verify_run(sliced)
    blame(report, Code.SLICE_DISAGREES, "slice.json")
    assert found in report.findings[0].message


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(slice_version=2),
        lambda d: d.update(ancestors=[]),
        lambda d: d.pop("emit_from_mono_ns"),
        lambda d: d["shards"]["0"].pop("frames"),
        lambda d: d["shards"]["0"].update(lead_in_frames=7),
    ],
)
def test_a_slice_json_that_is_none_is_damaged(
    sliced: Path, change: Callable[[Any], object]
) -> None:
    edit(sliced / "slice.json", change)
    reseal(sliced)
    blame(verify_run(sliced), Code.SLICE_DAMAGED, "slice.json")


@pytest.mark.parametrize("name", ["source/shard_00.map", "source/runlog.map"])
@pytest.mark.parametrize("what", ["torn", "short", "long", "gap", "none", "empty entry"])
def test_a_map_names_everything_once_and_in_order(sliced: Path, name: str, what: str) -> None:
    path = sliced / name
    data = path.read_bytes()
    first, there, offset, count = struct.unpack("<4Q", data[-32:])
    changed = {
        "torn": data[:-1],
        "short": data[:-32] + entries((first, there, offset, count - 1)),
        "long": data + entries((first + count, there + count, offset + 10_000, 1)),
        "gap": data[:-32] + entries((first + 1, there, offset, count - 1)),
        "none": None,
        "empty entry": data + entries((first + count, there + count, offset + 10_000, 0)),
    }[what]
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)
    reseal(sliced)
    blame(verify_run(sliced), Code.SLICE_DAMAGED, name)


def test_a_map_that_goes_back_in_the_capture_is_damaged(sliced: Path) -> None:
    path = sliced / "source/shard_00.map"
    path.write_bytes(entries((0, 40, 9_000, LEAD_IN), (LEAD_IN, 41, 9_500, 4)))
    reseal(sliced)
    report = verify_run(sliced)
    blame(report, Code.SLICE_DAMAGED, "source/shard_00.map")
    assert (report.findings[0].offset, report.findings[0].end) == (32, 64)


def test_a_repaired_slice_is_a_slice_and_its_maps_are_kept_aside(
    sliced: Path, tmp_path: Path
) -> None:
    path = sliced / "capture/shard_00.frames"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    out = tmp_path / "out"
    repair_run(sliced, out, now_wall_ns=1)
    assert verify_run(out).ok
    assert (out / "slice.json").read_bytes() == (sliced / "slice.json").read_bytes()
    assert not (out / "source").exists()
    kept = (out / "parent/source/shard_00.map").read_bytes()
    assert kept == (sliced / "source/shard_00.map").read_bytes()


@pytest.fixture
def merged(tmp_path: Path, build_run: BuildRun) -> Path:
    """Two captures as one: shard 0 of part 0 with 6 frames, shard 1 of part 1 with 3."""
    run = build_run(tmp_path / "both")
    lines = [json.loads(line) for line in (run / "runlog.ndjson").read_bytes().splitlines()]
    stop = lines.pop()
    starts = [line for line in lines if line["record_type"] == "capture_start"]
    kept = [
        {**line, "part": line.get("shard_id", 0)} for line in lines if "frames_total" not in line
    ]
    # The universe file of the second part was another, and is not here.
    kept.append({**starts[0], "part": 1, "universe_sha256": "0" * 64})
    kept += [{**counted(stop, 6), "part": 0, "record_type": "part_stop"}]
    kept += [{**counted(stop, 3), "part": 1, "record_type": "heartbeat"}]
    kept += [{**counted(stop, 9), "part": 1}]
    (run / "runlog.ndjson").write_bytes(
        b"".join(json.dumps(line).encode() + b"\n" for line in kept)
    )
    parts = [{"run_id": f"part{n}", "shards": {"0": n}} for n in (0, 1)]
    document = {"merge_version": 1, "run_id": "golden", "parts": parts, "notes": []}
    (run / "merge.json").write_text(json.dumps(document))
    reseal(run)
    return run


def test_a_merged_bundle_is_held_to_the_counts_of_each_part(merged: Path) -> None:
    assert verify_run(merged).ok
    path = merged / "runlog.ndjson"
    whole = path.read_text()
    for old, new, code in (
        ('"frames_total": 6', '"frames_total": 7', Code.RECORDED_FRAMES_LOST),
        ('"durable_frames_total": 3', '"durable_frames_total": 4', Code.DURABLE_FRAMES_LOST),
        ('"frames_total": 6', '"frames_total": 5', Code.FRAMES_UNCOUNTED),
        ('"frames_total": 9', '"frames_total": 8', Code.FRAMES_UNCOUNTED),
    ):
        at = whole.index(old) if "durable" in old else whole.index(f" {old}")
        path.write_text(whole[:at] + whole[at:].replace(old, new, 1))
        reseal(merged)
        assert set(verify_run(merged).counts) == {code}, (old, new)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: d.update(run_id="other"), Code.MERGE_DISAGREES),
        (lambda d: d["parts"][1]["shards"].update({"0": 0}), Code.MERGE_DISAGREES),
        (lambda d: d["parts"][1]["shards"].update({"1": 2}), Code.MERGE_DISAGREES),
        (lambda d: d.pop("merge_version"), Code.MERGE_DAMAGED),
        (lambda d: d.pop("parts"), Code.MERGE_DAMAGED),
        (lambda d: d["parts"][0].pop("shards"), Code.MERGE_DISAGREES),
    ],
)
def test_a_merge_json_that_is_not_of_these_files(
    merged: Path, change: Callable[[Any], None], code: Code
) -> None:
    edit(merged / "merge.json", change)
    reseal(merged)
    counts = verify_run(merged).counts
    assert code in counts
    assert set(counts) <= {code, Code.DURABLE_FRAMES_LOST, Code.FRAMES_UNCOUNTED}
