"""Data-idle: a connection that answers pings but sends no books is a known failure of the venue.

    CLOSED ──opened──► WATCHING ──idle too long──► GIVEN UP (Reconnect, once)

Only data of assigned tokens moves the deadline; PONG and global messages do not.
"""

from pm_capture.actions import Action, Reconnect, Trigger


class DataIdle:
    """Give a connection up that delivers no data; a non-positive limit disables the machine."""

    def __init__(self, *, idle_ns: int) -> None:
        self._idle_ns = idle_ns
        self._last_data: int | None = None
        self._any_data = False

    def opened(self, now: int) -> None:
        """Start over on a new connection, which owes its first data from now on."""
        self._last_data = now
        self._any_data = False

    def closed(self) -> None:
        """Forget the connection."""
        self._last_data = None

    def data_received(self, now: int) -> None:
        """Take note of data for an assigned token."""
        if self._last_data is not None:
            self._last_data = now
            self._any_data = True

    def deadline(self) -> int | None:
        if self._last_data is None or self._idle_ns <= 0:
            return None
        return self._last_data + self._idle_ns

    def deadline_reached(self, now: int) -> list[Action]:
        due = self.deadline()
        if due is None or now < due:
            return []
        # Answered pings prove nothing: what went missing may have gone missing since the last data.
        since = self._last_data if self._any_data else None
        self._last_data = None
        reason = f"no data for an assigned token in {self._idle_ns} ns"
        return [Reconnect(Trigger.DATA_IDLE, reason, since)]
