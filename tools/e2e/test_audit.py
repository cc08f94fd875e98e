"""A real capture of a venue with faults, and what pm-audit says about it: gates, ledger, suspected freezes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

S = 10**9


@pytest.fixture
def audit(program: Callable[[str], str]) -> Callable[..., tuple[int, list[dict]]]:
    """Run pm-audit; its exit code and its lines of JSON."""

    def run(*arguments: object) -> tuple[int, list[dict]]:
        done = subprocess.run(
            [program("pm-audit"), *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr.decode()
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_what_happened_is_what_the_audit_says(
    faulty_day: tuple[Path, Path], audit: Callable, tmp_path: Path
) -> None:
    run_dir, sent = faulty_day
    numbers = {
        line["remote"]: line["connection"]
        for line in map(json.loads, (sent / "connections.ndjson").read_text().splitlines())
    }
    runlog = list(map(json.loads, (run_dir / "runlog.ndjson").read_text().splitlines()))
    opened = {
        numbers[line["local_address"]]: line
        for line in runlog
        if line["record_type"] == "ws_connect"
    }

    # The gates: the fault is the only reason, and pm-verify was run.
    code, (told,) = audit(run_dir, "--no-latency-gates")  # this machine may be slow
    assert (code, told["ok"]) == (3, False)
    assert {one["gate"] for one in told["reasons"]} == {"reconnects"}
    assert told["gates"]["crc"]["crc_mismatch"] == 0
    assert told["gates"]["reconnects"]["midrun_incidents"] == 1

    # The ledger: the fault hit the tokens of the second connection, and no others.
    code, lines = audit("ledger", run_dir)
    assert code == 0
    summary = lines[-1]
    intervals = [line for line in lines if line["record_type"] == "interval"]
    assert sum(line["length_ns"] for line in intervals) == summary["total_ns"]
    (lost,) = [
        line for line in runlog if line["record_type"] == "disconnect" and not line["planned"]
    ]
    assert lost["shard_id"] == opened[2]["shard_id"]
    faulty = [line for line in intervals if line["loss"] == "fault"]
    assert {line["shard_id"] for line in faulty} == {lost["shard_id"]}
    assert {line["start_mono_ns"] for line in faulty if line["state"] == "RECONNECTING"} == {
        lost["since_mono_ns"]
    }
    pointer = faulty[0]["begun_by"]
    assert runlog[pointer["ordinal"]] == lost

    # The freeze: the tokens of the third connection, when it was planted, to within half a second.
    code, (mask,) = audit("freezes", run_dir, "--out", tmp_path / "mask.json")
    assert code == 3
    frozen = opened[3]
    assert {one["shard_id"] for one in mask["intervals"]} == {frozen["shard_id"]}
    assert {one["reason"] for one in mask["intervals"]} == {"shard_silent"}
    start = frozen["ts_mono_ns"] + 3 * S // 2
    for one in mask["intervals"]:
        assert abs(one["from_mono_ns"] - start) < S // 2
        assert one["to_mono_ns"] >= start + 2 * S
    assert json.loads((tmp_path / "mask.json").read_bytes()) == mask

    # A market by its name: its gaps in wall time.
    universe = json.loads((run_dir / "universe" / "000000.json").read_bytes())
    slug = universe["markets"][0]["slug"]
    code, lines = audit("ledger", run_dir, "--market", slug, "--from", "+1s", "--to", "+3s")
    tokens = {one["token_id"] for one in universe["markets"][0]["tokens"]}
    assert {line["token_id"] for line in lines if line["record_type"] == "token"} == tokens
    assert lines[-1]["total_ns"] == 2 * 2 * S
