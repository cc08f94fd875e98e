"""A capture with a flipped byte, repaired and replayed: what is missing is told, and no top is wrong."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from pm_frames import open_bundle
from pm_frames.events import Kind, open_events
from pm_frames.layout import Flag

Answer = tuple[dict, list]


def replayed(program: Callable[[str], str], run_dir: Path, out: Path) -> Answer:
    done = subprocess.run(
        [program("pm-replay"), str(run_dir), "--events-out", str(out), "--json"],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    with open_events(out) as events:
        return json.loads(done.stdout), list(events)


def test_a_hole_that_a_repair_leaves_is_told_until_each_book_is_back(
    venue: Callable, capture: Callable, program: Callable[[str], str], verify: Callable,
    tmp_path: Path,
) -> None:  # fmt: skip
    served = venue("--seed", "11")
    capturing = capture(served, "day", "--ws-shards", "2", "--duration-seconds", "5")
    assert capturing.wait(timeout=60) == 0
    run_dir, out = tmp_path / "runs" / "day", tmp_path / "repaired"
    whole, events_whole = replayed(program, run_dir, tmp_path / "whole.pmev")
    assert whole["oracles"]["bbo"]["disagree"] == 0
    assert whole["oracles"]["bbo"]["agree"] > 100

    # A change of prices in the middle of a shard, not the last frame: its payload loses a bit.
    shard = open_bundle(run_dir).shards()[0]
    frames = list(shard.frames())
    changes = [n for n, frame in enumerate(frames) if b"price_change" in frame.payload]
    lost = next(n for n in changes if n > len(frames) // 3)
    data = bytearray(shard.frames_path.read_bytes())
    data[frames[lost].end - 1] ^= 1
    shard.frames_path.write_bytes(data)
    done = subprocess.run(
        [program("pm-verify"), "--repair", str(out), str(run_dir)],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert verify(out)[0] == 0
    kept = list(open_bundle(out).shards()[0].frames())
    assert [frame.payload for frame in kept] == [
        frame.payload for n, frame in enumerate(frames) if n != lost
    ]
    assert [n for n, frame in enumerate(kept) if frame.flags & Flag.SALVAGED] == [lost]

    summary, events = replayed(program, out, tmp_path / "repaired.pmev")
    assert summary["counts"]["holes"] == 1
    assert summary["counts"]["withheld_changes"] > 0
    assert summary["oracles"]["bbo"]["disagree"] == 0
    assert summary["oracles"]["snapshot"]["different"] == 0
    statuses = [event for event in events if event.kind == Kind.STATUS]
    unknown = [event for event in statuses if event.state.name == "UNKNOWN"]
    assert unknown
    assert {(one.ts_recv_ns, one.bid_sz_e6) for one in unknown} == {
        (kept[lost].rx_mono_ns, kept[lost - 1].rx_mono_ns)
    }
    back = [
        event for event in statuses
        if event.ts_recv_ns > kept[lost].rx_mono_ns and event.state.name == "LIVE"
    ]  # fmt: skip
    assert back
    assert {one.token for one in back} <= {one.token for one in unknown}
    # Every top that is told is one of the undamaged run, and none is told while a book is unknown.
    told = {(e.ts_recv_ns, e.token, e.bid_px_e6, e.bid_sz_e6, e.ask_px_e6, e.ask_sz_e6)
            for e in events_whole if e.kind == Kind.TOB}  # fmt: skip
    blind: set[int] = set()
    for event in events:
        if event.kind == Kind.STATUS:
            (blind.add if event.state.name == "UNKNOWN" else blind.discard)(event.token)
        elif event.kind == Kind.TOB:
            assert event.token not in blind
            top = event.bid_px_e6, event.bid_sz_e6, event.ask_px_e6, event.ask_sz_e6
            assert (event.ts_recv_ns, event.token, *top) in told
