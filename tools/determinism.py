"""Equal bytes whatever the surroundings: replay and simulate one bundle again and again, and compare what comes out.

    python tools/determinism.py                  the bundle that this file makes; its digests are committed
    python tools/determinism.py RUN              a bundle of your own
    python tools/determinism.py --python EXE     the same with another interpreter that has the packages
    python tools/determinism.py --quick          three variants instead of all
    python tools/determinism.py --write          state anew what the committed digests are

Each variant is a process with another hash seed, locale, time zone or read size. Compared are every byte that
is written and the summary line (`--stable-json`). Exit code 1 says which variant differs in what.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "testdata" / "determinism.json"
VARIANTS: Mapping[str, tuple[dict[str, str], int]] = {  # environment, bytes read at once
    "plain": ({}, 1 << 18),
    "hash seed 0": ({"PYTHONHASHSEED": "0"}, 1 << 18),
    "hash seed 4242": ({"PYTHONHASHSEED": "4242", "PYTHONUTF8": "0"}, 1 << 18),
    "Turkish, Kathmandu": ({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}, 1 << 18),
    "C, Chatham": ({"LC_ALL": "C", "TZ": "Pacific/Chatham", "PYTHONOPTIMIZE": "2"}, 1 << 18),
    "small reads": ({}, 700),
    "odd reads": ({"PYTHONHASHSEED": "1"}, 65_537),
    "large reads": ({}, 1 << 24),
}  # fmt: skip
SIM_FLAGS = (
    "--strategy", "toy_spread", "--param", "toy_spread.min_spread_e6=0.01",
    "--strategy", "random_taker", "--strategy", "dutch_book", "--strategy", "spread_capture",
    "--queue", "conservative", "--order-latency-ms", "20", "--cash", "100000", "--print-pnl",
    "--print-callback-stats", "--stable-json",
)  # fmt: skip
QUICK = ("hash seed 4242", "C, Chatham", "small reads")


def replay(run: Path, folder: Path) -> dict[str, bytes]:
    """Return what pm-replay writes: packed events, the lines of them with depth, verdicts and summaries."""
    from contextlib import redirect_stdout
    from io import StringIO

    from pm_replay.__main__ import main as pm_replay

    told: dict[str, bytes] = {}
    ways = {
        "pmev": ["--oracles", "all"],
        "jsonl": ["--format", "jsonl", "--depth", "--verdicts", str(folder / "verdicts")],
    }
    for name, options in ways.items():
        summary = StringIO()
        with redirect_stdout(summary):
            code = pm_replay(
                [str(run), "--events-out", str(folder / name), "--stable-json", *options]
            )
        told[f"pm-replay {name}"] = (folder / name).read_bytes()
        told[f"pm-replay {name} summary"] = f"{code} {summary.getvalue()}".encode()
    told["pm-replay verdicts"] = (folder / "verdicts").read_bytes()
    return told


def simulate(run: Path, folder: Path) -> dict[str, bytes]:
    """Return the line of pm-sim and its fills. SystemExit if a file, a pipe and the run give different lines."""
    from contextlib import redirect_stdout
    from io import StringIO

    from pm_replay.__main__ import main as pm_replay
    from pm_sim.__main__ import main as pm_sim

    events, fills, line = folder / "all.pmev", folder / "fills.jsonl", StringIO()
    with redirect_stdout(StringIO()):
        pm_replay([str(run), "--depth", "--events-out", str(events), "--stable-json"])
    with redirect_stdout(line):
        code = pm_sim([str(events), *SIM_FLAGS, "--fills-out", str(fills)])
    of_file = f"{code} {line.getvalue()}"
    ways = {"of the run": simulated_run(run), "through a pipe": simulated_pipe(run)}
    for name, told in ways.items():
        if told != of_file:
            raise SystemExit(f"pm-sim {name} tells {told!r}\nof the file of its events {of_file!r}")
    # The result id names the sources, so that every edit changes it; it was compared above.
    facts = json.loads(line.getvalue())
    facts.pop("result_id", None)
    return {"pm-sim": f"{code} {json.dumps(facts)}".encode(), "pm-sim fills": fills.read_bytes()}


def simulated_run(run: Path, flags: Iterable[str] = SIM_FLAGS) -> str:
    """Return exit code and line of `pm-sim RUN`, which starts pm-replay."""
    return _told([sys.executable, "-m", "pm_sim", str(run), *flags])


def simulated_pipe(run: Path, flags: Iterable[str] = SIM_FLAGS) -> str:
    """Return exit code and line of `pm-replay RUN --depth --events-out - | pm-sim -`."""
    replaying = [sys.executable, "-m", "pm_replay", str(run), "--depth", "--events-out", "-"]
    with subprocess.Popen(replaying, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        return _told([sys.executable, "-m", "pm_sim", "-", *flags], process.stdout)


def _told(command: list[str], stdin: object = None) -> str:
    done = subprocess.run(command, stdin=stdin, capture_output=True, check=False)  # type: ignore[call-overload]
    return f"{done.returncode} {done.stdout.decode()}"


# Another program that makes events or results from a bundle is one more step here.
STEPS: tuple[Callable[[Path, Path], dict[str, bytes]], ...] = (replay, simulate)


def digests(run: Path, read_bytes: int) -> dict[str, str]:
    """Return the SHA-256 of everything that the steps write, in this process."""
    import pm_frames.shard
    import pm_frames.window

    pm_frames.shard.BLOCK_BYTES = read_bytes
    pm_frames.window.Window.__init__.__kwdefaults__["span"] = read_bytes
    found: dict[str, str] = {}
    for step in STEPS:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in step(run, Path(folder)).items():
                found[name] = hashlib.sha256(data).hexdigest()
    return found


def variant(python: str, run: Path, name: str) -> dict[str, str]:
    environment, read_bytes = VARIANTS[name]
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("LC_", "PYTHON"))
    }
    kept |= {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    command = [python, str(Path(__file__).resolve()), "--one", str(read_bytes), str(run)]
    done = subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"determinism: {python}, {name}: {done.stderr}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def make_bundle(path: Path) -> None:
    """Write the bundle whose digests are committed: the bench's frames, and every fixture of the venue."""
    sys.path.insert(0, str(ROOT / "tools" / "bench"))
    from replay_bundle import T0_NS, WALL_NS, write_bundle

    from pm_frames import ShardWriter
    from pm_frames.peek import peek

    payloads = []
    for fixture in sorted((ROOT / "testdata" / "fixtures").glob("ws_*.json")):
        for message in json.loads(fixture.read_text(encoding="utf-8")):
            text = message if isinstance(message, str) else json.dumps(message)
            payloads.append(text.encode())
    tokens = sorted({token for payload in payloads for token in peek(payload).token_ids})
    write_bundle(path, frames=1000, books=30, shards=3, more=tokens)
    writer = ShardWriter(path / "capture", 3)
    for number, payload in enumerate(payloads):
        stamp = T0_NS + 1 + number * 10**5
        writer.append([(1, payload)], rx_mono_ns=stamp, rx_wall_ns_utc=WALL_NS)
    writer.close()


def compare(
    run: Path, pythons: list[str], names: Iterable[str], expected: dict[str, str] | None
) -> int:
    """Run variants with every interpreter; return how many differ from the first or the committed."""
    different = 0
    for python, name in product(pythons, names):
        found = variant(python, run, name)
        expected = expected or found
        wrong = [what for what in found | expected if found.get(what) != expected.get(what)]
        different += bool(wrong)
        print(f"{python}, {name}: {'differs in ' + ', '.join(wrong) if wrong else 'equal'}")
    return different


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN")
    parser.add_argument("--python", action="append", metavar="EXE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(digests(options.run, options.one)))
        return 0
    pythons = options.python or [sys.executable]
    names = QUICK if options.quick else tuple(VARIANTS)
    if options.run is not None:
        return int(compare(options.run, pythons, names, None) > 0)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "determinism"
        make_bundle(run)
        if options.write:
            found = variant(pythons[0], run, "plain")
            EXPECTED.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
        return int(compare(run, pythons, names, expected) > 0)


if __name__ == "__main__":
    sys.exit(main())
