"""The command: real processes, real files and pipes, exit codes and lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streams import SHARE, Stream, walk

from pm_frames.command import UsageError
from pm_frames.events import EndReason, RunState
from pm_sim.inputs import replay_program

FIRST_KEYS = [
    "ok", "mode", "execution", "canonical_events", "intents", "final_hash", "elapsed_ms",
    "submitted_intents", "pnl", "error",
]  # fmt: skip


def pm_sim(*arguments: str, data: bytes | None = None) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "pm_sim", *arguments],
        input=data or b"", capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    line = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, line, done.stderr.decode()


def test_a_file_and_a_pipe_give_the_same_line_twice(tmp_path: Path) -> None:
    path = tmp_path / "walk.pmev"
    path.write_bytes(walk(3, 150))
    flags = [
        "--strategy",
        "random_taker",
        "--print-pnl",
        "--stable-json",
        "--order-latency-ms",
        "2",
    ]
    lines = [pm_sim(str(path), *flags), pm_sim("-", *flags, data=path.read_bytes())]
    assert lines[0] == lines[1]
    code, line, words = lines[0]
    assert (code, line["ok"], words) == (0, True, "")
    assert list(line)[: len(FIRST_KEYS)] == FIRST_KEYS
    assert (line["elapsed_ms"], line["lens"], line["fills"] > 0) == (0, "worst", True)
    assert line["pnl"]["total_pnl_e6"] < 0
    total, days = line["pnl"]["total_pnl_e6"], line["pnl"]["capital_days_e6"]
    assert line["pnl"]["pnl_per_capital_day_e6"] == total * 1_000_000 // days
    assert line["pnl"]["clean_pnl_e6"] == line["pnl"]["total_pnl_e6"]
    assert list(line["lenses"]) == ["central", "worst"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
@pytest.mark.parametrize("steps", [20, 2000])  # fills that fit into a buffer, and more
def test_fills_that_cannot_be_written_are_named(tmp_path: Path, steps: int) -> None:
    path, out = tmp_path / "walk.pmev", tmp_path / "fills.jsonl"
    path.write_bytes(walk(3, steps))
    out.symlink_to("/dev/full")
    flags = ["--strategy", "random_taker", "--param", "one_in=1", "--order-latency-ms", "2"]
    code, line, words = pm_sim(str(path), *flags, "--fills-out", str(out), "--force")
    assert (code, line["ok"], line["exit_code"]) == (5, False, 5)
    assert line["error"] == f"{out}: cannot be written: No space left on device"
    assert words == f"pm-sim: {line['error']}\n"


def test_fills_are_written_and_nothing_is_written_over(tmp_path: Path) -> None:
    path, out = tmp_path / "walk.pmev", tmp_path / "fills.jsonl"
    path.write_bytes(walk(3, 150))
    flags = [str(path), "--strategy", "random_taker", "--fills-out", str(out)]
    _, line, _ = pm_sim(*flags)
    fills = [json.loads(text) for text in out.read_text().splitlines()]
    assert len(fills) == sum(lens["fills"] for lens in line["lenses"].values())
    assert fills[0]["order_id"].startswith("sim-0000")
    assert {"shard", "frame", "state", "book_age_ns", "token_id", "lens"} <= set(fills[0])
    fees = sum(fill["fee_e6"] for fill in fills if fill["lens"] == "worst")
    assert fees == line["lenses"]["worst"]["pnl"]["fees_paid_e6"]
    assert pm_sim(*flags)[0] == 2
    assert pm_sim(*flags, "--force")[0] == 0


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        (RunState.ENDED, EndReason.WHOLE, 0), (RunState.UNKNOWN, EndReason.WHOLE, 0),
        (RunState.RUNNING, EndReason.LIMIT, 0), (RunState.RUNNING, EndReason.WHOLE, 3),
        (RunState.CRASHED, EndReason.WHOLE, 3), (RunState.FATAL, EndReason.LIMIT, 3),
        (RunState.ENDED, EndReason.STOPPED, 3), (RunState.ENDED, EndReason.ERROR, 4),
    ],
)  # fmt: skip
def test_how_the_stream_ends_decides(
    state: RunState, reason: EndReason, code: int, capsysbinary: Any, tmp_path: Path
) -> None:
    from pm_sim.__main__ import main

    path = tmp_path / "e.pmev"
    path.write_bytes(Stream().market().book(0, {40: 5}, {50: 5}).end(state, reason))
    assert main([str(path)]) == code
    line = json.loads(capsysbinary.readouterr().out)
    assert (line["ok"], line["exit_code"], line["error"] is None) == (not code, code, not code)


def test_streams_that_are_not_whole_are_never_ok(tmp_path: Path) -> None:
    data = Stream().market().book(0, {40: 5}, {50: 5}).end()
    path = tmp_path / "e.pmev"
    for broken, wanted in (
        (data[:-64], 4),
        (data[:-1], 4),
        (data + b"x", 4),
        (b"", 2),
        (b"x" * 64, 4),
    ):
        path.write_bytes(broken)
        code, line, words = pm_sim(str(path))
        assert (code, line["ok"]) == (wanted, False)
        assert str(path) in words
    path.write_bytes(Stream().market().end())
    code, line, _ = pm_sim(str(path))
    assert (code, line["ok"], line["error"]) == (3, False, "the stream has no events")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--strategy", "nobody"], "toy_spread"),
        (["--max-events", "5"], "made already"),
        (["--mode", "live"], "--follow"),
        (["--cash", "x"], "--cash"),
        (["--order-latency-ms", "-5"], "latency"),
        (["--fee-bps", "10001"], "above 10000"),
        (["--slippage-bps", "10001"], "above 10000"),
        (["--merge-delay", "soon"], "--merge-delay is"),
        (["--param", "edge=1"], "but no strategy"),
    ],
)
def test_bad_usage_is_two_and_says_what(tmp_path: Path, flags: list[str], words: str) -> None:
    path = tmp_path / "e.pmev"
    path.write_bytes(Stream().market().book(0, {40: 5}, {50: 5}).end())
    code, line, told = pm_sim(str(path), *flags)
    assert (code, line) == (2, {})
    assert words in told


def test_a_strategy_that_raises_is_reported(tmp_path: Path) -> None:
    path, mine = tmp_path / "e.pmev", tmp_path / "mine.py"
    path.write_bytes(Stream().market().book(0, {40: 5}, {50: 5}).end())
    mine.write_text(
        "from pm_sim import Strategy\n"
        "class Mine(Strategy):\n"
        "    def on_top_of_book(self, ctx, event, market_state, portfolio):\n"
        "        event.bid_px_e6 = 1\n"
    )
    for policy, ok in (("disable", False), ("fatal", False), ("count", True)):
        code, line, _ = pm_sim(str(path), "--strategy", str(mine), "--on-strategy-error", policy)
        assert (code, line["ok"]) == ((0, True) if ok else (3, False))
        assert line["strategies"]["Mine"]["errors"] == 1
        assert "AttributeError" in line["strategies"]["Mine"]["first_error"]


def test_a_run_needs_its_sibling_and_says_which(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="pip install pm-replay"):
        replay_program()


def test_cash_is_what_is_given(tmp_path: Path) -> None:
    path = tmp_path / "e.pmev"
    path.write_bytes(Stream().market().book(0, {40: 5}, {50: 5}).end())
    _, line, _ = pm_sim(str(path), "--cash", "12.5", "--print-pnl")
    assert line["pnl"]["cash_e6"] == 12.5 * SHARE


BUYER = """
from pm_sim import Buy, Strategy, SzE6

