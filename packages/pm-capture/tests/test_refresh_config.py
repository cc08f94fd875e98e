"""The refresh as the settings want it."""

from pm_capture import refresh_config
from pm_capture.policies.expected_churn import Ending
from pm_capture.refresh_actions import Discover, Sweep
from pm_capture.settings import Settings

S = 1_000_000_000


def test_the_defaults_are_the_missions() -> None:
    assert refresh_config.described(Settings()) == {
        "enabled": True, "interval_seconds": 60.0, "timeout_seconds": 30.0,
        "whole_interval_seconds": 3600.0, "stagger_seconds": 0.25, "grace_seconds": 30.0,
        "min_delta_tokens": 2, "max_churn_pct": 10.0, "max_interval_seconds": 600.0,
        "churn_guard_consecutive_fatal": 5,
    }  # fmt: skip
    settings = Settings()
    assert settings.capture_expected_churn_enable is True
    assert settings.capture_expected_churn_expiry_window_seconds == 300.0
    assert settings.capture_expected_churn_min_ratio == 0.5


def test_it_is_off_when_switched_off_or_without_an_interval_or_with_a_universe_file() -> None:
    assert refresh_config.is_on(Settings())
    for off in (
        Settings(capture_universe_refresh_enable=False),
        Settings(capture_universe_refresh_interval_seconds=0),
    ):
        assert not refresh_config.is_wanted(off)
        assert not refresh_config.is_on(off)
    given = Settings(universe="u.json")
    assert refresh_config.is_wanted(given)
    assert not refresh_config.is_on(given)
    assert refresh_config.described(given)["enabled"] is False


def test_the_machines_have_the_settings() -> None:
    policies = refresh_config.policies(
        Settings(
            capture_universe_refresh_interval_seconds=5,
            capture_universe_refresh_timeout_seconds=0.5,
            capture_universe_refresh_min_delta_tokens=7,
            capture_universe_refresh_max_churn_pct=20,
            capture_expected_churn_window_seconds_15m=1,
        )
    )
    policies.refresh.started(0)
    assert policies.refresh.deadline_reached(5 * S) == [Discover(Sweep.RECENT, S // 2)]
    assert policies.tokens_min == 7
    assert (policies.churn.pct_max, policies.churn.interval_ns) == (20, 5 * S)
    quarter = [Ending("x-15m-1", None)]
    assert policies.expected.judge(quarter, 900 * S + S).expected
    assert not policies.expected.judge(quarter, 900 * S + S + 1).expected
