"""How markets ended, from a file of `pm-universe resolutions` (docs/spec/resolutions.md).

What is not settled in it (pending, open, unknown) is not settled here. Strategies never see it: it pays out
positions at the time at which each market closed, which is often after the end of the stream.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.fixed import ONE, PxE6, e6

VERSION: Final = 1
SETTLED: Final = frozenset({"resolved", "tie"})


class Resolution(NamedTuple):
    """How one market ended."""

    payouts_e6: dict[str, PxE6]  # by token id
    closed_wall_ns: int | None  # UTC; None where the venue wrote nothing readable


class Resolutions(NamedTuple):
    """All markets of a file that are settled."""

    sha256: str
    settled: tuple[Resolution, ...]
    uma_only: bool = False


def read_resolutions(path: Path, *, uma_only: bool = False) -> Resolutions:
    """Read a file; `uma_only` leaves out what only prices say. Raises `MissingFile`, `UsageError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingFile("no such file of resolutions", path=path) from error
    try:
        facts = json.loads(data)
        if facts["resolutions_version"] != VERSION:
            raise UsageError(
                "another version of resolutions", path=path,
                expected=VERSION, found=facts["resolutions_version"],
            )  # fmt: skip
        settled = tuple(
            _resolution(market)
            for market in facts["markets"]
            if market["status"] in SETTLED and not (uma_only and market["basis"] != "uma")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"not a file of resolutions: {error!r}", path=path) from error
    return Resolutions(hashlib.sha256(data).hexdigest(), settled, uma_only)


def _resolution(market: dict[str, Any]) -> Resolution:
    payouts = {str(one["token_id"]): PxE6(e6(one["payout"])) for one in market["tokens"]}
    if sum(payouts.values()) != ONE or min(payouts.values()) < 0:
        raise ValueError(f"payouts that are not 1 in all: {payouts}")
    return Resolution(payouts, _wall_ns(market.get("closed_time")))


def _wall_ns(text: object) -> int | None:
    """Read `2026-11-01 12:00:00+00` or RFC 3339; a time without a zone is UTC."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
