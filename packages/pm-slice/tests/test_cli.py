"""The three programs at their process boundary."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_frames import Bundle, open_bundle
from pm_slice.__main__ import archive_main, merge_main, slice_main

Mains = {"pm-slice": slice_main, "pm-merge": merge_main, "pm-archive": archive_main}


@pytest.fixture
def run(build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PM_DATA_DATA_DIR", raising=False)
    return build(tmp_path / "data/runs/monday", seed=5)


def stamps(bundle: Bundle) -> list[int]:
    """The stamps of the frames that count."""
    window = bundle.emit_window
    assert window is not None
    return [f.rx_mono_ns for _, _, f in bundle.frames() if window.holds(f.rx_mono_ns)]


def test_the_name_of_the_slice_is_all_there_is_on_stdout(run: Path, capsys: Any) -> None:
    assert slice_main(["monday", "--start-mono-ns", "1020000", "--end-mono-ns", "1040000"]) == 0
    out, err = capsys.readouterr()
    path = Path(out.strip())
    assert path == Path("data/slices/monday_1020000-1040001")
    assert "frames" in err
    whole = [f.rx_mono_ns for _, _, f in open_bundle(run).frames()]
    assert stamps(open_bundle(path)) == [at for at in whole if 1_020_000 <= at <= 1_040_000]
    assert open_bundle(path).state() == "ended"
    assert open_bundle(path).run_id == "monday"


def test_all_ways_to_name_one_window(run: Path, capsys: Any) -> None:
    wall = 1_790_000_000_000_000_000
    ways = {
        "mono": ["--start-mono-ns", "1020000", "--end-mono-ns", "1039999"],
        "relative": ["--from", "+20us", "--to", "+40us"],
        "wall": ["--from", str(wall + 20_000), "--to", str(wall + 40_000)],
        "rfc": ["--from", "2026-09-21T14:13:20.00002Z", "--to", "2026-09-21T14:13:20.00004Z"],
    }
    found = {}
    for name, words in ways.items():
        assert slice_main(["monday", *words, "--out", name]) == 0
        found[name] = open_bundle(name).emit_window
    assert set(found.values()) == {(1_020_000, 1_040_000)}


def test_positions_and_offsets_of_one_shard(run: Path, capsys: Any) -> None:
    shard = open_bundle(run).shards()[1]
    frames = list(shard.frames())
    assert slice_main(["monday", "--shard", "1", "--frames", "10:14", "--out", "p"]) == 0
    first, last = frames[10].offset, frames[13].offset
    limits = ["--start-offset", str(first), "--end-offset", str(last)]
    assert slice_main(["monday", "--shard", "1", *limits, "--out", "o"]) == 0
    assert slice_main(["monday", "--shard", "1", "--start-offset", str(first - 1),
                       "--end-offset", str(frames[14].offset - 1), "--out", "near"]) == 0  # fmt: skip
    for name in ("p", "o", "near"):
        document = json.loads(Path(name, "slice.json").read_bytes())
        span = document["shards"]["1"]
        assert (span["first_ordinal"], span["last_ordinal"]) == (10, 13)
        assert (span["first_offset"], span["end_offset"]) == (first, frames[13].end)
        (sliced,) = open_bundle(name).shards()
        payloads = [frame.payload for frame in sliced.frames(span["lead_in_frames"])]
        assert payloads == [frame.payload for frame in frames[10:14]]


def test_a_token_a_market_an_event(run: Path, capsys: Any) -> None:
    assert slice_main(["monday", "--token", "m-0-0:yes", "--out", "t"]) == 0
    assert slice_main(["monday", "--market", "m-0-0", "--out", "m"]) == 0
    assert slice_main(["monday", "--event", "e", "--out", "e"]) == 0
    tokens = [json.loads(Path(n, "slice.json").read_bytes())["token_ids"] for n in "tme"]
    assert tokens == [["01"], ["01", "02"], [f"{s}{n}" for s in (0, 1) for n in (1, 2, 3, 4)]]
    assert slice_main(["t", "--token", "02", "--out", "none"]) == 2
    assert "nothing of what was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no window and nothing chosen"),
        (["--from", "+1s", "--start-mono-ns", "5"], "exactly one kind of window"),
        (["--frames", "1:2", "--start-offset", "5"], "exactly one kind of window"),
        (["--frames", "1:2"], "choose it with --shard"),
        (["--start-offset", "5"], "choose it with --shard"),
        (["--frames", "x"], "not positions"),
        (["--shard", "1", "--frames", "9000:"], "no frame begins in the window"),
        (["--shard", "7"], "no such shard"),
        (["--token", "77"], "no such name in this run"),
        (["--start-mono-ns", "9", "--end-mono-ns", "8"], "ends before it starts"),
        (["--start-mono-ns", "-1"], "no negative"),
        (["--from", "yesterday"], "not a time"),
        (["--from", "+1s", "--slice-id", "a/b"], "named as a run is"),
        (["--from", "+1s", "--out", "there"], "nothing is overwritten"),
        (["--from", "+1s", "--out", "left"], "nothing is overwritten"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(run: Path, capsys: Any, words: list[str], message: str) -> None:
    Path("there").mkdir()
    Path(".left.partial").mkdir()
    assert slice_main(["monday", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert sorted(p.name for p in Path().iterdir()) == [".left.partial", "data", "there"]


def test_a_slice_is_replaced_if_that_is_asked_for(run: Path, capsys: Any) -> None:
    words = ["monday", "--out", "part", "--force"]
    assert slice_main([*words, "--from", "+20us", "--to", "+30us"]) == 0
    first = open_bundle("part").emit_window
    Path(".part.partial").mkdir()
    Path(".part.partial/left").write_bytes(b"of one who died")
    assert slice_main([*words, "--from", "+20us", "--to", "+40us"]) == 0
    assert (first, open_bundle("part").emit_window) == (
        (1_020_000, 1_030_000),
        (1_020_000, 1_040_000),
    )
    for shard in "01":
        assert slice_main(["monday", "--from", "+20us", "--shard", shard, "--out", shard]) == 0
    for _ in range(2):
        assert merge_main(["0", "1", "--out", "part", "--force"]) == 0
    assert len(open_bundle("part").shards()) == 2
    assert merge_main(["0", "1", "--out", "part"]) == 2
    assert "nothing is overwritten without --force" in capsys.readouterr().err
    assert sorted(p.name for p in Path().iterdir()) == ["0", "1", "data", "part"]


def test_nothing_else_is_replaced(build: Callable[..., Path], run: Path, capsys: Any) -> None:
    build(Path("tuesday"), seed=6)
    Path("mine").mkdir()
    Path("mine/notes").write_bytes(b"!")
    Path("file").write_bytes(b"!")
    assert slice_main(["monday", "--from", "+20us", "--out", "part"]) == 0
    assert slice_main(["part", "--from", "+20us", "--out", "part/deep"]) == 0
    Path("link").symlink_to("part")
    files = [one for one in Path().rglob("*") if one.is_file()]
    before = {str(one): one.read_bytes() for one in files}
    capsys.readouterr()
    for source, out, why in (
        ("monday", "tuesday", "slices and merged bundles only"),
        ("monday", "mine", "slices and merged bundles only"),
        ("monday", "file", "slices and merged bundles only"),
        ("monday", "link", "slices and merged bundles only"),
        ("monday", "data", "made of what it would replace"),
        ("monday", "data/runs/monday", "made of what it would replace"),
        ("part", "part", "made of what it would replace"),
        ("part", "link", "made of what it would replace"),
        ("part/deep", "part", "made of what it would replace"),
        ("part", "part/deep", "made of what it would replace"),
    ):
        assert slice_main([source, "--from", "+20us", "--out", out, "--force"]) == 2
        assert why in capsys.readouterr().err
        assert merge_main([source, "tuesday", "--out", out, "--force"]) == 2
        files = [one for one in Path().rglob("*") if one.is_file()]
        assert {str(one): one.read_bytes() for one in files} == before


def test_damage_is_told_and_left_out(run: Path, capsys: Any) -> None:
    path = run / "capture/shard_00.frames"
    data = bytearray(path.read_bytes())
    frame = list(open_bundle(run).shards()[0].frames())[12]
    data[frame.end - 1] ^= 1
    path.write_bytes(data)
    (run / "runlog.ndjson").write_bytes(b"}\n" + (run / "runlog.ndjson").read_bytes())
    assert slice_main(["monday", "--from", "+0s", "--out", "s", "--json"]) == 3
    out, err = capsys.readouterr()
    lost = [
        {"shard_id": 0, "kind": "crc_mismatch", "ordinal": 12, "offset": frame.offset},
        {"shard_id": None, "kind": "runlog_line", "ordinal": None, "offset": 0},
    ]
    assert json.loads(out)["damage"] == lost
    assert "left out" in err
    document = json.loads(Path("s/slice.json").read_bytes())
    assert (document["damage"], document["damage_count"]) == (lost, 2)
    assert len(list(open_bundle("s").shards()[0].frames())) + 1 == len(open_bundle(run).shards()[0])


def test_a_torn_tail_is_told(build: Callable[..., Path], run: Path, capsys: Any) -> None:
    crashed = build(Path("crashed"), sealed=False)
    frames = crashed / "capture/shard_01.frames"
    frames.write_bytes(frames.read_bytes()[:-3])
    assert slice_main([str(crashed), "--from", "+0s", "--out", "s"]) == 3
    document = json.loads(Path("s/slice.json").read_bytes())
    assert [one["kind"] for one in document["damage"]] == ["idx_long"]
    assert document["ancestors"] == [
        {"run_id": "monday", "slice_id": None, "state": "crashed", "seal_sha256": None}
    ]


def test_archive_and_restore(run: Path, capsys: Any) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert slice_main(["monday", "--from", "+20us", "--out", "a"]) == 0
    assert archive_main(["monday", "--level", "1"]) == 0
    assert not list(run.glob("capture/*.frames"))
    assert slice_main(["monday", "--from", "+20us", "--out", "b"]) == 0
    for name in ("capture/shard_00.frames", "runlog.ndjson", "source/shard_01.map"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert archive_main(["monday", "--restore"]) == 0
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    assert archive_main(["monday", "--level", "99"]) == 2
    (run / "seal.json").unlink()
    assert archive_main(["monday"]) == 3


def test_merging_what_does_not_fit(build: Callable[..., Path], run: Path, capsys: Any) -> None:
    assert slice_main(["monday", "--shard", "0", "--out", "left"]) == 0
    assert slice_main(["monday", "--shard", "1", "--from", "+20us", "--out", "late"]) == 0
    for words, message in (
        (["left"], "at least two"),
        (["left", "late"], "window and tokens are the same"),
        (["left", "left2"], "one is in two of them"),
        (["left", "monday"], "only with slices of the same run"),
    ):
        if words == ["left", "left2"]:
            assert slice_main(["monday", "--shard", "0", "--out", "left2"]) == 0
        assert merge_main([*words, "--out", "m"]) == 2
        assert message in capsys.readouterr().err
    assert merge_main(["left", "late"]) == 2
    assert "--list" in capsys.readouterr().err


def test_captures_of_one_boot_and_of_two(
    build: Callable[..., Path], run: Path, capsys: Any
) -> None:
    other = build(Path("data/runs/tuesday"), seed=6, run_id="tuesday")
    for path, start, pinned in ((run, 7, ["a", "b"]), (other, 5, ["b", "c"])):
        facts = json.loads((path / "manifest.json").read_bytes())
        facts |= {"t0_mono_ns": start, "t0_wall_ns_utc": start + 100, "pinned_tokens": pinned}
        facts["shard_range"] = {"start": 0, "stop": 2, "count": 4}
        (path / "manifest.json").write_text(json.dumps(facts))
    assert merge_main(["monday", "tuesday", "--out", "both"]) == 3  # the same tokens twice
    assert "8 tokens are in several parts" in capsys.readouterr().err
    both = open_bundle("both")
    assert [shard.shard_id for shard in both.shards()] == [0, 1, 2, 3]
    # Since the first of them began, and with the tokens of all.
    assert (both.manifest["t0_mono_ns"], both.manifest["t0_wall_ns_utc"]) == (5, 105)
    assert both.manifest["pinned_tokens"] == ["a", "b", "c"]
    assert both.manifest["shards"]["count"] == len(both.manifest["shards"]["assignments"]) == 4
    assert both.manifest["shard_range"] is None
    for shard, source in zip(
        both.shards(), [*open_bundle(run).shards(), *open_bundle(other).shards()], strict=True
    ):
        assert shard.frames_path.read_bytes() == source.frames_path.read_bytes()
        assert shard.idx_path.read_bytes() == source.idx_path.read_bytes()
    records = [json.loads(line) for line in Path("both/runlog.ndjson").read_bytes().splitlines()]
    assert {record["run_id"] for record in records} == {"both"} == {both.run_id}
    assert [r["ts_mono_ns"] for r in records] == sorted(r["ts_mono_ns"] for r in records)
    assert {r["shard_id"] for r in records if r["part"] == 1 and "shard_id" in r} == {2, 3}
    stops = [r for r in records if r["record_type"] in ("part_stop", "capture_stop")]
    assert [r["record_type"] for r in stops] == ["part_stop", "capture_stop"]
    assert stops[1]["frames_total"] == both.seal["frames_total"] == sum(map(len, both.shards()))  # type: ignore[index]
    assert json.loads(Path("both/merge.json").read_bytes())["parts"][1]["shards"] == {
        "0": 2,
        "1": 3,
    }

    manifest = json.loads((other / "manifest.json").read_bytes())
    (other / "manifest.json").write_text(json.dumps(manifest | {"boot_id": "later"}))
    assert merge_main(["monday", "tuesday", "--out", "never"]) == 2
    assert "several boots" in capsys.readouterr().err
    assert merge_main(["monday", "tuesday", "--list"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(listed) == both.seal["frames_total"]  # type: ignore[index]
    walls = [one["rx_wall_ns_utc"] for one in listed]
    assert walls == sorted(walls)
    assert {one["boot_id"] for one in listed} == {"boot", "later"}


def test_runs_that_are_judged_by_different_rules_are_not_merged(
    build: Callable[..., Path], run: Path, capsys: Any
) -> None:
    """A runlog of the predecessors names no tokens; beside one that does, none of its books would be believed."""
    other = build(Path("data/runs/tuesday"), seed=6, run_id="tuesday")
    lines = (other / "runlog.ndjson").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("boot_id", None)
        record.pop("token_ids", None)
    (other / "runlog.ndjson").write_text("".join(json.dumps(one) + "\n" for one in records))
    assert merge_main(["monday", "tuesday", "--out", "never"]) == 2
    assert "name the subscribed tokens" in capsys.readouterr().err
    assert not Path("never").exists()


@pytest.mark.parametrize("program", Mains)
def test_help_and_version(program: str) -> None:
    path = Path(sys.executable).with_name(program)
    for word in ("--help", "--version"):
        done = subprocess.run([path, word], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(program if word == "--version" else f"usage: {program}")


def test_what_is_odd_in_runlog_and_manifest_does_not_stop_a_cut(run: Path, capsys: Any) -> None:
    """It is left out and told; what can be read is cut."""
    evil: list[dict[str, Any]] = [
        {"record_type": ["disconnect"], "ts_mono_ns": 1_000_001},
        {
            "record_type": "subscribe_attempt",
            "ts_mono_ns": 1_000_002,
            "shard_id": 0,
            "token_ids": [[1]],
        },
        {
            "record_type": "subscribe_attempt",
            "ts_mono_ns": 1_000_003,
            "shard_id": 0,
            "token_ids": 7,
        },
    ]
    with open(run / "runlog.ndjson", "ab") as file:
        file.writelines(json.dumps(one).encode() + b"\n" for one in evil)
    manifest = json.loads((run / "manifest.json").read_bytes())
    manifest["shards"] = {"assignments": {"x": 1, "0": None, "1": {"token_ids": 7}}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert slice_main(["monday", "--start-mono-ns", "1020000", "--out", "part"]) == 3
    assert "runlog_line" in capsys.readouterr().err
    assert len(stamps(open_bundle("part"))) > 10
    (run / "runlog.ndjson").unlink()
    (run / "runlog.ndjson").mkdir()
    assert slice_main(["monday", "--start-mono-ns", "1020000", "--out", "again"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_an_output_that_cannot_be_written_is_code_5(run: Path) -> None:
    for command in (["pm_slice", "monday", "--start-mono-ns", "1020000"],):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=full,
                stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 5, (command, done.stderr)
        assert "cannot write the output: No space left" in done.stderr
        assert "Exception ignored" not in done.stderr
