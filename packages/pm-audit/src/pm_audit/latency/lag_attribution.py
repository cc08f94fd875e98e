"""What held the event loop up, in the intervals with the largest lag; pure.

Named is only what metrics measure on that loop: a garbage collection, the append of one read to the
file, what the policies made of it, the heartbeat itself, a jump of the wall clock (which a suspended
machine makes too). The sync of the files runs in a thread of its own and does not hold the loop up;
the scheduler of the operating system does, and nobody measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pm_audit.latency.readings import GlobalReadings

TOP: Final = 10
NOT_MEASURED: Final = "not_measured"
CAUSES: Final = {  # column, divisor to ms
    "gc": ("gc_pauses_ns_max", 1_000_000),
    "file_write": ("write_ns_max", 1_000_000),
    "policies": ("apply_update_ms_max", 1),
    "heartbeat_work": ("hb_tick_work_ns", 1_000_000),
}


def attribution(
    readings: GlobalReadings, clock_steps: Sequence[tuple[int, int]], *, top: int = TOP
) -> dict[str, Any]:
    """Return the `top` intervals by lag, each with its candidates.

    `explained_by` is the largest candidate where it is at least half of the lag, else `not_measured`.
    `clock_steps` are (mono ns, step ns) of the runlog.
    """
    lag = readings.columns["loop_lag_ms_max_last_interval"]
    present = [i for i, value in enumerate(lag) if value >= 0]  # not NaN
    worst = sorted(present, key=lambda i: (-lag[i], i))[:top]
    return {
        "top_n": top,
        "top_intervals": [_interval(readings, i, lag[i], clock_steps) for i in worst],
    }


def _interval(
    readings: GlobalReadings, i: int, lag_ms: float, clock_steps: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    before = readings.mono_ns[i - 1] if i else 0
    causes: dict[str, float | None] = {}
    for name, (column, divisor) in CAUSES.items():
        value = readings.columns[column][i] / divisor
        causes[name] = value if value >= 0 else None
    steps = [abs(step) for at, step in clock_steps if before < at <= readings.mono_ns[i]]
    causes["clock_step"] = max(steps, default=0) / 1e6
    name, largest = max(causes.items(), key=lambda item: item[1] or 0)
    explained = lag_ms > 0 and (largest or 0) * 2 >= lag_ms
    return {
        "hb_mono_ns": readings.mono_ns[i],
        "hb_wall_ns_utc": readings.wall_ns[i],
        "loop_lag_ms": lag_ms,
        "causes_ms": causes,
        "explained_by": name if explained else NOT_MEASURED,
    }
