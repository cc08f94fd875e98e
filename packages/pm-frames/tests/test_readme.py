"""Every line of Python in README.md runs, and prints what README.md says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from pm_frames.writer import ShardWriter

README = Path(__file__).resolve().parents[1] / "README.md"
WALL = 1_790_000_000_000_000_000
BOOK = b'{"event_type":"book","asset_id":"1","bids":[]}'
CHANGE = b'{"event_type":"price_change","asset_id":"2","price":"1"}'


def example_bundle(directory: Path) -> None:
    """Two shards that were recorded in turns, and never closed."""
    capture = directory / "data" / "runs" / "example" / "capture"
    capture.mkdir(parents=True)
    for shard_id, frames in ((0, {10: BOOK + b"   ", 30: CHANGE, 40: b"PONG"}), (1, {20: CHANGE})):
        writer = ShardWriter(capture, shard_id)
        for mono, payload in frames.items():
            writer.append([(1, payload)], rx_mono_ns=mono, rx_wall_ns_utc=WALL + mono)
        writer.close()


def test_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    example_bundle(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    assert len(pairs) == text.count("```python") == 5
    for code, expected in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(README), "exec"), {})
        assert printed.getvalue() == expected


def test_the_reading_example_is_about_twenty_lines() -> None:
    code = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20


def test_the_links() -> None:
    for target in re.findall(r"\]\((\.\./\S+?)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
