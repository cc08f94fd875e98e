"""Which library carries the connections; picows is imported only where it is used."""

from pm_capture import transport
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