class Buyer(Strategy):
    def on_top_of_book(self, ctx, event, market_state, portfolio):
        if event.seq in (1, 2) and event.token == 0:
            yield Buy(event.token, event.ask_px_e6, SzE6(10_000_000))
"""


def test_resolutions_and_masks_through_the_command(tmp_path: Path) -> None:
    path, mine = tmp_path / "e.pmev", tmp_path / "buyer.py"
    mine.write_text(BUYER)
    data = Stream().market().book(0, {40: 50}, {50: 50}).book(0, {40: 50}, {50: 50})
    path.write_bytes(data.end())
    ends, mask = tmp_path / "ends.json", tmp_path / "mask.json"
    tokens = [{"token_id": "t0", "payout": "1"}, {"token_id": "t1", "payout": "0"}]
    settled = {
        "status": "resolved", "basis": "prices", "closed_time": "2030-01-01 00:00:00+00",
        "tokens": tokens,
    }  # fmt: skip
    ends.write_text(json.dumps({"resolutions_version": 1, "markets": [settled]}))
    hidden = {"token_id": "t0", "from_mono_ns": data.now, "to_mono_ns": data.now + 1}
    mask.write_text(json.dumps({"format": "pm-mask-1", "run_id": "r", "intervals": [hidden]}))
    flags = [str(path), "--strategy", str(mine), "--order-latency-ms", "0", "--print-pnl"]
    plain = pm_sim(*flags)[1]
    assert (plain["fills"], plain["pnl"]["positions_e6"]) == (2, {"t0": 20 * SHARE})
    paid = pm_sim(*flags, "--resolutions", str(ends))[1]
    assert paid["pnl"]["realized_pnl_e6"] == 10 * SHARE
    assert paid["markets"]["resolved"] == 1
    # Its book said so, but only prices have told how it ended.
    uma = pm_sim(*flags, "--resolutions", str(ends), "--resolutions-uma-only")[1]
    assert uma["pnl"] == plain["pnl"]
    masked = pm_sim(*flags, "--mask", str(mask))[1]
    assert (masked["fills"], masked["rejects"]) == (1, {"masked": 1})
    assert masked["pnl"]["unmarked_positions"] == 1
    assert masked["final_hash"] == plain["final_hash"]
    assert len({one["result_id"] for one in (plain, paid, uma, masked)}) == 4
    tokens[1]["payout"] = "1"
    ends.write_text(json.dumps({"resolutions_version": 1, "markets": [settled]}))
    code, _, words = pm_sim(*flags, "--resolutions", str(ends))
    assert code == 2
    assert "not 1 in all" in words


def test_a_strategy_of_an_entry_point(tmp_path: Path, monkeypatch: Any) -> None:
    path, info = tmp_path / "e.pmev", tmp_path / "theirs-1.0.dist-info"
    path.write_bytes(Stream().market().book(0, {40: 50}, {50: 50}).end())
    (tmp_path / "theirs.py").write_text(BUYER)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pm_sim.strategies]\nbuyer = theirs:Buyer\nbroken = theirs:Nobody\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, line, _ = pm_sim(str(path), "--strategy", "buyer", "--order-latency-ms", "0")
    assert (code, line["fills"], list(line["strategies"])) == (0, 1, ["buyer"])
    source = line["settings"]["strategies"]["buyer"]["source"]
    assert source.startswith("theirs 1.0 theirs:Buyer ")
    # Another line of code, or another version, is another strategy; another end of line is none.
    results = [line["result_id"]]
    for name, text in (
        ("theirs.py", BUYER.replace("\n", "\r\n")),
        ("theirs.py", BUYER + "# changed\n"),
        (f"{info.name}/METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.1\n"),
    ):
        (tmp_path / name).write_bytes(text.encode())
        results.append(
            pm_sim(str(path), "--strategy", "buyer", "--order-latency-ms", "0")[1]["result_id"]
        )
    assert results[0] == results[1]
    assert len(set(results)) == 3
    code, _, words = pm_sim(str(path), "--strategy", "broken")
    assert code == 2
    assert "cannot be loaded" in words
