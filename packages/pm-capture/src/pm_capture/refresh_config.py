"""The refresh as the settings want it: whether it is on, its machines, and what the manifest says."""

import dataclasses

from pm_capture.discovery import GIVE_UP_SECONDS
from pm_capture.policies.churn import Churn
from pm_capture.policies.expected_churn import ExpectedChurn
from pm_capture.policies.refresh import Refresh
from pm_capture.policies.stagger import Stagger
from pm_capture.refresh_session import RefreshPolicies
from pm_capture.settings import Settings, nanoseconds

PREFIX = "capture_universe_refresh_"
DESCRIBED = (
    "interval_seconds",
    "timeout_seconds",
    "whole_interval_seconds",
    "stagger_seconds",
    "grace_seconds",
    "min_delta_tokens",
    "max_churn_pct",
    "max_interval_seconds",
    "churn_guard_consecutive_fatal",
)


def is_on(settings: Settings) -> bool:
    """Return whether the universe is refreshed: it was discovered here, and nobody has switched it off."""
    return settings.universe is None and not settings.offline and is_wanted(settings)


def is_wanted(settings: Settings) -> bool:
    """Return whether the settings ask for a refresh, which a universe file cannot have."""
    return (
        settings.capture_universe_refresh_enable
        and settings.capture_universe_refresh_interval_seconds > 0
    )


def described(settings: Settings) -> dict[str, object]:
    """Return the `universe_refresh` of the manifest."""
    return {
        "enabled": is_on(settings),
        **{name: getattr(settings, PREFIX + name) for name in DESCRIBED},
    }


def continued(before: RefreshPolicies, settings: Settings) -> RefreshPolicies:
    """Return the machines of the next run: the cadence and the guard go on, pending changes do not."""
    return dataclasses.replace(before, stagger=policies(settings).stagger)


def policies(settings: Settings) -> RefreshPolicies:
    """Return the machines of one run."""
    interval_ns = nanoseconds(settings.capture_universe_refresh_interval_seconds)
    return RefreshPolicies(
        refresh=Refresh(
            interval_ns=interval_ns,
            timeout_ns=nanoseconds(settings.capture_universe_refresh_timeout_seconds),
            whole_interval_ns=nanoseconds(settings.capture_universe_refresh_whole_interval_seconds),
            whole_timeout_ns=nanoseconds(GIVE_UP_SECONDS),
        ),
        churn=Churn(
            pct_max=settings.capture_universe_refresh_max_churn_pct,
            interval_ns=interval_ns,
            interval_max_ns=nanoseconds(settings.capture_universe_refresh_max_interval_seconds),
            consecutive_fatal=settings.capture_universe_refresh_churn_guard_consecutive_fatal,
        ),
        expected=ExpectedChurn(
            enabled=settings.capture_expected_churn_enable,
            windows_ns={
                5: nanoseconds(settings.capture_expected_churn_window_seconds_5m),
                15: nanoseconds(settings.capture_expected_churn_window_seconds_15m),
                30: nanoseconds(settings.capture_expected_churn_window_seconds_30m),
                60: nanoseconds(settings.capture_expected_churn_window_seconds_60m),
            },
            expiry_window_ns=nanoseconds(settings.capture_expected_churn_expiry_window_seconds),
            ratio_min=settings.capture_expected_churn_min_ratio,
        ),
        stagger=Stagger(gap_ns=nanoseconds(settings.capture_universe_refresh_stagger_seconds)),
        tokens_min=settings.capture_universe_refresh_min_delta_tokens,
    )
