"""Laws of the loss ledger, on generated runs that are damaged in any way."""

from __future__ import annotations

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pm_audit.loss import Entry, Loss, LossLedger, Sums, Window, keep_account
from pm_audit.timeline import Timeline
from pm_frames.bundle import open_bundle
from pm_frames.continuity import Basis, Continuity, State
from pm_frames.ledger import Ledger
from pm_frames.merge import Item
from pm_frames.peek import peek

TOKENS = "abc"
T0 = 1_000 * 10**9
SHARD = st.sampled_from([0, 0, 1])
SOME = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3, unique=True)
STEP = st.one_of(
    st.tuples(st.just("connect"), SHARD, st.integers(0, 1)),
    st.tuples(st.just("subscribe"), SHARD, SOME),
    st.tuples(st.just("subscribe"), SHARD, SOME),
    st.tuples(st.just("unsubscribe"), SHARD, SOME),
    st.tuples(st.just("disconnect"), SHARD, st.booleans(), st.integers(0, 30)),
    st.tuples(st.just("books"), SHARD, SOME),
    st.tuples(st.just("books"), SHARD, SOME),
    st.tuples(st.just("changes"), SHARD, SOME),
    st.tuples(st.just("heartbeat"), SHARD),
)
SCRIPT = st.lists(st.tuples(STEP, st.integers(0, 9)), min_size=8, max_size=50)
# (file, place in thousandths, what to do there)
DAMAGE = st.tuples(
    st.sampled_from(["00.frames", "01.frames", "00.idx", "01.idx"]),
    st.integers(0, 1000),
    st.sampled_from(["flip", "cut", "zero", "remove"]),
)
Script = list[tuple[tuple[Any, ...], int]]


def write(made: Any, folder: Path, script: Script, *, stop: bool, runlog: bool) -> Path:
    """Write the run of a script."""
    start = made.record("run_start", T0, boot_id="boot")
    run = made.Run([start], [], {0: [], 1: []}, made.clean_run().manifest)
    number = {0: 0, 1: 0}
    at = T0
    for (kind, shard, *rest), pause in [((k, s, *r), p) for (k, s, *r), p in script]:
        at += pause
        if kind == "connect":
            number[shard] += rest[0]
            run.runlog.append(made.connect(at, shard, number[shard]))
        elif kind == "subscribe":
            run.runlog.append(made.subscribe(at, *rest[0], shard=shard, number=number[shard]))
        elif kind == "unsubscribe":
            fields = {"shard_id": shard, "connection": number[shard], "token_ids": rest[0]}
            run.runlog.append(made.record("unsubscribe", at, **fields))
        elif kind == "disconnect":
            since = max(T0, at - rest[1])
            run.runlog.append(
                made.disconnect(at, since, planned=rest[0], shard=shard, number=number[shard])
            )
        elif kind == "books":
            payload = b"[" + b",".join(made.book(token)[1:-1] for token in rest[0]) + b"]"
            run.frames[shard].append((at, payload))
        elif kind == "changes":
            run.frames[shard].append((at, made.change(*rest[0])))
        else:
            run.runlog.append(made.heartbeat(at))
    if stop:
        run.runlog.append(made.record("capture_stop", at + 5, reason="sigint"))
    run_dir = made.write_run(folder / "run", run, sealed=stop)
    if not runlog:
        (run_dir / "runlog.ndjson").unlink()
    assert isinstance(run_dir, Path)
    return run_dir


def spoil(run_dir: Path, damage: tuple[str, int, str]) -> None:
    name, place, what = damage
    path = run_dir / "capture" / f"shard_{name}"
    if not path.exists():
        return
    data = bytearray(path.read_bytes())
    at = place * len(data) // 1001
    if what == "remove" and path.suffix == ".idx":
        path.unlink()
        return
    if what == "flip" and data:
        data[at] ^= 0x10
    elif what == "cut":
        del data[at:]
    elif what == "zero":
        data[at : at + 40] = bytes(len(data[at : at + 40]))
    path.write_bytes(data)


def account(run_dir: Path, window: Window | None = None) -> tuple[list[Entry], Sums, LossLedger]:
    entries: list[Entry] = []
    sums = Sums()

    def sink(entry: Entry) -> None:
        entries.append(entry)
        sums.add(entry)

    ledger = keep_account(Timeline(open_bundle(run_dir)), sink, window=window)
    return entries, sums, ledger


