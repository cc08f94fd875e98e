"""Secrets of URLs."""

import pytest

from pm_capture.masking import masked
from pm_capture.settings import SettingsError, resolve


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("wss://host/ws/market", "wss://host/ws/market"),
        ("wss://me:hush@host:1/ws", "wss://***@host:1/ws"),
        ("wss://a@b@host", "wss://***@host"),
        ("wss://host/ws?key=hush&x=1", "wss://host/ws?***"),
        ("wss://me:hush@host?key=a/b@c", "wss://***@host?***"),
        ("./data", "./data"),
        (8, 8),
        (None, None),
    ],
)
def test_nothing_of_a_secret_is_left(value: object, shown: object) -> None:
    assert masked(value) == shown


def test_warnings_and_refusals_keep_secrets() -> None:
    variable, url = "PM_DATA_CLOB_WS_URL", "wss://me:hush@host/"
    [warning] = resolve(flags={"clob_ws_url": "wss://a:hush2@b/"}, environ={variable: url}).warnings
    assert "hush" not in warning
    assert "wss://***@host/" in warning
    with pytest.raises(SettingsError) as caught:
        resolve(flags={}, environ={variable: url, "PM_ARB_CLOB_WS_URL": "wss://x:hush@y/"})
    assert "hush" not in str(caught.value)
