"""Which library carries the connections; picows is imported only where it is used."""

import importlib.util

from websockets.asyncio.client import (  # type: ignore[attr-defined]  # moved between versions
    get_proxy,
    parse_proxy,
)
from websockets.exceptions import InvalidProxy
from websockets.uri import parse_uri

from pm_capture import transport
from pm_capture.masking import masked_url
from pm_capture.settings import SettingsError
from pm_capture.shard_link import Open


def carrier(wanted: str) -> tuple[str, Open]:
    """Return the name of the library, and how to open a connection with it.

    `wanted` is a value of `ws_transport`. Raises `SettingsError` for picows that is not installed.
    """
    websockets = "websockets", transport.open_connection
    if wanted == "websockets":
        return websockets
    try:
        from pm_capture import picows_transport
    except ImportError as error:
        if wanted == "auto":
            return websockets
        raise SettingsError(
            f"ws_transport is picows, which cannot be imported ({error}); "
            "pip install 'pm-capture[picows]', or take websockets"
        ) from error
    return "picows", picows_transport.open_connection


def check_proxy(url: str) -> None:
    """Raise `SettingsError` if the way to `url` is a proxy that cannot be spoken to.

    The libraries would find that out with the first connection, when a run has begun, and with every one after it.
    """
    proxy = None if transport.is_loopback(url) else get_proxy(parse_uri(url))
    if proxy is None:
        return
    of_environment = f"the proxy of the environment for {masked_url(url)} is {masked_url(proxy)}; "
    try:
        scheme = parse_proxy(proxy).scheme
    except (InvalidProxy, ValueError) as error:
        reason = error.msg if isinstance(error, InvalidProxy) else error
        raise SettingsError(f"{of_environment}it cannot be used: {reason}") from error
    if scheme.startswith("socks") and importlib.util.find_spec("python_socks") is None:
        raise SettingsError(
            f"{of_environment}SOCKS needs python-socks: pip install 'python-socks[asyncio]'"
        )
