"""What pm-inspect shows on a terminal."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from pm_audit.wall_clock import wall_text

_UNITS = ((86400 * 10**9, "d"), (3600 * 10**9, "h"), (60 * 10**9, "m"))
_SHOWN = (
    ("frames", "frames"),
    ("coverage_pct", "coverage %"),
    ("ingest_ns_p99", "ingest p99 ns"),
    ("reconnects_total", "reconnects"),
    ("dropped_messages_total", "drops"),
)


def length_text(duration_ns: int | None) -> str:
    """Return a duration in the two largest of its units, as 3h12m or 4.25s; a dash for None."""
    if duration_ns is None:
        return "-"
    if duration_ns < 60 * 10**9:
        return f"{duration_ns / 1e9:.2f}s"
    units = [*_UNITS, (10**9, "s")]
    for (size, name), (small, small_name) in pairwise(units):
        if duration_ns >= size:
            return f"{duration_ns // size}{name}{duration_ns % size // small:02d}{small_name}"
    return f"{duration_ns}ns"


def summary_page(summary: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one summary."""
    yield f"{summary['run_dir']}: {summary['state']}"
    yield f"  run id     {summary['run_id']}"
    yield f"  began      {wall_text(summary['t0_wall_ns_utc'], digits=3)}"
    yield f"  length     {length_text(summary['duration_ns'])}"
    yield f"  versions   manifest {_dash(summary['manifest_version'])}, frames {_versions(summary)}"
    if summary["previous_run_id"]:
        yield f"  continues  {summary['previous_run_id']}"
    if summary["stop_reason"]:
        yield f"  stopped    {summary['stop_reason']}"
    if summary["fatal"]:
        yield f"  FATAL      {summary['fatal']['fatal_reason']}: {summary['fatal']['fatal_message']}"
    if summary["slice"]:
        yield f"  slice      {summary['slice']['slice_id']}"
        yield f"  cut from   {_parent(summary['slice']['ancestors'][-1])}"
    if summary["merged"]:
        yield f"  merged of  {', '.join(summary['merged'])}"
    universe = summary["universe"]
    yield f"  universe   {_dash(universe['tokens_at_start'])} tokens at the start, {universe['generations']} generations"
    runlog = summary["runlog"]
    if runlog is None:
        yield "  gaps       not known: no runlog"
    else:
        faults = runlog["disconnects_by_fault"]
        why = f" ({', '.join(f'{name} ×{n}' for name, n in faults.items())})" if faults else ""
        yield f"  gaps       {sum(faults.values())} by a fault{why}, {runlog['disconnects_planned']} planned"
    yield ""
    yield from _shards(summary["shards"])
    yield from _metrics(summary["metrics"]["global"])
    if summary["problems"]:
        yield ""
        yield from (f"! {problem}" for problem in summary["problems"])
    hidden = summary["problems_count"] - len(summary["problems"])
    if hidden:
        yield f"! and {hidden} more"


def listing_page(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a heading and one line a run, as the rows come."""
    yield f"{'run':<36} {'state':<8} {'began':<20} {'length':>8} {'frames':>14} {'bytes':>17} {'gaps':>5}"
    for row in rows:
        began = wall_text(row["t0_wall_ns_utc"], digits=0)
        line = (
            f"{row['run_id']:<36} {row['state']:<8} {began:<20} {length_text(row['duration_ns']):>8} "
            f"{row['frames']:>14,} {row['bytes']:>17,} {_dash(row['gaps']):>5}"
        )
        yield line + (f"  ! {row['problem']}" if row["problem"] else "")


def _shards(shards: dict[str, Any]) -> Iterator[str]:
    yield f"{'shard':>7}{'frames':>14}{'bytes':>18}{'idx bytes':>15}  {'first':<28}last"
    rows = [(name, shard) for name, shard in shards["by_shard"].items()]
    for name, shard in rows:
        yield (
            f"{name:>7}{_number(shard['records']):>14}{_number(shard['frames_bytes']):>18}"
            f"{_number(shard['idx_bytes']):>15}  {_stamp(shard, 'first'):<28}{_stamp(shard, 'last')}"
        )
    yield (
        f"{'all':>7}{shards['records']:>14,}{shards['frames_bytes']:>18,}{shards['idx_bytes']:>15,}"
    )
    if shards["archived_bytes"]:
        packed, plain = shards["archived_bytes"], shards["frames_bytes"]
        share = f", {packed / plain:.1%} of the frames" if plain else ""
        yield f"{'':>7}archived in {packed:,} bytes{share}"


def _metrics(tail: dict[str, Any] | None) -> Iterator[str]:
    yield ""
    if tail is None:
        yield "no metrics"
        return
    last = tail["last"] or {}
    shown = ", ".join(f"{words} {last[key]}" for key, words in _SHOWN if key in last)
    yield f"metrics: {tail['count']:,} records; the last: {shown or '-'}"


def _parent(ancestor: dict[str, Any]) -> str:
    sealed = "sealed" if ancestor["seal_sha256"] else f"not sealed: {ancestor['state']}"
    slice_id = ancestor["slice_id"]
    return (f"slice {slice_id} of " if slice_id else "run ") + f"{ancestor['run_id']} ({sealed})"


def _versions(summary: dict[str, Any]) -> str:
    found = {shard["schema_version"] for shard in summary["shards"]["by_shard"].values()}
    return ", ".join(str(version) for version in sorted(found - {None})) or "-"


def _stamp(shard: dict[str, Any], end: str) -> str:
    wall = wall_text(shard[f"rx_wall_ns_utc_{end}"], digits=3)
    mono = shard[f"rx_mono_ns_{end}"]
    return wall if wall != "-" or mono is None else f"mono {mono}"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _dash(value: object) -> str:
    return "-" if value is None else str(value)
