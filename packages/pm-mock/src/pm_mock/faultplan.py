"""The fault script: a TOML file of `[[fault]]` tables, checked when it is read.

Times are seconds. Two families: *timed* faults fire at instants, *window* faults hold for a while and
meet the requests that fall into it.
"""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

ABNORMAL = 1006
PERIOD_MIN_S = 0.01
GARBAGE = '{"event_type":"book","bids":['


class BadFaults(ValueError):
    """A fault script that cannot be used; the message names the file, the entry and the field."""


class _Entry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
    """When a fault strikes and at whom. `connection` counts the WebSocket handshakes, from 1."""

    at: float | None = None
    every: float | None = None
    count: int | None = None
    connection: int | list[int] | None = None

    def __post_init__(self) -> None:
        if self.at is not None and self.at < 0:
            raise ValueError(f"at must not be negative, got {self.at}")
        if self.every is not None and self.every < PERIOD_MIN_S:
            raise ValueError(f"every must be at least {PERIOD_MIN_S}, got {self.every}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if any(number < 1 for number in self.connections or ()):
            raise ValueError(f"connections are counted from 1, got {self.connection}")

    @property
    def connections(self) -> tuple[int, ...] | None:
        """The connections that are meant, None for all."""
        if self.connection is None:
            return None
        return (self.connection,) if isinstance(self.connection, int) else tuple(self.connection)

    def concerns(self, number: int) -> bool:
        """Whether a connection is meant."""
        return self.connections is None or number in self.connections


class _Timed(_Entry, frozen=True):
    """Fires at instants counted from the start of the venue or the opening of each connection."""

    since: Literal["start", "open"] = "start"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at is None and self.every is None:
            raise ValueError("at or every is required")

    def first(self) -> float:
        """Seconds from the origin to the first firing."""
        return self.at if self.at is not None else self.every or 0.0


class Close(_Timed, frozen=True, tag="close"):
    """Close connections; code 1006 drops them without a close frame."""

    code: int = 1001
    reason: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        sendable = 1000 <= self.code <= 1014 and self.code not in (1004, 1005)
        if not (sendable or 3000 <= self.code <= 4999):
            raise ValueError(f"code {self.code} cannot close a connection")
        if len(self.reason.encode()) > 123:
            raise ValueError("reason is longer than 123 bytes")


class Freeze(_Timed, frozen=True, tag="freeze"):
    """Send no more data, and answer nothing but PING, for `seconds` or for good. The data is lost."""

    seconds: float | None = None


class Mute(_Timed, frozen=True, tag="mute"):
    """Send nothing at all, not even PONG, for `seconds` or for good."""

    seconds: float | None = None


class Garbage(_Timed, frozen=True, tag="garbage"):
    """Send one text frame that is not an event."""

    text: str = GARBAGE


class _Window(_Entry, frozen=True):
    """Holds from `at` (default 0) for `seconds` (default: for good), for at most `count` requests.

    With `every` the window opens again after so many seconds, and counts anew.
    """

    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds is not None and self.seconds <= 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")


class Refuse(_Window, frozen=True, tag="refuse"):
    """Refuse WebSocket handshakes with an HTTP status; status 0 drops the TCP connection."""

    status: int = 503

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.status and not 400 <= self.status <= 599:
            raise ValueError(f"status must be 0 or 400 to 599, got {self.status}")


class _Gamma(_Window, frozen=True):
    """Spoil answers of Gamma whose path begins with `path`."""

    path: str = "/"


class Gamma429(_Gamma, frozen=True, tag="gamma_429"):
    """Answer 429; with `retry_after` seconds, say so in the header."""

    retry_after: int | None = None


class Gamma500(_Gamma, frozen=True, tag="gamma_500"):
    """Answer 500."""


class GammaGarbage(_Gamma, frozen=True, tag="gamma_garbage"):
    """Answer 200 with a body that is not JSON."""

    body: str = "<html><body>upstream connect error</body></html>"


class NoBook(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="no_book",
):
    """Tokens that never get an event of their own: those named, and a share of all.

    With `resubscribes`, a token is served from the time that it is subscribed for so many times more.
    """

    tokens: list[str] = []
    share: float = 0.0
    resubscribes: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be between 0 and 1, got {self.share}")
        if not self.tokens and not self.share:
            raise ValueError("tokens or share is required")
        if self.resubscribes is not None and self.resubscribes < 1:
            raise ValueError(f"resubscribes must be at least 1, got {self.resubscribes}")


TimedFault = Close | Freeze | Mute | Garbage
GammaFault = Gamma429 | Gamma500 | GammaGarbage
Fault = Close | Freeze | Mute | Garbage | Refuse | Gamma429 | Gamma500 | GammaGarbage | NoBook


class _Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: list[Fault] = []


def parse_faults(text: str, *, name: str) -> tuple[Fault, ...]:
    """Read a fault script; `name` is what errors call it. Raises `BadFaults`."""
    try:
        return tuple(msgspec.convert(tomllib.loads(text), _Script).fault)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        raise BadFaults(f"{name}: {problem}") from problem


def read_faults(path: Path) -> tuple[Fault, ...]:
    """Read a fault script from a file. Raises `BadFaults`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise BadFaults(f"{path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise BadFaults(f"{path}: byte {problem.start} is not UTF-8") from problem
    return parse_faults(text, name=str(path))
