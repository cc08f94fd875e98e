import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames.command import ExitCode
from pm_verify.findings import Code, Scene
from pm_verify.modes import IRREPLACEABLE, TAIL, UNLOCATED, Mode, weigh
from pm_verify.verify import verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]


def found(code: Code, file: str = "capture/shard_00.frames") -> dict[Mode, ExitCode]:
    finding = Scene(Path("run")).finding(code, file)
    return {mode: weigh(finding, mode) for mode in Mode}


def test_strict_is_the_table() -> None:
    assert all(found(code)[Mode.STRICT] is code.exit_code for code in Code)


def test_no_mode_is_harder_than_strict_and_each_code_has_one_place() -> None:
    order = (ExitCode.OK, ExitCode.USAGE, ExitCode.FINDINGS, ExitCode.CORRUPT)
    for code in Code:
        weights = found(code)
        assert all(
            order.index(weight) <= order.index(code.exit_code) for weight in weights.values()
        )
        assert (weights[Mode.TOLERATE_TAIL] is ExitCode.OK) == (code in TAIL)
        assert (weights[Mode.SALVAGE] is code.exit_code) or code not in IRREPLACEABLE
    assert not TAIL & IRREPLACEABLE
    assert not UNLOCATED & (TAIL | IRREPLACEABLE)


def test_a_digest_counts_where_nothing_says_what_it_is_about() -> None:
    finding = Scene(None).finding(Code.FILE_DIGEST, "capture/shard_00.frames")
    assert weigh(finding, Mode.POINT_IN_TIME) is ExitCode.CORRUPT
    explained = dataclasses.replace(finding, explained=True)
    assert weigh(explained, Mode.POINT_IN_TIME) is ExitCode.FINDINGS
    for file in ("manifest.json", "universe/000000.json"):
        for mode in Mode:
            assert weigh(Scene(None).finding(Code.FILE_DIGEST, file), mode) is ExitCode.CORRUPT
    assert found(Code.FILE_DIGEST, "runlog.ndjson")[Mode.SALVAGE] is ExitCode.FINDINGS


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        ("none", (3, 0, 3, 3)),
        ("torn", (3, 0, 3, 3)),
        ("hole", (4, 4, 3, 3)),
        ("first", (4, 4, 4, 3)),
        ("manifest", (4, 4, 4, 4)),
    ],
)
def test_exit_codes_of_a_crashed_run(
    unsealed_run: Path, damage: str, codes: tuple[int, int, int, int]
) -> None:
    frames = unsealed_run / "capture" / "shard_00.frames"
    data = bytearray(frames.read_bytes())
    if damage == "torn":
        del data[-3:]
    elif damage in ("hole", "first"):
        data[120 if damage == "hole" else 40] ^= 1
    elif damage == "manifest":
        (unsealed_run / "manifest.json").write_text("[]")
    frames.write_bytes(data)
    for mode, code in zip(Mode, codes, strict=True):
        report = verify_run(unsealed_run, mode=mode)
        assert report.exit_code == code, mode
        assert report.ok == (code == 0)
        assert report.as_json()["mode"] == str(mode)


def test_point_in_time_is_before_the_first_damage_of_any_shard(
    build_run: BuildRun, tmp_path: Path
) -> None:
    shards = {
        number: [(1, 1_000 * (place + 1) + number, 5, b"payload %d" % place) for place in range(20)]
        for number in (0, 1)
    }
    run = build_run(tmp_path / "run", shards=shards)
    assert verify_run(run).point_in_time_mono_ns is None
    for shard, ordinal, expected in ((0, 10, 9_999), (1, 5, 5_000), (0, 3, 2_999)):
        frames = run / "capture" / f"shard_{shard:02}.frames"
        data = bytearray(frames.read_bytes())
        size = sum(36 + len(record[3]) for record in shards[shard][:ordinal])
        data[size + 40] ^= 1
        frames.write_bytes(data)
        report = verify_run(run, mode=Mode.POINT_IN_TIME)
        # One less than the last sound stamp: a read of the socket stamps several frames alike.
        assert report.point_in_time_mono_ns == expected
        assert report.exit_code == 3, "the digests that are missed are explained"


def test_an_entry_that_is_wrong_alone_limits_nothing(unsealed_run: Path) -> None:
    idx = unsealed_run / "capture" / "shard_00.idx"
    data = bytearray(idx.read_bytes())
    data[0] ^= 1
    idx.write_bytes(data)
    report = verify_run(unsealed_run)
    assert Code.IDX_OFFSET in report.counts
    assert report.point_in_time_mono_ns is None
