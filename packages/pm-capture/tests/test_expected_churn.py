"""Which changes the hour, or the end of markets, explains."""

import pytest

from pm_capture.policies.expected_churn import Ending, ExpectedChurn, cadence_minutes

S = 1_000_000_000
NOON = 1_790_942_400 * S  # a full hour of UTC


def new(*, enabled: bool = True, ratio: float = 0.5, expiry: int = 300) -> ExpectedChurn:
    return ExpectedChurn(
        enabled=enabled,
        windows_ns={5: 30 * S, 15: 60 * S, 30: 90 * S, 60: 120 * S},
        expiry_window_ns=expiry * S,
        ratio_min=ratio,
    )


FIVE = Ending("btc-updown-5m-1790994600", None)
QUARTER = Ending("eth-updown-15m-1790994600", None)
HOUR = Ending("bitcoin-up-or-down-october-2-10pm-et", None)
OTHER = Ending("will-it-rain", None)


@pytest.mark.parametrize(
    ("slug", "minutes"),
    [
        ("btc-updown-5m-1790994600", 5), ("x-15m", 15), ("30m-x", 30), ("x-60m-y", 60), ("x-1h-y", 60),
        ("x-hourly", 60), ("bitcoin-up-or-down-october-2-10pm-et", 60), ("x-45m-y", None),
        ("x15m", None), ("will-it-rain", None), ("", None), (None, None), ("x-10pm-pt", None),
    ],
)  # fmt: skip
def test_the_cadence_is_in_the_slug(slug: str | None, minutes: int | None) -> None:
    assert cadence_minutes(slug) == minutes


@pytest.mark.parametrize(
    ("market", "offset", "hit"),
    [
        (FIVE, 30, True), (FIVE, -30, True), (FIVE, 31, False), (FIVE, 300 - 30, True),
        (QUARTER, 60, True), (QUARTER, 61, False), (QUARTER, 300, False),
        (HOUR, 120, True), (HOUR, -121, False), (OTHER, 0, False),
    ],
)  # fmt: skip
def test_near_a_boundary_of_its_cadence(market: Ending, offset: int, hit: bool) -> None:
    found = new().judge([market], NOON + offset * S)
    assert (found.expected, found.rollover_hits) == (hit, int(hit))
    assert found.reason == ("ROLLOVER_WINDOW" if hit else "NONE")


def test_near_its_end() -> None:
    ends = Ending("will-it-rain", NOON)
    for offset, hit in ((-300, True), (300, True), (301, False), (-301, False)):
        found = new().judge([ends], NOON + offset * S)
        assert (found.expected, found.expiry_hits) == (hit, int(hit))
    assert new(expiry=0).judge([ends], NOON).expected is False


def test_half_of_the_changed_markets_are_enough() -> None:
    assert new().judge([FIVE, OTHER], NOON).expected
    assert not new().judge([FIVE, OTHER, OTHER], NOON).expected
    both = new().judge([FIVE, Ending(None, NOON), OTHER], NOON)
    assert (both.changed, both.rollover_hits, both.expiry_hits) == (3, 1, 1)
    assert both.reason == "ROLLOVER_AND_EXPIRY_WINDOW"
    # One market that is both counts once.
    assert not new().judge([Ending(FIVE.slug, NOON), OTHER, OTHER], NOON).expected


def test_nothing_is_expected_of_nothing_or_when_it_is_off() -> None:
    assert not new(ratio=0).judge([], NOON).expected
    assert not new(ratio=0).judge([OTHER], NOON).expected
    off = new(enabled=False).judge([FIVE], NOON)
    assert (off.expected, off.rollover_hits, off.reason) == (False, 1, "NONE")
