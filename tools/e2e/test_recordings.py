"""The main job: what the venue sent is what the bundle holds, byte for byte (R098, R109)."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import open_bundle

BOOK = '{"event_type":"book","market":"0xc0","asset_id":"%s","bids":[],"asks":[]}'
# Whatever a text frame may be: nothing of it may be read, mended, stripped or written anew on the way.
STRANGE = [
    "[" + BOOK % "11" + "," + BOOK % "22" + "]",
    "  " + BOOK % "11" + " \t ",
    BOOK % "11" + "\r",
    BOOK.replace(",", " ,\t").replace(":", " : ") % "22",
    '{"asset_id":"11", "asset_id":"22", "event_type":"nobody knows this", "price":1e400, "e":"\\ud800"}',
    '{"question":"Zażółć 買い 🚀 \u2028 \ufeff \x00 \x7f","event_type":"new_market"}',
    "\ufeff" + BOOK % "11",
    "PMCAPv02" + "\x02\x00\x01\x00" + "\x00" * 24,
    "PONG",
    " PONG",
    "PING",
    "[]",
    "null",
    " ",
    "<html>502 Bad Gateway</html>",
    '{"event_type":"book","bids":[',
    "[" * 10_000,
    BOOK % "11",
    BOOK % "11",
    '{"event_type":"book","asset_id":"22","pad":"' + "x" * 3_000_000 + '"}',
    *(f'{{"event_type":"tiny","asset_id":"11","n":{number}}}' for number in range(5_000)),
]


def captured(
    recording: Path,
    venue: Callable,
    capture: Callable,
    program: Callable[[str], str],
    tmp_path: Path,
) -> list[bytes]:
    """Serve a recording, capture it into a pipe to pm-verify, and return the payloads in the bundle."""
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
    bundle = open_bundle(tmp_path / "runs" / "real")
    payloads = [frame.payload for shard in bundle.shards() for frame in shard.frames()]
    assert report["totals"]["records"] == len(payloads)
    return payloads


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
    sent = [line for line in recording.read_bytes().split(b"\n") if line]
    payloads = captured(recording, venue, capture, program, tmp_path)
    assert [payload for payload in payloads if payload != b"PONG"] == sent


def test_frames_of_any_text_are_captured_byte_for_byte(
    venue: Callable, capture: Callable, program: Callable[[str], str], tmp_path: Path
) -> None:
    sent = [text.encode() for text in STRANGE]
    recording = tmp_path / "strange"
    recording.write_bytes(b"".join(line + b"\n" for line in sent))
    payloads = captured(recording, venue, capture, program, tmp_path)
    # The capture's own PING is due later than the run ends, so the one `PONG` is that of the recording.
    assert payloads == sent
