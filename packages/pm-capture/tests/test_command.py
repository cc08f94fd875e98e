"""The arguments of `pm-capture bench` and its table."""

import json

from pm_capture.bench.command import WITHOUT, parser, shown
from pm_capture.settings import FIELDS


def test_multiplier_has_two_names_and_nothing_appears_by_itself() -> None:
    given = vars(parser().parse_args([]))
    assert given == {"config": None, "print_config": False, "json": False}
    for flag in ("--multiplier", "--fixtures-multiplier"):
        assert parser().parse_args([flag, "3"]).fixtures_multiplier == "3"
    assert FIELDS.keys() >= WITHOUT


def test_one_object_or_a_table() -> None:
    report = {"run_id": "r", "frames": 2_000, "msgs_per_sec": 123456.7}
    assert json.loads(shown(report, as_json=True)) == report
    assert shown(report, as_json=False).splitlines() == [
        "run_id        r",
        "frames        2,000",
        "msgs_per_sec  123,457",
    ]
