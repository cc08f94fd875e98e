"""`pm-verify --live` beside a real capture at full speed: never a false alarm; then a kill, and its repair.

`PM_TEST_LIVE_SECONDS` sets the length (6 when it is not set; reliability.md asks for 600).
"""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

SECONDS = float(os.environ.get("PM_TEST_LIVE_SECONDS", "6"))


def test_a_capture_at_full_speed_and_what_a_kill_leaves(
    venue: Callable, capture: Callable, verify: Callable, program: Callable, tmp_path: Path
) -> None:
    served = venue("--seed", "5", "--markets", "80", "--rate", "0")
    capturing = capture(served, "live", "--ws-shards", "4")
    assert capturing.stdout is not None
    run_dir = Path(capturing.stdout.readline().strip())
    killing = threading.Timer(SECONDS, capturing.kill)
    killing.start()
    looked = subprocess.run(
        [program("pm-verify"), "--live", "--for", f"{SECONDS / 2:.3f}s", str(run_dir)],
        capture_output=True, timeout=SECONDS + 60, check=False,
    )  # fmt: skip
    assert looked.returncode == 0, looked.stdout
    sofar = json.loads(looked.stdout)
    assert sofar["findings"] == []
    assert sofar["totals"]["records"] > 0

    # And through the kill: what it leaves is judged like any crashed run.
    followed = subprocess.run(
        [program("pm-verify"), "--live", str(run_dir)], capture_output=True, timeout=SECONDS + 120, check=False
    )  # fmt: skip
    capturing.wait(timeout=60)
    report = json.loads(followed.stdout)
    assert followed.returncode == 3, report["findings"]
    assert report["state"] == "crashed"
    assert report["totals"]["records"] >= sofar["totals"]["records"]
    print(
        f"{sofar['totals']['records']:,} frames judged live, {report['totals']['records']:,} at the kill"
    )

    out = tmp_path / "repaired"
    repaired = subprocess.run(
        [program("pm-verify"), "--repair", str(out), str(run_dir)],
        capture_output=True, timeout=SECONDS + 120, check=False,
    )  # fmt: skip
    assert repaired.returncode in (0, 3), repaired.stderr
    code, after = verify(out)
    assert code == 0, after["findings"]
    assert after["totals"]["records"] == report["totals"]["records"]
