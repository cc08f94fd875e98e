"""The vectors of the format (testdata/frames): each valid one is clean, each torn one tolerable."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_verify.diagnosis import CODE_OF_KIND
from pm_verify.findings import Code
from pm_verify.report import Report
from pm_verify.verify import verify_files

VECTORS = Path(__file__).parents[3] / "testdata" / "frames"
CASES = sorted(VECTORS.glob("*/*.json"))


def verify(case: Path) -> tuple[dict[str, Any], Report]:
    idx = case.with_suffix(".idx")
    report = verify_files(case.with_suffix(".frames"), idx if idx.exists() else None)
    return json.loads(case.read_text(encoding="utf-8")), report


def test_there_are_vectors_of_each_sort() -> None:
    assert {case.parent.name for case in CASES} == {"valid", "invalid", "torn"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.stem}")
def test_vector(case: Path) -> None:
    stated, report = verify(case)
    expected = {"valid": 0, "torn": 3, "invalid": 4}[case.parent.name]
    damage = [item for item in stated["damage"] if item["kind"] != "idx_missing"]
    assert report.records == len(stated["frames"])
    assert report.ok == (not damage)
    if damage:
        assert report.exit_code == expected
        assert {CODE_OF_KIND[item["kind"]] for item in damage} == set(report.counts)
    found = [(item.code, item.ordinal) for item in report.findings]
    assert found == [(CODE_OF_KIND[item["kind"]], item["ordinal"]) for item in damage]
    assert Code.IDX_MISSING not in report.counts
