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


def indent(text: str) -> str:
    return textwrap.indent(text.rstrip(), "   | ")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/dev.py demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of the capture")
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
    relative = os.path.relpath(run_dir, ROOT)
    activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
    tell("\nWhat to type next:")
    tell(f"  {activate:<58} # the commands on your path")
    tell(f"  {'pm-verify ' + relative:<58} # the same check as a readable page")
    tell(f"  {'pm-capture --help':<58} # record the real venue: only the two URLs change")
    tell(f"  {'python3 tools/dev.py test':<58} # every test of this repository")
    tell("  read packages/pm-frames/README.md to open the bundle from your own code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
