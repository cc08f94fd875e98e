"""Captures without a venue, judged by the other programs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from pm_universe.market import parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Wanted, select

FIXTURES = Path(__file__).resolve().parents[2] / "testdata" / "fixtures"


def output(*command: str, cwd: Path) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=True)
    return json.loads(done.stdout)


def test_pm_verify_passes_what_fixtures_leave(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    offline = ["--offline", "--fixtures-dir", str(FIXTURES), "--run-id"]
    subprocess.run(
        [program("pm-capture"), *offline, "dry", "--fixtures-multiplier", "20"],
        stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=120, check=True,
    )  # fmt: skip
    bench = [program("pm-capture"), "bench", *offline, "bench", "--multiplier", "200"]
    assert output(*bench, cwd=tmp_path)["frames"] == 2000
    for run_id, frames in (("dry", 200), ("bench", 2000)):
        verdict = output(program("pm-verify"), run_id, cwd=tmp_path)
        assert (verdict["ok"], verdict["findings"]) == (True, [])
        assert verdict["totals"]["records"] == frames


def test_the_universe_of_fixtures_is_what_pm_universe_makes_of_them(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    subprocess.run(
        [program("pm-capture"), "--offline", "--fixtures-dir", str(FIXTURES), "--run-id", "dry"],
        stdout=subprocess.DEVNULL, cwd=tmp_path, timeout=120, check=True,
    )  # fmt: skip
    written = json.loads((tmp_path / "data/runs/dry/universe/000000.json").read_bytes())
    listed = decode((FIXTURES / "gamma_markets.json").read_text(encoding="utf-8"))["markets"]
    wanted = Wanted(max_markets=2000)
    selected = select((parse(Entry(market, None)) for market in listed), wanted).selected
    assert written["markets"] == json.loads(msgspec.json.encode(selected))
