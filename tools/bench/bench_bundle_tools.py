"""The tools of the next morning on one bundle, each against the least that its work can cost, in the same run.

    python tools/bench/bench_bundle_tools.py [--frames N] [--rounds N]

Reading every frame and peeking at it is the least for `pm-audit ledger` and `freezes`; copying the bundle is
that for pm-slice; the zstd program, where there is one, that for pm-archive. CPU is user + system time of the
whole process, start-up included. The ratios are what may be quoted; a bundle is made up by `big_bundle.py`.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BIN = Path(sys.executable).parent
READ = """\
import sys
from pm_frames.bundle import open_bundle
from pm_frames.peek import peek
for _, _, frame in open_bundle(sys.argv[1]).frames():
    peek(frame.payload)
"""


def cpu_of(command: list[str], clean: Callable[[], object]) -> tuple[float, float]:
    """Run a command once; return its CPU seconds and its largest memory in MiB."""
    clean()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 3), (command, process.returncode)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        began = time.monotonic()
        # In a process of its own: the memory of a child counts from that of its parent.
        maker = str(Path(__file__).with_name("big_bundle.py"))
        run = home / "run"
        command = [sys.executable, maker, str(run), "--frames", str(options.frames)]
        subprocess.run(command, check=True, capture_output=True)
        print(f"{options.frames:,} frames made in {time.monotonic() - began:.1f} s")
        measure(home, run, options.frames, options.rounds)


def measure(home: Path, run: Path, frames: int, rounds: int) -> None:
    """Print one line for each tool, with its ratio to the least that it can cost."""
    whole, target, part = home / "whole", home / "target", home / "part"
    tool = lambda name: str(BIN / name)  # noqa: E731
    cut = [tool("pm-slice"), str(run), "--start-mono-ns", "0", "--out", str(whole)]
    subprocess.run(cut, check=True, capture_output=True)  # sealed, as an archive has to be

    def nothing() -> None:
        shutil.rmtree(target, ignore_errors=True)

    def a_copy() -> None:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(whole, part)

    frame_files = [str(path) for path in sorted(whole.glob("capture/*.frames"))]
    least = {
        "read and peek": ([sys.executable, "-c", READ, str(run)], nothing),
        "cp -r": (["cp", "-r", str(run), str(target)], nothing),
    }
    tools = {
        "pm-audit ledger": ([tool("pm-audit"), "ledger", str(run)], nothing, "read and peek"),
        "pm-audit freezes": ([tool("pm-audit"), "freezes", str(run)], nothing, "read and peek"),
        "pm-inspect": ([tool("pm-inspect"), str(run)], nothing, "read and peek"),
        "pm-slice, all of it": (
            [*cut[:-1], str(target)], nothing, "cp -r",
        ),
    }  # fmt: skip
    if shutil.which("zstd"):
        command = ["zstd", "-q", "-9", "-f", "--output-dir-flat", str(home), *frame_files]
        least["zstd -9"] = (command, nothing)
        tools["pm-archive"] = ([tool("pm-archive"), str(part)], a_copy, "zstd -9")
    base = {
        name: statistics.median(cpu_of(*one)[0] for _ in range(rounds))
        for name, one in least.items()
    }
    for name, cpu in base.items():
        print(f"{name:<20}{cpu:8.2f} s CPU")
    for name, (command, clean, against) in tools.items():
        found = [cpu_of(command, clean) for _ in range(rounds)]
        cpu, memory = statistics.median(one[0] for one in found), max(one[1] for one in found)
        print(
            f"{name:<20}{cpu:8.2f} s CPU {frames / cpu / 1e6:8.2f} M frames/s {memory:6.0f} MiB"
            f"   {cpu / base[against]:6.2f} x {against}"
        )


if __name__ == "__main__":
    main()
