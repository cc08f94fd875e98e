"""The frames of several bundles in one order, each with where it stands: nothing is changed or re-timed.

Within a boot (`boot_id`) the receive clock orders, between boots, which have no clock in common, the wall clock.
"""

from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

from pm_frames.bundle import Bundle, open_bundle
from pm_frames.errors import BundleError
from pm_frames.frames import Frame


class Placed(NamedTuple):
    """A frame and the place in the common order; later fields decide where earlier ones are equal."""

    at: int
    part: int
    shard_id: int
    ordinal: int
    frame: Frame


def boot_of(bundle: Bundle, part: int) -> str:
    """Return what names the boot whose clock stamped a bundle; one that does not say it is alone."""
    boot = bundle.manifest.get("boot_id")
    return boot if isinstance(boot, str) else f"unknown {part}"


def listed(runs: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield one JSON object for each frame. Raises what reading the bundles raises."""
    bundles = [open_bundle(run) for run in runs]
    boots = [boot_of(bundle, part) for part, bundle in enumerate(bundles)]
    by_wall = len(set(boots)) > 1
    streams = [
        _in_one_boot([(part, bundles[part]) for part, one in enumerate(boots) if one == boot])
        for boot in dict.fromkeys(boots)
    ]
    timed = [_by_wall(stream) for stream in streams] if by_wall else streams
    for placed in merge(*timed, key=lambda placed: placed[:4]):
        frame = placed.frame
        yield {
            "run_dir": str(runs[placed.part]),
            "run_id": bundles[placed.part].run_id,
            "boot_id": boots[placed.part],
            "shard_id": placed.shard_id,
            "ordinal": placed.ordinal,
            "offset": frame.offset,
            "rx_mono_ns": frame.rx_mono_ns,
            "rx_wall_ns_utc": frame.rx_wall_ns_utc,
            "flags": frame.flags,
            "bytes": len(frame.payload),
            "crc32": frame.crc32,
        }


def _in_one_boot(parts: list[tuple[int, Bundle]]) -> Iterator[Placed]:
    def of(part: int, bundle: Bundle) -> Iterator[Placed]:
        for shard_id, ordinal, frame in bundle.frames(torn_ok=True):
            yield Placed(frame.rx_mono_ns, part, shard_id, ordinal, frame)

    return merge(*(of(part, bundle) for part, bundle in parts), key=lambda placed: placed[:4])


def _by_wall(stream: Iterator[Placed]) -> Iterator[Placed]:
    """Order by wall time without ever changing the order within the boot: a step back waits."""
    latest = 0
    for placed in stream:
        wall = placed.frame.rx_wall_ns_utc
        if wall is None:
            raise BundleError("frames of version 1 have no wall clock to order several boots by")
        latest = max(latest, wall)
        yield placed._replace(at=latest)
