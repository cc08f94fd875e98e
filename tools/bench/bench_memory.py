"""Memory of pm-capture at full rate: does it stay where it is?

    python tools/bench/bench_memory.py [--seconds 300] [--transport picows]

Eight loopback connections send as fast as the capture takes it. Its resident memory is printed every 10
seconds; the verdict is about a straight line through the last four fifths of the samples (four minutes of
five): flat means that it rises by less than 5 % of their median over that time. Its slope is the median of
those between any two samples (Theil and Sen), because what waits to be hashed while another program has the
cores is a peak and not a trend; the slope by least squares is printed beside it. What has been recorded is
punched out of the files behind the capture, which never reads it again; five minutes would be 50 GB.
"""

import argparse
import itertools
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loopback import captured, finish, sender, start_capture

EVERY_SECONDS = 10
ENDLESS = 10**9
KEPT_BYTES = 64 << 20
RISE_MAX = 0.05


def resident_kib(pid: int) -> int:
    done = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def punch(folder: Path) -> None:
    """Give back the disk under what was recorded; the sizes of the files stay."""
    for path in (*captured(folder, "frames"), *captured(folder, "idx")):
        length = (path.stat().st_size - KEPT_BYTES) & ~0xFFF
        if length > 0:
            hole = [
                "fallocate",
                "--punch-hole",
                "--offset",
                "0",
                "--length",
                str(length),
                str(path),
            ]
            subprocess.run(hole, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--transport", default="picows", choices=["picows", "websockets"])
    parser.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    parser.add_argument(
        "--folder", type=Path, help="where the run is written; a tmpfs has room enough"
    )
    options, _ = parser.parse_known_args()  # what other benches are told is not for this one
    if sys.platform != "linux":
        print("memory    skipped: holes are punched into files only on Linux")
        return 0
    samples: list[tuple[float, int]] = []
    with (
        sender("firehose.py", ENDLESS) as port,
        tempfile.TemporaryDirectory(dir=options.folder) as name,
    ):
        folder = Path(name)
        # A disk that cannot keep up with this rate for minutes would end the run, and rightly.
        endless = ("--capture-backpressure-fatal-ms", "0")
        process = start_capture(port, folder, options.loop, options.transport, *endless)
        began = time.monotonic()
        try:
            while (elapsed := time.monotonic() - began) < options.seconds:
                assert process.poll() is None, process.stderr and process.stderr.read()
                punch(folder)
                if elapsed >= EVERY_SECONDS * (len(samples) + 1):
                    frames = sum(path.stat().st_size for path in captured(folder)) // 32
                    samples.append((elapsed, resident_kib(process.pid)))
                    rate = frames / elapsed
                    print(
                        f"memory    {elapsed:5.0f} s {samples[-1][1] / 1024:8.1f} MiB"
                        f" {frames:12,} frames, {rate:9,.0f}/s so far",
                        flush=True,
                    )
                time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            finish(process)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
    late = samples[len(samples) // 5 :]
    slope = statistics.median(
        (after - before) / (later - earlier)
        for (earlier, before), (later, after) in itertools.combinations(late, 2)
    )
    squares = statistics.linear_regression(*zip(*late, strict=True)).slope
    seconds = late[-1][0] - late[0][0]
    middle = statistics.median(kib for _, kib in late)
    flat = slope * seconds < RISE_MAX * middle
    print(
        f"memory    {options.transport}, {options.loop}: slope {slope * 60 / 1024:+.2f} MiB a minute"
        f" ({squares * 60 / 1024:+.2f} by least squares) over the last {seconds:.0f} s,"
        f" median {middle / 1024:.1f} MiB: {'flat' if flat else 'NOT FLAT'}"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
