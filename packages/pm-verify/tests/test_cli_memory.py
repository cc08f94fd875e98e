"""How much memory a real process takes: less than 200 MiB, whatever it is given."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BuildRun = Callable[..., Path]
Program = Callable[..., list[str]]
LIMIT_MIB = 200

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no wait4")


# A process inherits the peak of the one that forks it, so a small one stands in between: this one may be large.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(process.returncode, usage.ru_maxrss)
"""


def peak_mib(command: list[str]) -> tuple[int, int]:
    """Run a command; return its exit code and its largest size in memory."""
    launched = [sys.executable, "-S", "-c", LAUNCHER, *command]
    told = subprocess.run(launched, stdout=subprocess.PIPE, check=True, text=True).stdout
    code, peak = map(int, told.split())
    unit = 1 if sys.platform == "darwin" else 1024
    return code, peak * unit >> 20


def hostile(run: Path, kind: str, size: int) -> None:
    frames = run / "capture" / "shard_00.frames"
    idx = run / "capture" / "shard_00.idx"
    match kind:
        case "sparse":
            with frames.open("r+b") as file:
                file.truncate(size)
        case "sparse both":
            for path in (frames, idx):
                with path.open("r+b") as file:
                    file.truncate(size)
        case "length":
            data = bytearray(frames.read_bytes())
            data[28:32] = struct.pack("<I", 64 << 20)
            frames.write_bytes(data + bytes(range(256)) * (size >> 9))
        case "magics":
            frames.write_bytes(frames.read_bytes() + b"PMCAPv02" * (size >> 9))
        case "runlog":
            (run / "runlog.ndjson").write_bytes(b"[" * (32 << 20))
        case "manifest":
            (run / "manifest.json").write_bytes(b'{"a":' * (1 << 20))


@pytest.mark.parametrize(
    "kind", ["sparse", "sparse both", "length", "magics", "runlog", "manifest"]
)
def test_memory_is_bounded(
    build_run: BuildRun, program: Program, tmp_path: Path, campaign_full: bool, kind: str
) -> None:
    """A shard of 64 MiB, and of 4 GiB where the campaign is full, which is mostly a hole in the disk."""
    run = build_run(tmp_path / "run", sealed=False)
    hostile(run, kind, (4 << 30) if campaign_full and kind == "sparse" else (64 << 20))
    code, peak = peak_mib(program(str(run)))
    assert code in (3, 4)
    assert peak < LIMIT_MIB
    if kind == "sparse":
        code, peak = peak_mib(program("--repair", str(tmp_path / "out"), str(run)))
        assert code == 3
        assert peak < LIMIT_MIB
