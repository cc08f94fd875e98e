"""Addresses, failures, and loopback; what goes over sockets is in test_daemon.py."""

import ssl

import pytest

from pm_capture.transport import describe_failure, is_loopback


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("ws://127.0.0.1:1/ws", True),
        ("ws://127.9.9.9/", True),
        ("ws://[::1]:80/", True),
        ("ws://localhost:80/", True),
        ("wss://a.localhost/", True),
        ("wss://ws-subscriptions-clob.polymarket.com/ws/market", False),
        ("ws://10.0.0.1/", False),
        ("ws://localhost.example.org/", False),
    ],
)
def test_loopback_needs_no_proxy(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_failures_have_a_kind_and_words() -> None:
    assert describe_failure(ConnectionRefusedError(111, "refused")) == (
        "ConnectionRefusedError",
        "[Errno 111] refused",
    )
    assert describe_failure(TimeoutError()) == ("TimeoutError", "TimeoutError")
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "certificate has expired"
    assert describe_failure(error) == ("SSLCertVerificationError", "certificate has expired")
