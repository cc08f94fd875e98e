"""What the ledger says of single events: causes, pointers, damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pm_audit.loss import Entry, Loss, book_tokens, keep_account
from pm_audit.timeline import Timeline
from pm_frames.bundle import open_bundle
from pm_frames.continuity import State
from pm_frames.frames import read_frames

S = 10**9
T0 = 1_000 * S


def entries_of(run_dir: Path, token_id: str) -> list[Entry]:
    entries: list[Entry] = []
    keep_account(Timeline(open_bundle(run_dir)), entries.append)
    return [entry for entry in entries if entry.token_id == token_id]


def story(entries: list[Entry]) -> list[tuple[str, str, int]]:
    return [(str(one.loss), one.state.name, one.end_mono_ns - one.start_mono_ns) for one in entries]


def test_a_clean_run(made: Any, tmp_path: Path) -> None:
    entries = entries_of(made.write_run(tmp_path / "run", made.clean_run()), "a")
    assert story(entries) == [
        ("first_book", "AWAITING_SNAPSHOT", 9),
        ("none", "LIVE", 8 * S - 25),
        ("planned", "PLANNED_CHANGE", 5),
    ]
    assert str(entries[0].begun_by) == "runlog:2"
    assert str(entries[0].ended_by) == "shard_00@0"
    assert str(entries[1].ended_by) == "runlog:12"


def with_outage(made: Any, *, planned: bool) -> Any:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(T0 + 3 * S, T0 + 2 * S, planned=planned),
        made.connect(T0 + 4 * S, 0, 2),
        made.subscribe(T0 + 4 * S + 1, "a", "b", number=2),
    ]
    for one in run.runlog:
        if one["record_type"] == "disconnect" and one["ts_mono_ns"] > T0 + 7 * S:
            one["connection"] = 2 if one["shard_id"] == 0 else 1
    run.frames[0].insert(2, (T0 + 5 * S, made.book("a")))
    return run


@pytest.mark.parametrize("planned", [False, True])
def test_a_fault_lasts_to_its_book_and_is_told_from_a_planned_change(
    made: Any, tmp_path: Path, planned: bool
) -> None:
    run_dir = made.write_run(tmp_path / "run", with_outage(made, planned=planned))
    lost = [one for one in entries_of(run_dir, "a") if one.loss in (Loss.FAULT, Loss.PLANNED)]
    gap = [one for one in lost if one.start_mono_ns < T0 + 7 * S]
    assert {one.loss for one in gap} == {Loss.PLANNED if planned else Loss.FAULT}
    assert (gap[0].start_mono_ns, gap[-1].end_mono_ns) == (T0 + 2 * S, T0 + 5 * S)


def test_damage_is_a_loss_until_the_next_book(made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    run.frames[0][2:] = [
        (T0 + 1 * S, made.change("a", "b")),
        (T0 + 2 * S, made.change("a")),
        (T0 + 3 * S, made.change("b")),
        (T0 + 4 * S, made.book("a")),
    ]
    run_dir = made.write_run(tmp_path / "run", run)
    path = run_dir / "capture" / "shard_00.frames"
    ruined = list(read_frames(path))[3]
    data = bytearray(path.read_bytes())
    data[ruined.offset + 40] ^= 1
    path.write_bytes(data)
    (damage,) = [one for one in entries_of(run_dir, "a") if one.loss is Loss.DAMAGE]
    assert (damage.start_mono_ns, damage.end_mono_ns) == (T0 + 1 * S, T0 + 4 * S)
    assert (damage.state, damage.cause) == (State.UNKNOWN, "damage:crc_mismatch")
    assert damage.begun_by.as_json() == {
        "source": "frame", "shard_id": 0, "ordinal": 3, "offset": ruined.offset,
    }  # fmt: skip
    # b had no book after it: lost until its connection was given up.
    (damage,) = [one for one in entries_of(run_dir, "b") if one.loss is Loss.DAMAGE]
    assert damage.end_mono_ns == T0 + 8 * S - 5
    assert [one.loss for one in entries_of(run_dir, "c")].count(Loss.DAMAGE) == 0


def test_a_tail_that_is_lost_counts_before_the_disconnect(made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "run", made.clean_run())
    path = run_dir / "capture" / "shard_00.frames"
    path.write_bytes(path.read_bytes()[:-5])
    (damage,) = [one for one in entries_of(run_dir, "a") if one.loss is Loss.DAMAGE]
    assert (damage.start_mono_ns, damage.end_mono_ns) == (T0 + 21, T0 + 8 * S - 5)


def test_a_runlog_that_names_no_tokens_is_not_what_is_judged_by(made: Any, tmp_path: Path) -> None:
    """As pm-replay tells it: live from the first book, by the flags of the frames."""
    entries = entries_of(made.write_run(tmp_path / "run", made.of_old(made.clean_run())), "a")
    assert story(entries) == [("none", "LIVE", 8 * S - 20)]


def test_a_record_that_no_clock_can_have_stamped_still_happened(made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(2**63, T0 + 3 * S),
        made.record("heartbeat", 2**63 + 5),
    ]
    run_dir = made.write_run(tmp_path / "run", run)
    timeline, entries = Timeline(open_bundle(run_dir)), list[Entry]()
    keep_account(timeline, entries.append)
    assert timeline.unusable_records == 1
    assert timeline.end_mono_ns() == T0 + 8 * S


def test_what_a_repair_left_out_is_damage_from_the_frame_before_it(
    made: Any, tmp_path: Path
) -> None:
    """Also where the frame that tells of it is one of the next connection."""
    run = with_outage(made, planned=False)
    run.frames[0][2:2] = [(T0 + S, made.change("a"))]
    run_dir = made.write_run(tmp_path / "run", run)
    path = run_dir / "capture" / "shard_00.frames"
    marked = list(read_frames(path))[3]
    data = bytearray(path.read_bytes())
    data[marked.offset + 11] |= 0x80
    path.write_bytes(data)
    lost = [one for one in entries_of(run_dir, "a") if one.loss in (Loss.DAMAGE, Loss.FAULT)]
    assert [(str(one.loss), one.cause, one.start_mono_ns, one.end_mono_ns) for one in lost[:2]] == [
        ("damage", "damage:salvaged", T0 + S, T0 + 2 * S),
        ("fault", "disconnect", T0 + 2 * S, T0 + 4 * S + 1),
    ]
    assert str(lost[0].begun_by) == f"shard_00@{marked.offset}"


def test_a_crash_ends_at_the_last_stamp(made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    del run.runlog[-3:]
    entries = entries_of(made.write_run(tmp_path / "run", run, sealed=False), "c")
    assert entries[-1].end_mono_ns == T0 + 8 * S - 4
    assert str(entries[-1].ended_by) == "end"


def test_without_a_runlog_the_flags_speak(made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    run.frames[0] += [(T0 + 9 * S, made.change("a")), (T0 + 10 * S, made.book("a"))]
    run_dir = made.write_run(tmp_path / "run", run)
    (run_dir / "runlog.ndjson").unlink()
    path = run_dir / "capture" / "shard_00.frames"
    third = list(read_frames(path))[3]
    data = bytearray(path.read_bytes())
    data[third.offset + 11] |= 0x01  # first of a connection
    path.write_bytes(data)
    assert story(entries_of(run_dir, "a")) == [
        ("none", "LIVE", 8 * S - 25),
        ("unknown", "UNKNOWN", 2 * S + 5),
    ]


def test_the_books_of_a_mixed_message(made: Any) -> None:
    mixed = b"[" + made.book("a")[1:-1] + b"," + made.change("b") + b"]"
    assert book_tokens(mixed) == ["a"]
    assert book_tokens(made.change("a")) == []
    assert book_tokens(b'[{"event_type":"bo\\u006fk","asset_id":"x"}]') == ["x"]


def test_a_fault_takes_the_place_of_damage(made: Any, tmp_path: Path) -> None:
    """The book that ends the fault is one of the new connection, asked for there."""
    run = with_outage(made, planned=False)
    run.frames[0][2:2] = [(T0 + S // 2, made.change("a")), (T0 + S, made.change("a"))]
    # A book between the loss and the new subscription makes nothing good.
    run.frames[0].insert(4, (T0 + 3 * S + 1, made.book("a")))
    run_dir = made.write_run(tmp_path / "run", run)
    path = run_dir / "capture" / "shard_00.frames"
    ruined = list(read_frames(path))[2]
    data = bytearray(path.read_bytes())
    data[ruined.offset + 40] ^= 1
    path.write_bytes(data)
    lost = [one for one in entries_of(run_dir, "a") if one.loss in (Loss.DAMAGE, Loss.FAULT)]
    assert [(str(one.loss), one.start_mono_ns, one.end_mono_ns) for one in lost] == [
        ("damage", T0 + 21, T0 + 2 * S),
        ("fault", T0 + 2 * S, T0 + 4 * S + 1),
        ("fault", T0 + 4 * S + 1, T0 + 5 * S),
    ]


def test_a_tail_that_is_lost_counts_before_the_stop(made: Any, tmp_path: Path) -> None:
    """No disconnect says it, as when a process stops while a shard has just been cut."""
    run = made.clean_run()
    run.runlog = [one for one in run.runlog if one["record_type"] != "disconnect"]
    run_dir = made.write_run(tmp_path / "run", run)
    frames = run_dir / "capture" / "shard_00.frames"
    frames.write_bytes(frames.read_bytes()[:-7])
    (*_, last) = entries_of(run_dir, "a")
    assert (last.loss, last.start_mono_ns, last.end_mono_ns) == (Loss.DAMAGE, T0 + 21, T0 + 8 * S)


def test_asking_again_for_a_live_token_is_a_change_of_ours(made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    run.runlog.append(made.subscribe(T0 + 3 * S, "a"))
    run.frames[0].insert(2, (T0 + 4 * S, made.book("a")))
    entries = entries_of(made.write_run(tmp_path / "run", run), "a")
    assert story(entries)[2] == ("planned", "AWAITING_SNAPSHOT", S)
    assert [one.loss for one in entries] == ["first_book", "none", "planned", "none", "planned"]
