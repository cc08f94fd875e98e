"""What a session asks of its shell: frozen values, performed in the order given.

Nothing here does anything. The shell (`daemon.py`) is the only performer, in one `match`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pm_capture.reasons import FatalReason


class Trigger(StrEnum):
    """Why a connection ended or was not made: the `trigger` of `disconnect` and `reconnect` records."""

    DATA_IDLE = "data_idle_timeout"
    CONFIRM = "confirm_timeout"
    PING = "ping_timeout"
    EXCEPTION = "exception"
    PEER_CLOSED = "peer_closed"
    INVALID_OPERATION = "invalid_operation"
    STOP = "stop"
    REFRESH = "universe_refresh"  # planned: a shard without tokens has no use for a connection


@dataclass(frozen=True, slots=True)
class Connect:
    """Begin to open a connection; answer with `connected` or `connect_failed`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class SendText:
    """Send one text frame on the open connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop the connection at once, without a closing handshake; answer with `disconnected`.

    `since_mono_ns` is the stamp since when delivery is in doubt, if that is before the last frame.
    """

    trigger: Trigger
    reason: str
    since_mono_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close with a handshake, still recording what arrives; answer with `disconnected`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Ask again for tokens whose first book has not come. Policies emit it, the session expands it."""

    token_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Append a record to the runlog. The recorder adds `run_id` and the stamps."""

    record_type: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the run as fatal."""

    reason: FatalReason
    message: str


Action = Connect | SendText | Reconnect | Close | Resubscribe | Note | GiveUp
