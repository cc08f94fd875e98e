"""Freezes that were planted by hand, and quiet that must not be taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pm_audit.freezes import Reason, Suspicion, find_freezes
from pm_audit.mask import mask_bytes, mask_json
from pm_audit.silence import Rule
from pm_frames.bundle import open_bundle
from pm_frames.continuity import Basis

S = 10**9
MS = 10**6
T0 = 1_000 * S
STEP = 20 * MS


def talk(made: Any, *, shard0: Any, quiet: Any = None, seconds: int = 10) -> Any:
    """Shards 0 (a, b) and 1 (c) say something every 20 ms, where `shard0(ms)` lets the first one."""
    run = made.clean_run(seconds)
    for shard, tokens in ((0, ("a", "b")), (1, ("c",))):
        sent = run.frames[shard] = [(T0 + 20 + n, made.book(one)) for n, one in enumerate(tokens)]
        for at in range(STEP, seconds * S - 10, STEP):
            now = at // MS
            if quiet is not None and quiet(now):
                continue
            if shard or shard0(now):
                sent.append((T0 + at, made.change(*tokens)))
    return run


def found(made: Any, tmp_path: Path, run: Any, **rule: int) -> list[Suspicion]:
    run_dir = made.write_run(tmp_path / "run", run)
    return list(find_freezes(open_bundle(run_dir), Rule(**rule)).suspicions)


def test_a_frozen_shard_is_suspected_until_the_book_of_each_token(
    made: Any, tmp_path: Path
) -> None:
    run = talk(made, shard0=lambda now: not 4000 < now < 7000)
    run.frames[0] += [(T0 + 7_005 * MS, made.book("a"))]
    run.frames[0].sort(key=lambda one: one[0])
    first, second = found(made, tmp_path, run)
    assert (first.token_id, second.token_id) == ("a", "b")
    assert first.from_mono_ns == second.from_mono_ns == T0 + 4000 * MS + 1
    assert (first.to_mono_ns, first.ended_by) == (T0 + 7_005 * MS, "book")
    # b never got another book: suspect for as long as it counts as live.
    stop = T0 + 10 * S
    assert second.to_mono_ns == stop - 5
    assert second.ended_by.startswith("runlog:")
    assert {one.reason for one in (first, second)} == {Reason.SHARD}
    assert first.evidence.silence_ns == 3 * S
    assert first.evidence.sibling_messages == 150
    assert 100 <= first.evidence.expected_messages <= 150


def test_a_runlog_that_names_no_tokens_is_not_what_is_judged_by(made: Any, tmp_path: Path) -> None:
    run = made.of_old(talk(made, shard0=lambda now: not 4000 < now < 7000))
    found = find_freezes(open_bundle(made.write_run(tmp_path / "run", run)), Rule())
    assert found.basis is Basis.FLAGS
    assert {one.token_id for one in found.suspicions} == {"a", "b"}


@pytest.mark.parametrize("until", [4990, 5000])
def test_the_shortest_silence_that_is_suspected(made: Any, tmp_path: Path, until: int) -> None:
    run = talk(made, shard0=lambda now: not 4000 < now < 5000 or now == until)
    run.frames[0].append((T0 + until * MS, made.change("a")))
    run.frames[0].sort(key=lambda one: one[0])
    assert len(found(made, tmp_path, run)) == (2 if until == 5000 else 0)


def test_a_quiet_market_is_no_freeze(made: Any, tmp_path: Path) -> None:
    run = talk(made, shard0=lambda now: True, quiet=lambda now: 4000 < now < 7000)
    assert found(made, tmp_path, run) == []


def test_a_shard_that_is_often_silent_is_no_freeze(made: Any, tmp_path: Path) -> None:
    run = talk(made, shard0=lambda now: now % 3000 < 1500, seconds=30)
    assert (
        found(made, tmp_path, run) == []
    )  # more than one of its silences in a hundred is that long
    run = talk(made, shard0=lambda now: now % 600 < 60 or now % 600 > 560, seconds=60)
    assert found(made, tmp_path / "2", run, silence_min_ns=S // 4) == []


def test_a_freeze_that_ends_with_the_connection_is_found(made: Any, tmp_path: Path) -> None:
    """The venue's: nothing comes but PONG, and then the connection drops."""
    run = talk(made, shard0=lambda now: now <= 4000)
    run.frames[0] += [(T0 + n * S, b"PONG") for n in (5, 6, 7)]
    run.runlog[:] = [
        one for one in run.runlog
        if one["record_type"] != "disconnect" or one["shard_id"] == 1
    ]  # fmt: skip
    run.runlog.append(made.disconnect(T0 + 7 * S + 1, T0 + 7 * S))
    suspicions = found(made, tmp_path, run)
    assert [one.token_id for one in suspicions] == ["a", "b"]
    assert {(one.from_mono_ns, one.to_mono_ns) for one in suspicions} == {
        (T0 + 4 * S + 1, T0 + 7 * S)
    }


