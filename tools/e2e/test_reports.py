"""pm-inspect and pm-latency-report on a real capture, and the page in a real browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--v=0", "--hide-scrollbars", "--virtual-time-budget=4000",
]  # fmt: skip
# Run in a copy of the page: what was drawn, what was fetched, and what a zoom of one panel does to all.
PROBE = """<script>
const inked = canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  let ink = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3]) { ink++; colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]); }
  return { ink, colours: colours.size };
};
const answer = { title: document.title, wide: document.documentElement.scrollWidth, inner: innerWidth };
setTimeout(() => {
  answer.charts = Number(document.documentElement.dataset.charts);
  answer.panels = [...document.querySelectorAll("#panels .uplot canvas")].map(inked);
  answer.fetched = performance.getEntriesByType("resource").map(one => one.name);
  answer.before = document.getElementById("readout").textContent;
  document.querySelector("[data-act=in]").click();
}, 500);
setTimeout(() => {
  answer.after = document.getElementById("readout").textContent;
  answer.headings = [...document.querySelectorAll("#panels h3")].map(one => one.textContent);
  document.body.appendChild(Object.assign(document.createElement("pre"), { id: "probe", textContent: JSON.stringify(answer) }));
}, 1000);
</script>"""


def browse(page: Path, home: Path, *flags: str) -> tuple[str, str]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine: the page was not opened in a browser")
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={home}", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_draws_everything_and_fetches_nothing(width: int, tmp_path: Path) -> None:
    page = tmp_path / "probed.html"
    page.write_text(made_page(tmp_path).replace("</body>", PROBE + "</body>"), encoding="utf-8")
    dom, log = browse(page, tmp_path / "profile", f"--window-size={width},900", "--dump-dom")
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert found, log[-2000:]
    probe = json.loads(found[1].replace("&amp;", "&"))
    assert "CONSOLE" not in log
    assert probe["fetched"] == []
    assert (probe["charts"], len(probe["panels"])) == (8, 7)
    for panel, name in zip(probe["panels"], probe["headings"], strict=True):
        assert panel["ink"] > 500, name
        assert panel["colours"] > 3, name
    assert probe["headings"][0] == "Connections and gaps by shard"
    assert probe["before"] != probe["after"]
    assert probe["wide"] <= probe["inner"], "the page is wider than the window"


def made_page(tmp_path: Path) -> str:
    """A page of a run that is written by hand: 90 s, a fault, a planned change, a jump of the clock."""
    from pm_audit.gates import Profile
    from pm_audit.latency.chart_data import chart_data
    from pm_audit.latency.html_page import html_page
    from pm_audit.latency.latency_report import latency_report
    from pm_audit.latency.run_readings import read_run
    from pm_frames.bundle import open_bundle

    run_dir, t0, wall, second = tmp_path / "run", 5 * 10**9, 1_790_000_000 * 10**9, 10**9
    (run_dir / "capture").mkdir(parents=True)
    (run_dir / "metrics").mkdir()
    for shard in (0, 1):
        (run_dir / "capture" / f"shard_{shard:02d}.frames").touch()
        (run_dir / "capture" / f"shard_{shard:02d}.idx").touch()
    manifest = {"manifest_version": 1, "run_id": "page", "t0_mono_ns": t0, "t0_wall_ns_utc": wall}
    (run_dir / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    families = ("ws_rx_to_parsed_ms", "ws_rx_to_applied_ms")
    metrics = [
        {
            "hb_mono_ns": t0 + n * second, "hb_wall_ns_utc": wall + n * second, "elapsed_ns": second,
            "msgs_per_sec": 800 + n, "bytes_per_sec": 90_000 + n, "coverage_pct": min(100, n),
            "loop_lag_ms_max_last_interval": 1 + n % 9, "gc_pauses_ns_max": 10**5 * n,
            "dropped_messages_count": 0, "dropped_messages_total": 0,
            **{f"{f}_{end}": (i + 1) / 10 for f in families for i, end in enumerate(("p50", "p95", "p99", "max"))},
            **{f"{f}_count": 9 for f in families},
            **{f"{q}_depth_{end}": 0 for q in ("ws_in_q", "parse_q", "write_q") for end in ("p95", "max")},
        }
        for n in range(1, 91)
    ]  # fmt: skip
    lines = "".join(json.dumps(one) + "\n" for one in metrics)
    (run_dir / "metrics" / "global.ndjson").write_text(lines, encoding="utf-8")

    def record(kind: str, at: float, **fields: object) -> dict:
        return {"record_type": kind, "ts_mono_ns": t0 + int(at * second), **fields}

    def since(at: int) -> int:
        return t0 + at * second

    runlog = [
        record("ws_connect", 1, shard_id=0, connection=1), record("ws_connect", 2, shard_id=1, connection=1),
        record("disconnect", 20, shard_id=0, since_mono_ns=since(18), planned=False, trigger="peer_closed"),
        record("ws_connect", 30, shard_id=0, connection=2), record("clock_step", 40, step_ns=-90_000_000),
        record("universe_refresh", 50, reason="APPLIED", duration_ms=700),
        record("disconnect", 51, shard_id=1, since_mono_ns=since(51), planned=True, trigger="universe_refresh"),
        record("ws_connect", 55, shard_id=1, connection=2),
        record("capture_stop", 90, reason="sigint"),
    ]  # fmt: skip
    text = "".join(json.dumps(one) + "\n" for one in runlog)
    (run_dir / "runlog.ndjson").write_text(text, encoding="utf-8")
    readings = read_run(open_bundle(run_dir))
    report = latency_report(readings, run_dir, Profile.STRICT)
    return html_page(report, chart_data(readings))


def test_a_real_capture(
    faulty_day: tuple[Path, Path], program: Callable, verify: Callable, tmp_path: Path
) -> None:
    run_dir = tmp_path / "runs" / "day"
    shutil.copytree(faulty_day[0], run_dir)  # the reports go into it

    def run(name: str, *arguments: object, accepted: tuple[int, ...] = (0,)) -> bytes:
        done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode in accepted, done.stderr.decode()
        return done.stdout

    code, verified = verify(run_dir)
    assert code == 0
    total = verified["totals"]["records"]
    summary = json.loads(run("pm-inspect", run_dir))
    assert summary["shards"]["records"] == total
    assert summary["problems"] == []
    assert sum(summary["runlog"]["disconnects_by_fault"].values()) == 1
    (row,) = map(json.loads, run("pm-inspect", "ls", "--data-dir", tmp_path).splitlines())
    assert (row["state"], row["frames"], row["gaps"]) == ("ended", total, 1)
    frames = run("pm-inspect", "cat", run_dir).splitlines()
    assert len(frames) == total
    stamps = [json.loads(line)["rx_mono_ns"] for line in frames]
    assert stamps == sorted(stamps)
    assert run("pm-inspect", "tail", "-n", "3", run_dir).splitlines() == frames[-3:]

    page = tmp_path / "page.html"
    report = json.loads(run("pm-latency-report", run_dir, "--html", page, accepted=(3,)))
    assert (report["reconnects"]["total"], report["disconnected"]["midrun"]["incidents"]) == (1, 1)
    assert report["drops"]["dropped_messages_total"] == 0
    assert report["run_percentiles_ms"]["ingest_ms"]["count"] > 500
    per_shard = report["run_percentiles_ms"]["per_shard"].values()
    assert sum(one["ingest_ms"]["count"] for one in per_shard) == report["run_percentiles_ms"]["ingest_ms"]["count"]  # fmt: skip
    assert report["totals"]["frames"] == total
    assert verify(run_dir)[0] == 0, "the report must not break the seal"
    shown = json.loads(re.search(r'id="report-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)[1])  # fmt: skip
    assert shown == report
    assert page.stat().st_size < 2_000_000
