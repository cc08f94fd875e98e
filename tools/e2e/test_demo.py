"""The README's first command, as a newcomer runs it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ends_with_a_verified_bundle() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "demo.py"), "--seconds", "10"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "What to type next" in done.stdout
    assert '"ok": true' in done.stdout
    totals = json.loads(done.stdout.split('"totals": ')[1].split("}")[0] + "}")
    assert totals["records"] > 1000
    assert totals["crc_mismatch"] == 0
    for name in ("pm-audit", "pm-latency-report", "pm-inspect", "pm-slice", "pm-replay"):
        assert f"$ {name} " in done.stdout, name
    assert "NOT credible" in done.stdout  # the venue has dropped a connection
    assert "fault" in done.stdout
