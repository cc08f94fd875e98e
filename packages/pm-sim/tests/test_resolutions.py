"""Files of other programs: how markets ended, and which books are suspected."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.mask import read_mask
from pm_sim.resolutions import read_resolutions


def market(status: str, payouts: tuple[Any, Any], basis: str = "uma") -> dict[str, Any]:
    return {
        "status": status, "basis": basis, "closed_time": "2026-11-01 12:00:00+00",
        "tokens": [{"token_id": f"t{at}", "payout": one} for at, one in enumerate(payouts)],
    }  # fmt: skip


def test_only_what_is_settled_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    markets = [
        market("resolved", ("1", "0")), market("tie", ("0.5", "0.5"), "prices"),
        market("pending", (None, None)), market("open", (None, None)),
    ]  # fmt: skip
    path.write_text(json.dumps({"resolutions_version": 1, "markets": markets}))
    found = read_resolutions(path).settled
    assert [dict(one.payouts_e6) for one in found] == [
        {"t0": 1_000_000, "t1": 0}, {"t0": 500_000, "t1": 500_000},
    ]  # fmt: skip
    assert found[0].closed_wall_ns == 1_793_534_400_000_000_000
    assert len(read_resolutions(path, uma_only=True).settled) == 1


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"resolutions_version": 2, "markets": []}', '{"resolutions_version": 1}']
)  # fmt: skip
def test_what_is_no_file_of_resolutions(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_resolutions(path)
    with pytest.raises(MissingFile):
        read_resolutions(tmp_path / "none")


def test_a_mask_covers_from_up_to_but_not_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    spans = [("a", 20, 30), ("a", 5, 10), ("b", 1, 2)]
    facts: dict[str, Any] = {
        "format": "pm-mask-1", "run_id": "r",
        "intervals": [
            {"token_id": token, "from_mono_ns": start, "to_mono_ns": stop}
            for token, start, stop in spans
        ],
    }  # fmt: skip
    path.write_text(json.dumps(facts))
    mask = read_mask(path, "r")
    covered = [at for at in range(40) if mask.covers("a", at)]
    assert covered == [*range(5, 10), *range(20, 30)]
    assert not mask.covers("c", 5)
    changes: list[dict[str, Any]] = [
        {"format": "pm-mask-2"},
        {"run_id": "other"},
        {"intervals": [{}]},
    ]
    for wrong in changes:
        path.write_text(json.dumps({**facts, **wrong}))
        with pytest.raises(UsageError):
            read_mask(path, "r")
