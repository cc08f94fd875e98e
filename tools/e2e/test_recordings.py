"""The main job on real input: what the venue sent is what the bundle holds, byte for byte (R098, R109)."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import open_bundle


@pytest.mark.parametrize("name", ["frames_2025-12-23.jsonl", "vendor_semi_real_messages.jsonl"])
def test_a_recording_is_captured_byte_for_byte(
    name: str,
    real_data: Path,
    venue: Callable,
    capture: Callable,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    recording = real_data / "frames" / name
    served = venue("--recording", str(recording))
    capturing = capture(served, "real", "--ws-shards", "1", "--duration-seconds", "3")
    verify = subprocess.run(
        [program("pm-verify"), "--json"],
        stdin=capturing.stdout,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert capturing.wait(timeout=60) == 0
    assert verify.returncode == 0, verify.stderr
    report = json.loads(verify.stdout)
    assert report["ok"] is True
    assert report["findings"] == []

    sent = [line for line in recording.read_bytes().split(b"\n") if line]
    bundle = open_bundle(tmp_path / "runs" / "real")
    payloads = [frame.payload for shard in bundle.shards() for frame in shard.frames()]
    assert [payload for payload in payloads if payload != b"PONG"] == sent
    assert report["totals"]["records"] == len(payloads)
