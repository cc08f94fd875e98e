"""The settings that operators of the predecessors know: each exists, with its flag, variable and default."""

import argparse

import pytest

from pm_capture.flags import add_settings
from pm_capture.settings import resolve

TABLE: dict[str, object] = {
    "ws_shards": 8,
    "ws_ping_interval_seconds": 10.0,
    "ws_ping_timeout_seconds": 10.0,
    "ws_data_idle_reconnect_seconds": 120.0,
    "capture_confirm_timeout_seconds": 45.0,
    "capture_confirm_min_events": 1,
    "capture_universe_refresh_enable": True,
    "capture_universe_refresh_interval_seconds": 60.0,
    "capture_max_markets": 2000,
    "data_dir": "./data",
    "capture_metrics_max_samples": 1024,
    "capture_disk_usage_interval_seconds": 10.0,
    "capture_coverage_metrics_interval_seconds": 5.0,
    "capture_windows_high_res_timer_enable": True,
    "runtime_windows_high_res_timer_enable": True,
    "capture_universe_refresh_timeout_seconds": 30.0,
    "capture_universe_refresh_stagger_seconds": 0.25,
    "capture_universe_refresh_grace_seconds": 30.0,
    "capture_universe_refresh_min_delta_tokens": 2,
    "capture_universe_refresh_max_churn_pct": 10.0,
    "capture_universe_refresh_max_interval_seconds": 600.0,
    "capture_universe_refresh_churn_guard_consecutive_fatal": 5,
    "capture_use_market_filters": False,
    "capture_frames_schema_version": 2,
    "capture_backpressure_fatal_ms": 250.0,
    "min_free_disk_gb": 5.0,
}


@pytest.mark.parametrize("name", TABLE)
def test_a_row_has_its_default_its_variables_and_its_flag(name: str) -> None:
    default = TABLE[name]
    found = getattr(resolve(flags={}, environ={}).settings, name)
    assert (type(found), found) == (type(default), default)
    for prefix in ("PM_DATA_", "PM_ARB_"):
        variable = prefix + name.upper()
        resolved = resolve(flags={}, environ={variable: str(default)})
        assert getattr(resolved.settings, name) == default
        assert resolved.sources[name] == f"env:{variable}"
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser)
    flag = f"--{name.replace('_', '-')}"
    arguments = [flag] if isinstance(default, bool) else [flag, str(default)]
    given = vars(parser.parse_args(arguments))
    assert set(given) == {name}
    needed = {"PM_DATA_MARKET_REGEX": "btc"} if name == "capture_use_market_filters" else {}
    assert resolve(flags=given, environ=needed).sources[name] == "flag"
    if isinstance(default, bool):
        assert vars(parser.parse_args([f"--no-{flag[2:]}"])) == {name: False}
