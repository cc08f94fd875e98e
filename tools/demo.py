"""A loopback venue, a capture of it, and every tool on the bundle that it leaves.

Run by `python3 tools/dev.py demo`. Everything happens on this machine; nothing is installed outside
`.venv`, nothing is fetched while it runs, and the only files written are in the folder it names.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import witness

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FAULTS = """\
# The venue drops the second connection after six seconds, as the real one does now and then.
[[fault]]
kind = "close"
code = 1006
at = 6.0
connection = 2
"""


def tell(text: str = "") -> None:
    print(text, flush=True)


def step(number: int, words: str, command: list[str]) -> None:
    tell(f"\n{number}. {words}")
    shown = [
        os.path.relpath(word, ROOT) if word.startswith(str(ROOT)) else word for word in command
    ]
    tell(f"   $ {' '.join(shown)}")


def program(name: str) -> str:
    suffix = ".exe" if os.name == "nt" else ""
    return str(BIN / f"{name}{suffix}")


@contextlib.contextmanager
def venue(*arguments: str) -> Iterator[dict]:
    """Run pm-mock for the length of the block; yields the URLs that it prints when it is ready."""
    process = subprocess.Popen(
        [program("pm-mock"), "serve", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("demo: the venue did not start; its message is above")
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
        process.communicate(timeout=30)


def run(command: list[str], accepted: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    if done.returncode not in accepted:
        tell(done.stdout)
        raise SystemExit(f"demo: {Path(command[0]).name} ended with exit code {done.returncode}")
    return done.stdout


def told(command: list[str], accepted: tuple[int, ...] = (0,)) -> list[dict]:
    """Run one of the programs and return its lines of JSON."""
    return [
        json.loads(line) for line in run([program(command[0]), *command[1:]], accepted).splitlines()
    ]


def the_next_morning(run_dir: str, home: Path) -> None:
    """Every tool on the bundle, each with a line of what it says."""
    step(
        6,
        "Is the capture credible? A lost connection is a reason to say no.",
        ["pm-audit", run_dir],
    )
    (audit,) = told(["pm-audit", run_dir], (0, 3))
    for name, gate in audit["gates"].items():
        tell(f"   | {name:<12}{gate['status']}")
    tell(indent("\n".join([audit["verdict"], *(one["message"] for one in audit["reasons"])])))

    entries = told(["pm-audit", "ledger", run_dir])
    lost = {one["token_id"] for one in entries if one.get("loss") == "fault"}
    universe = json.loads((Path(run_dir) / "universe" / "000000.json").read_bytes())
    market = next(
        (
            one
            for one in universe["markets"]
            if lost & {token["token_id"] for token in one["tokens"]}
        ),
        universe["markets"][0],
    )
    command = ["pm-audit", "ledger", run_dir, "--market", market["slug"]]
    step(
        7, "When could the books of one market not be trusted, and why? To the nanosecond.", command
    )
    for one in told(command):
        if one["record_type"] == "interval" and one["loss"] != "none":
            tell(
                f"   | token …{one['token_id'][-6:]}  {one['length_ns'] / 1e6:10,.3f} ms  {one['loss']:<11}"
                f"{one['cause']}, {one['begun_by']['source']} {one['begun_by']['ordinal']}"
            )
    summary = entries[-1]
    live = summary["by_state_ns"].get("LIVE", 0) / summary["total_ns"]
    tell(
        f"   | all {summary['tokens']} tokens: live {live:.3%} of the time, and every other ns has a cause"
    )

    page = home / "report.html"
    command = ["pm-latency-report", run_dir, "--html", str(page)]
    step(
        8, "How late was the recorder? Also as one page with charts that needs no network.", command
    )
    (latency,) = told(command, (0, 3))
    ingest = latency["run_percentiles_ms"]["ingest_ms"]
    tell(
        indent(
            f"socket to disk: p50 {ingest['p50']:.3f} ms, p99 {ingest['p99']:.3f} ms, of {ingest['count']:,} reads"
        )
    )
    tell(indent(f"open {os.path.relpath(page, ROOT)} in a browser"))

    step(9, "What is in it, without decoding anything?", ["pm-inspect", run_dir])
    (inspected,) = told(["pm-inspect", run_dir])
    for name, shard in inspected["shards"]["by_shard"].items():
        tell(f"   | shard {name}: {shard['records']:6,} frames, {shard['frames_bytes']:10,} bytes")

    part = home / "part"
    command = ["pm-slice", run_dir, "--from", "+5s", "--to", "+9s", "--out", str(part)]
    step(10, "Cut four seconds out of it, as a bundle that starts with whole books.", command)
    run([program("pm-slice"), *command[1:]])
    (cut,) = told(["pm-inspect", str(part)])
    lead_in = sum(one["lead_in_frames"] for one in cut["slice"]["shards"].values())
    tell(
        indent(
            f"{cut['shards']['records']:,} frames, {lead_in:,} of them only to know the books at its start"
        )
    )

    window = ["--from", "+5s", "--to", "+9s"]
    step(11, "Replay those seconds as events, from the run and from the slice: the same tops of book.",
         ["pm-replay", str(part)])  # fmt: skip
    (whole,), (sliced,) = told(["pm-replay", run_dir, *window]), told(["pm-replay", str(part)])
    for name, replay in (("run", whole), ("slice", sliced)):
        counts = ", ".join(f"{kind} {n}" for kind, n in replay["kinds"].items() if n)
        tell(f"   | {name:<6}{replay['canonical_events']:,} events: {counts}")
    if whole["kinds"] != sliced["kinds"]:
        raise SystemExit("demo: the slice does not replay as the run does")


def indent(text: str) -> str:
    return textwrap.indent(text.rstrip(), "   | ")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/dev.py demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="length of the capture")
    parser.add_argument("--seed", type=int, default=7, help="seed of the generated market")
    options = parser.parse_args()
    started = time.monotonic()
    home = ROOT / "data" / "demo" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    home.mkdir(parents=True)
    sent_log = home / "venue-log"
    faults = home / "faults.toml"
    faults.write_text(FAULTS, encoding="utf-8")
    where = os.path.relpath(home, ROOT)

    tell("pm tools: record a prediction market's order books, and trust what was recorded")
    tell(f"Everything below runs on this machine and writes only to {where}.")

    mock = ["--seed", str(options.seed), "--markets", "24", "--rate", "600"]
    mock += ["--faults", str(faults), "--sent-log", str(sent_log)]
    step(
        1,
        "Start a venue on loopback that speaks Polymarket's protocol.",
        ["pm-mock", "serve", *mock],
    )
    with venue(*mock) as urls:
        tell(indent(json.dumps(urls)))

        gamma = ["--gamma-base-url", urls["gamma_base_url"]]
        step(2, "See which markets it lists.", ["pm-universe", "discover", *gamma])
        listed = run([program("pm-universe"), "discover", *gamma]).splitlines()
        tell(indent("\n".join([*listed[:4], f"… {len(listed)} lines"])))

        capture = ["--run-id", "first-light", "--data-dir", str(home), *gamma]
        capture += ["--min-free-disk-gb", "0.1"]  # a demo leaves a few megabytes
        capture += ["--clob-ws-url", urls["ws_url"], "--ws-shards", "4"]
        capture += ["--duration-seconds", str(options.seconds)]
        step(
            3,
            "Record every frame for a while; the venue drops one connection on the way.",
            ["pm-capture", *capture],
        )
        run_dir = run([program("pm-capture"), *capture]).strip()
    tell(indent(f"left {os.path.relpath(run_dir, ROOT)}"))

    step(4, "Is every byte what was written?", ["pm-verify", run_dir])
    report = json.loads(run([program("pm-verify"), run_dir, "--json"]))
    totals = report["totals"]
    tell(indent(json.dumps({"ok": report["ok"], "totals": totals})))

    step(
        5,
        "Ask a witness outside: does the bundle hold what the venue says it sent?",
        ["python", "tools/witness.py", run_dir, str(sent_log)],
    )
    verdicts = witness.judge(Path(run_dir), sent_log)
    tell(indent("\n".join(map(witness.describe, verdicts))))
    unexplained = sum(verdict.missing_outside_gap for verdict in verdicts)
    same = all(verdict.first_difference is None for verdict in verdicts)

    tell(
        f"\n{totals['records']:,} frames on {len(verdicts)} connections, {time.monotonic() - started:.0f} s."
    )
    if not (report["ok"] and same and unexplained == 0):
        tell(
            "Something is wrong: the bundle and the venue's log disagree. Please report it with the folder above."
        )
        return 3
    for verdict in verdicts:
        gap = verdict.gap_to_wall_ns - verdict.gap_from_wall_ns
        if not verdict.connection.ended_planned:
            tell(
                f"Shard {verdict.connection.shard_id} heard nothing for {gap / 1e6:,.0f} ms when the venue dropped its "
                f"connection; {verdict.missing:,} frames were lost on the way."
            )
    tell(
        "What happened there meanwhile cannot be had again; the bundle says when it was and for which tokens"
    )
    tell(
        "(`disconnect`, `subscribe_attempt` in runlog.ndjson). What arrived is there, byte for byte."
    )
    the_next_morning(run_dir, home)
    tell(f"\nAll of it took {time.monotonic() - started:.0f} s.")
    relative = os.path.relpath(run_dir, ROOT)
    activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
    tell("\nWhat to type next:")
    tell(f"  {activate:<58} # the commands on your path")
    tell(f"  {'pm-audit ' + relative:<58} # the same as readable pages; so do the others")
    tell(f"  {'pm-capture --help':<58} # record the real venue: only the two URLs change")
    tell(f"  {'python3 tools/dev.py test':<58} # every test of this repository")
    tell("  read packages/pm-frames/README.md to open the bundle from your own code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
