"""Both transports on the same venue with the same faults: what the venue logged is what each recorded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import witness

SECONDS = 4
FAULTS = """
[[fault]]
kind = "close"
code = 1011
at = 1.0
since = "open"
connection = 2

[[fault]]
kind = "garbage"
at = 1.5
since = "open"
connection = 3
"""


def test_one_venue_two_transports(
    venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    pytest.importorskip("picows", reason="the extra `picows` of pm-capture is not installed")
    (tmp_path / "faults.toml").write_text(FAULTS, encoding="utf-8")
    ends = {}
    for transport in ("websockets", "picows"):
        sent_log = tmp_path / f"sent-{transport}"
        served = venue(
            "--seed", "5", "--markets", "40", "--rate", "3000", "--lifecycle-seconds", "0",
            "--faults", str(tmp_path / "faults.toml"), "--sent-log", str(sent_log),
        )  # fmt: skip
        capturing = capture(
            served, transport, "--ws-shards", "4", "--ws-transport", transport,
            "--duration-seconds", str(SECONDS), "--ws-reconnect-backoff-seconds", "0.05",
        )  # fmt: skip
        assert capturing.wait(timeout=60) == 0
        served.stop()
        run_dir = tmp_path / "runs" / transport
        code, report = verify(run_dir)
        assert code == 0, report["findings"]
        verdicts = witness.judge(run_dir, sent_log)
        assert len(verdicts) == 5, "one connection was lost and opened again"
        assert all(verdict.first_difference is None for verdict in verdicts)
        assert all(verdict.missing_outside_gap == 0 for verdict in verdicts)
        manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["environment"]["transport"] == transport
        ends[transport] = sorted(
            (r["planned"], r["trigger"], r["close_code"], r["close_reason"], r["close_was_clean"])
            for line in (run_dir / "runlog.ndjson").read_bytes().splitlines()
            if (r := json.loads(line))["record_type"] == "disconnect"
        )
    assert ends["picows"] == ends["websockets"]
    assert len(ends["picows"]) == 5