def test_what_was_lost_by_damage_is_no_silence(made: Any, tmp_path: Path) -> None:
    run = talk(made, shard0=lambda now: True)
    run_dir = made.write_run(tmp_path / "run", run)
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    assert find_freezes(open_bundle(run_dir)).suspicions == ()


def test_a_token_alone_that_fell_silent_and_spoke_again(made: Any, tmp_path: Path) -> None:
    run = talk(made, shard0=lambda now: True)
    run.frames[0] = [
        (at, made.change("b") if 4 * S < at - T0 < 7 * S and b"book" not in payload else payload)
        for at, payload in run.frames[0]
    ]
    (one,) = found(made, tmp_path, run)
    assert (one.token_id, one.reason, one.from_mono_ns) == ("a", Reason.TOKEN, T0 + 4 * S + 1)
    # Those of its shard between the two of its own, every 20 ms.
    assert (one.evidence.silence_ns, one.evidence.sibling_messages) == (3 * S, 149)
    # One that never speaks again may be a market that is over.
    run.frames[0] = [
        (at, made.change("b") if at - T0 > 7 * S - MS and b"book" not in payload else payload)
        for at, payload in run.frames[0]
    ]
    assert found(made, tmp_path / "2", run) == []


def test_too_little_is_known_of_a_quiet_token(made: Any, tmp_path: Path) -> None:
    run = talk(made, shard0=lambda now: now % 100 == 0 and not 4000 < now < 9000)
    assert found(made, tmp_path, run) == []


def test_the_same_bundle_gives_the_same_bytes(made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "run", talk(made, shard0=lambda now: not 4000 < now < 7000))
    bundle = open_bundle(run_dir)
    first, second = (mask_bytes(mask_json(bundle, find_freezes(bundle))) for _ in range(2))
    assert first == second
    assert b'"format": "pm-mask-1"' in first
    assert b'"seal_sha256": "5e5e' in first


def test_the_lead_in_of_a_slice_is_not_heard(made: Any, tmp_path: Path) -> None:
    """It holds a token's last book and little else: that is no silence, and teaches nothing."""
    run = talk(made, shard0=lambda now: not 6000 < now < 8500)
    run_dir = made.write_run(tmp_path / "run", run)
    whole = find_freezes(open_bundle(run_dir))
    window = (T0 + 4 * S, T0 + 9 * S)
    run.frames = {
        shard: [(at, payload) for at, payload in sent if b"book" in payload or window[0] <= at < window[1]]
        for shard, sent in run.frames.items()
    }  # fmt: skip
    sliced = find_freezes(open_bundle(made.cut(made.write_run(tmp_path / "cut", run), *window)))
    assert sliced.messages == sum(at >= window[0] for sent in run.frames.values() for at, _ in sent)
    assert sliced.live_ns == 3 * 5 * S
    tokens = [(one.token_id, one.from_mono_ns) for one in whole.suspicions]
    assert [(one.token_id, one.from_mono_ns) for one in sliced.suspicions] == tokens != []
    # Nothing is known after the window, though the run went on.
    assert {one.to_mono_ns for one in sliced.suspicions} == {window[1]}