def check_exact(entries: list[Entry], sums: Sums) -> None:
    """Every ns of a token's span is in exactly one entry, and all sums are equal."""
    by_token: dict[str, list[Entry]] = {}
    for entry in entries:
        assert entry.start_mono_ns < entry.end_mono_ns
        assert entry.state is not State.ENDED
        assert (entry.loss is Loss.NONE) == (entry.state is State.LIVE)
        by_token.setdefault(entry.token_id, []).append(entry)
    for token_id, mine in by_token.items():
        for before, after in pairwise(mine):
            assert before.end_mono_ns == after.start_mono_ns
        span = mine[-1].end_mono_ns - mine[0].start_mono_ns
        assert sums.spans[token_id] == (mine[0].start_mono_ns, mine[-1].end_mono_ns)
        assert sum(sums.tokens[token_id].values()) == span
    everything: Counter[Any] = Counter()
    for one in sums.tokens.values():
        everything.update(one)
    assert everything == sums.run()
    assert sums.run().total() == sum(one.end_mono_ns - one.start_mono_ns for one in entries)


FAULT: Script = [
    (("connect", 0, 1), 1), (("subscribe", 0, ["a", "b"]), 1), (("books", 0, ["a", "b"]), 1),
    (("changes", 0, ["a"]), 9), (("changes", 0, ["b"]), 9), (("books", 0, ["a"]), 9),
    (("disconnect", 0, False, 3), 5), (("connect", 0, 1), 5), (("subscribe", 0, ["a"]), 1),
    (("books", 0, ["a"]), 2),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    script=SCRIPT, damages=st.lists(DAMAGE, max_size=3), stop=st.booleans(), runlog=st.booleans(),
    bounds=st.tuples(st.integers(0, 200), st.integers(0, 200)),
)  # fmt: skip
@example(FAULT, [("00.frames", 400, "flip")], True, True, (3, 20))
@example(FAULT, [("00.frames", 700, "cut")], False, True, (0, 99))
@example(FAULT, [("00.idx", 0, "remove")], False, False, (0, 99))
def test_every_ns_is_in_exactly_one_state(
    made: Any, script: Script, damages: list[Any], stop: bool, runlog: bool, bounds: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = write(made, Path(folder), script, stop=stop, runlog=runlog)
        for damage in damages:
            spoil(run_dir, damage)
        entries, sums, _ = account(run_dir)
        check_exact(entries, sums)
        start, length = bounds
        window = Window(T0 + start, T0 + start + length)
        inside, inside_sums, _ = account(run_dir, window)
    check_exact(inside, inside_sums)
    cut = [
        entry._replace(start_mono_ns=start, end_mono_ns=stop)
        for entry in entries
        for start, stop in [window.cut(entry.start_mono_ns, entry.end_mono_ns)]
        if start < stop
    ]
    assert inside == cut


def every_book(items: Any, basis: Basis) -> dict[str, dict[State, int]]:
    """The totals by the plain definition: every payload is looked into, nothing is left out."""
    continuity, ledger = Continuity(basis), Ledger()
    last = 0

    def take(shard_id: int, item: Item) -> int:
        if shard_id < 0:
            assert isinstance(item, dict)
            ledger.add(continuity.record(item))
            return int(item["ts_mono_ns"])
        seen = peek(item.payload)  # type: ignore[union-attr]
        stamp: int = item.rx_mono_ns  # type: ignore[union-attr]
        if "book" in seen.event_types:
            for token_id in seen.token_ids:
                ledger.add(continuity.book(token_id, shard_id, stamp))
        return stamp

    for shard_id, _, item in items:
        last = max(last, take(shard_id, item))
    ledger.add(continuity.close(last))
    return {token: ledger.totals(token) for token in ledger.token_ids() if ledger.totals(token)}


# Another shard claims a token that waits: no state changes, but the book comes there.
CLAIMED: Script = [
    (("connect", 1, 1), 1), (("subscribe", 1, ["a"]), 1), (("connect", 0, 1), 1),
    (("subscribe", 0, ["a"]), 1), (("books", 0, ["a"]), 1), (("books", 1, ["a"]), 1),
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(script=SCRIPT)
@example(FAULT)
@example(CLAIMED)
def test_a_whole_run_gives_what_the_definition_says(made: Any, script: Script) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = write(made, Path(folder), script, stop=True, runlog=True)
        _, sums, _ = account(run_dir)
        expected = every_book(open_bundle(run_dir).timeline(), Basis.RUNLOG)
    found = {
        token: {
            state: length
            for state in State
            if (length := sum(n for (one, _), n in account.items() if one is state))
        }
        for token, account in sums.tokens.items()
    }
    assert found == expected
