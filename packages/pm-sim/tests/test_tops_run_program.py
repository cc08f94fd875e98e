"""The program where it takes a stream for long enough for runs of tops: its line is the same with numpy and without."""

import subprocess
import sys
from pathlib import Path

import pytest
from streams import walk

PROGRAM = """
import sys
if sys.argv[1] == "without":
    sys.modules["numpy"] = None
import pm_sim.engine
from pm_sim.__main__ import main
pm_sim.engine.RUNS_FROM_EVENT = 1000  # a stream of half a million events takes too long here
code = main(sys.argv[2:])
print("pm_sim.tops_run" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("strategy", ["random_taker", "toy_spread", "spread_capture"])
def test_numpy_changes_nothing_but_the_time(tmp_path: Path, strategy: str) -> None:
    (tmp_path / "walk.pmev").write_bytes(walk(7, 10_000, depth=False))
    lines = {}
    for how in ("with", "without"):
        done = subprocess.run(
            [
                *(sys.executable, "-c", PROGRAM, how, str(tmp_path / "walk.pmev")),
                *("--strategy", strategy, "--print-hash", "--print-pnl", "--stable-json"),
                *("--fills-out", str(tmp_path / f"{how}.jsonl"), "--order-latency-ms", "50"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.splitlines()[-1] == str(how == "with")
        lines[how] = done.stdout, (tmp_path / f"{how}.jsonl").read_bytes()
    assert lines["with"] == lines["without"]
    assert '"ok": true' in lines["with"][0]
