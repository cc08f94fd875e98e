"""The loss ledger as JSON Lines, and as pages that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from pm_audit.loss import Entry, Loss, LossLedger, Sums
from pm_audit.timeline import Timeline
from pm_audit.wall_clock import WallClock
from pm_frames.continuity import Basis, State

WORST: Final = 10
Account = Mapping[tuple[State, Loss], int]
FLAGS_NOTE: Final = (
    "no runlog that names tokens: judged by the first-frame-of-a-connection flags of the frames; where they are not set, a "
    "lost connection cannot be seen"
)


def by_state(account: Account) -> dict[str, int]:
    """Return the ns of an account by state, in the order of the states' numbers."""
    return _folded(account, [(state, state.name) for state in State], 0)


def by_loss(account: Account) -> dict[str, int]:
    """Return the ns of an account by loss; `none` is live time."""
    return _folded(account, [(loss, str(loss)) for loss in Loss], 1)


def _folded(account: Account, names: list[tuple[object, str]], part: int) -> dict[str, int]:
    found: Counter[object] = Counter()
    for key, length in account.items():
        found[key[part]] += length
    return {name: found[key] for key, name in names if found[key]}


def entry_json(entry: Entry, clock: WallClock) -> dict[str, object]:
    """Return one entry as JSON values."""
    return {
        "record_type": "interval",
        "token_id": entry.token_id,
        "shard_id": entry.shard_id,
        "state": entry.state.name,
        "loss": str(entry.loss),
        "cause": entry.cause,
        "start_mono_ns": entry.start_mono_ns,
        "end_mono_ns": entry.end_mono_ns,
        "length_ns": entry.end_mono_ns - entry.start_mono_ns,
        "start_wall_ns_utc": clock.wall_ns(entry.start_mono_ns),
        "end_wall_ns_utc": clock.wall_ns(entry.end_mono_ns),
        "begun_by": entry.begun_by.as_json(),
        "ended_by": entry.ended_by.as_json(),
    }


def _sums(account: Account) -> dict[str, object]:
    return {
        "total_ns": sum(account.values()),
        "by_state_ns": by_state(account),
        "by_loss_ns": by_loss(account),
    }


def sums_json(sums: Sums) -> Iterator[dict[str, object]]:
    """Yield the sums of each token, then of each shard."""
    for token_id, account in sums.tokens.items():
        start, end = sums.spans[token_id]
        span = {"start_mono_ns": start, "end_mono_ns": end}
        yield {"record_type": "token", "token_id": token_id, **span, **_sums(account)}
    for shard_id in sorted(sums.shards):
        yield {"record_type": "shard", "shard_id": shard_id, **_sums(sums.shards[shard_id])}


def summary_json(
    run_dir: str, run_id: str, state: str, timeline: Timeline, ledger: LossLedger, sums: Sums
) -> dict[str, object]:
    """Return the last line: the sums of the run, and what they are judged by."""
    basis = ledger.continuity.basis
    return {
        "record_type": "ledger",
        "run_dir": run_dir,
        "run_id": run_id,
        "state": state,
        "basis": basis.value,
        "note": FLAGS_NOTE if basis is Basis.FLAGS else None,
        "tokens": len(sums.tokens),
        "shards": len(sums.shards),
        **_sums(sums.run()),
        "intervals_by_loss": {str(loss): sums.gaps[loss] for loss in Loss if sums.gaps[loss]},
        "damage": {
            f"{shard_id:02d}": shard.damaged
            for shard_id, shard in timeline.shards.items()
            if shard.damaged
        },
        "damaged_runlog_lines": timeline.lines.damaged,
        "unusable_records": timeline.unusable_records,
        "oddities": dict(sorted(ledger.continuity.oddities.items())),
    }


def share(part: int, total: int) -> str:
    """Return a share in percent, cut to four decimals, so that 100 % is only ever all of it."""
    return f"{part * 1_000_000 // total / 10_000:.4f} %" if total else "-"


def duration(ns: int) -> str:
    """Return a duration as people read it: cut to the microsecond, below that in ns."""
    if 0 < ns < 1000:
        return f"{ns} ns"
    seconds, part = divmod(ns, 10**9)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}.{part // 1000:06d} s"
    if hours:
        return f"{hours} h {minutes} m {text}"
    return f"{minutes} m {text}" if minutes else text


def summary_page(summary: Mapping[str, object], sums: Sums) -> Iterator[str]:
    """Yield the page about a whole run: where its time went, the shards, and the tokens that lost most."""
    yield (
        f"{summary['run_dir']}: {summary['state']}, {len(sums.tokens):,} tokens, judged by the "
        + ("runlog" if summary["note"] is None else f"frames ({summary['note']})")
    )
    total = sums.run()
    whole = sum(total.values())
    yield ""
    yield f"  {'token time':<14}{'share':>12}  {'intervals':>10}  length"
    for name, length in by_loss(total).items():
        shown = "live" if name == Loss.NONE else name
        count = sums.gaps[Loss(name)]
        yield f"  {shown:<14}{share(length, whole):>12}  {count:>10,}  {duration(length)}"
    yield f"  {'all':<14}{share(whole, whole):>12}  {sums.gaps.total():>10,}  {duration(whole)}"
    yield ""
    yield f"  {'shard':<14}{'live':>12}  {'fault':>12}  {'planned':>12}  {'damage':>12}"
    for shard_id in sorted(sums.shards):
        account = by_loss(sums.shards[shard_id])
        length = sum(account.values())
        cells = [
            share(account.get(name, 0), length) for name in ("none", "fault", "planned", "damage")
        ]
        yield f"  {shard_id:02d}            " + "  ".join(f"{cell:>12}" for cell in cells)
    worst = sorted(
        ((sum(a.values()) - by_loss(a).get("none", 0), token) for token, a in sums.tokens.items()),
        key=lambda one: (-one[0], one[1]),
    )[:WORST]
    if worst and worst[0][0]:
        yield ""
        yield "  tokens that were not live for longest"
        for lost, token_id in worst:
            if lost:
                yield f"    {duration(lost):>20}  {token_id}"


def gap_lines(token_id: str, name: str, entries: list[Entry], clock: WallClock) -> Iterator[str]:
    """Yield the listing of one token: every interval in which it was not live, in wall time."""
    yield f"{name}: token {token_id}"
    lost = [entry for entry in entries if entry.loss is not Loss.NONE]
    if not lost:
        yield "  live all the time"
    for entry in lost:
        start, end = clock.text(entry.start_mono_ns), clock.text(entry.end_mono_ns)
        length = duration(entry.end_mono_ns - entry.start_mono_ns)
        yield (
            f"  {start} to {end}  {length:>16}  {entry.loss:<12} {entry.state.name.lower():<18}"
            f"{entry.cause} ({entry.begun_by}, ended by {entry.ended_by})"
        )
