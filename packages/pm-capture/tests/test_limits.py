"""What values of settings must be, alone and together."""

from typing import Any

import pytest

from pm_capture.settings import SettingsError, resolve


def refused(**flags: str) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(flags=flags, environ={})
    return str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"ws_shards": "10001"}, "ws_shards must be at most 10000, found 10001 (flag)"),
        ({"ws_ping_interval_seconds": "1e10"}, "must be at most 1e+09, found 10000000000.0 (flag)"),
        ({"fixtures_multiplier": "0"}, "fixtures_multiplier must be at least 1, found 0 (flag)"),
        ({"rest_timeout": "0"}, "rest_timeout must be above 0, found 0.0 (flag)"),
        ({"capture_use_market_filters": "yes"}, "capture_use_market_filters (flag) needs market_regex"),
        ({"market_regex": "("}, "market_regex is no regular expression: "),
        ({"ws_transport": "curl"}, "must be auto or websockets or picows, found 'curl' (flag)"),
        ({"ws_user_agent": "a\nb"}, "ws_user_agent must be printable ASCII, found 'a\\nb' (flag)"),
        ({"ws_user_agent": "caf\u00e9"}, "ws_user_agent must be printable ASCII, found"),
        ({"offline": "1", "universe": "u"}, "universe (flag) and offline (flag) exclude each other"),
        ({"capture_use_market_filters": "1", "market_regex": "x", "universe": "u"},
         "universe (flag) and capture_use_market_filters (flag) exclude each other"),
        ({"ws_reconnect_backoff_seconds": "60"},
         "ws_reconnect_backoff_max_seconds must be at least ws_reconnect_backoff_seconds, "
         "found 30.0 (default) and 60.0 (flag)"),
        ({"clob_ws_url": "ws://me:hush@host:99999/"}, "clob_ws_url is no usable URL: Port out of range"),
        ({"clob_ws_url": "ws://me:hush@:1/"}, "clob_ws_url names no host and port"),
        ({"gamma_base_url": "https://host/?key=hush"}, "gamma_base_url must have no name, password"),
        ({"gamma_base_url": "https://me:hush@host"}, "gamma_base_url must have no name, password"),
        ({"clob_ws_url": "https://me:hush@host"}, "clob_ws_url must be a ws:// or wss:// URL"),
    ],
)  # fmt: skip
def test_a_problem_is_named_with_its_source_and_without_secrets(
    flags: dict[str, str], words: str
) -> None:
    found = refused(**flags)
    assert words in found
    assert "hush" not in found


@pytest.mark.parametrize(
    "flags",
    [
        {"ws_ping_interval_seconds": "0"},
        {"ws_ping_timeout_seconds": "-1"},
        {"ws_data_idle_reconnect_seconds": "0"},
        {"capture_confirm_timeout_seconds": "0"},
        {"capture_use_market_filters": "1", "market_regex": "btc"},
        {"clob_ws_url": "wss://me:x@host:443/ws?key=v"},
    ],
)
def test_what_may_be_switched_off_may_be(flags: dict[str, Any]) -> None:
    assert resolve(flags=flags, environ={}).warnings == ()


def test_flags_that_do_nothing_are_named() -> None:
    flags = {"market_regex": "btc", "fixtures_dir": "x", "fixtures_multiplier": "2"}
    assert resolve(flags=flags, environ={}).warnings == (
        "--market-regex does nothing without --capture-use-market-filters",
        "--fixtures-dir does nothing without --offline",
        "--fixtures-multiplier does nothing without --offline",
    )
    others = {"capture_rotate_timeout_seconds": "5", "universe": "u", "capture_max_markets": "9"}
    assert resolve(flags=others, environ={}).warnings == (
        "--capture-rotate-timeout-seconds does nothing without --capture-rotate",
        "--capture-max-markets does nothing with --universe",
    )
    assert (
        resolve(flags={**others, "universe": "", "capture_rotate": "1h"}, environ={}).warnings == ()
    )
    # A file or an environment serves many runs.
    environ = {f"PM_DATA_{name.upper()}": value for name, value in flags.items()}
    assert resolve(flags={}, environ=environ).warnings == ()
