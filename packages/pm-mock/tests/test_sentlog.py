import json
from pathlib import Path

import pytest

from pm_frames import Flag, read_frames
from pm_frames.index import read_index, rebuild_index
from pm_mock.sentlog import SentLog, SentLogFailed


def test_frames_are_logged_in_the_capture_format(tmp_path: Path) -> None:
    log = SentLog(tmp_path / "log")
    log.opened(3, remote="127.0.0.1:5000", mono_ns=100)
    log.sent(3, [b"[]", b"PONG"], mono_ns=110, wall_ns=9110)
    log.sent(3, ["é".encode()], mono_ns=120, wall_ns=9120)
    log.closed(3, mono_ns=130, how="peer")
    log.close()
    path = tmp_path / "log" / "connection_0003.frames"
    frames = list(read_frames(path))
    assert [frame.payload for frame in frames] == [b"[]", b"PONG", "é".encode()]
    assert [frame.rx_mono_ns for frame in frames] == [110, 110, 120]
    assert [frame.rx_wall_ns_utc for frame in frames] == [9110, 9110, 9120]
    assert [frame.flags for frame in frames] == [
        Flag.TEXT | Flag.FIRST,
        Flag.TEXT | Flag.KEEPALIVE,
        Flag.TEXT,
    ]
    assert [entry.offset_frames for entry in read_index(path.with_suffix(".idx"), 2)] == [
        frame.offset for frame in frames
    ]
    rebuild_index(path, tmp_path / "rebuilt.idx")
    assert (tmp_path / "rebuilt.idx").read_bytes() == path.with_suffix(".idx").read_bytes()


def test_every_connection_has_its_line_and_refused_ones_no_files(tmp_path: Path) -> None:
    log = SentLog(tmp_path)
    log.opened(1, remote="127.0.0.1:1", mono_ns=10)
    log.refused(2, remote="127.0.0.1:2", mono_ns=20)
    log.opened(12345, remote="127.0.0.1:3", mono_ns=30)
    log.closed(12345, mono_ns=40, how="fault")
    log.closed(1, mono_ns=50, how="shutdown")
    log.close()
    lines = (tmp_path / "connections.ndjson").read_text().splitlines()
    assert [list(json.loads(line).values()) for line in lines] == [
        [2, "127.0.0.1:2", 20, 20, "refused"],
        [12345, "127.0.0.1:3", 30, 40, "fault"],
        [1, "127.0.0.1:1", 10, 50, "shutdown"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "connection_0001.frames",
        "connection_0001.idx",
        "connection_12345.frames",
        "connection_12345.idx",
        "connections.ndjson",
    ]


def test_a_log_is_never_written_over(tmp_path: Path) -> None:
    SentLog(tmp_path).close()
    with pytest.raises(SentLogFailed, match=r"connections\.ndjson: File exists"):
        SentLog(tmp_path)


def test_closing_with_connections_open(tmp_path: Path) -> None:
    log = SentLog(tmp_path)
    log.opened(1, remote="127.0.0.1:1", mono_ns=10)
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.sent(1, [b"x"], mono_ns=1, wall_ns=1)
