"""Keepalive: the venue wants the text `PING` about every 10 s and answers `PONG`.

    CLOSED ──opened──► QUIET ──PING──► AWAITING ──any frame──► QUIET
                                           └──timeout──► DEAD (Reconnect, once)

Any frame is a sign of life, not only `PONG`: on a busy connection the PONG waits behind the data, and
a connection that delivers data must not be dropped. That it delivers nothing but PONG is for
`data_idle` to notice.
"""

from pm_capture.actions import Action, Reconnect, SendText, Trigger

PING = "PING"


class Keepalive:
    """Ping at a fixed cadence; give the connection up when a ping stays unanswered.

    A non-positive interval disables the machine, a non-positive timeout only the giving up.
    """

    def __init__(self, *, interval_ns: int, timeout_ns: int) -> None:
        self._interval_ns = interval_ns
        self._timeout_ns = timeout_ns
        self._next_ping: int | None = None
        # When the oldest ping without a sign of life since was sent.
        self._unanswered_since: int | None = None

    def opened(self, now: int) -> None:
        """Start over on a new connection."""
        self._next_ping = now + self._interval_ns if self._interval_ns > 0 else None
        self._unanswered_since = None

    def closed(self) -> None:
        """Forget the connection."""
        self._next_ping = self._unanswered_since = None

    def frame_received(self) -> None:
        """Take any frame as the answer to every ping sent so far."""
        self._unanswered_since = None

    def deadline(self) -> int | None:
        if self._next_ping is None:
            return None
        if self._unanswered_since is None or self._timeout_ns <= 0:
            return self._next_ping
        return min(self._next_ping, self._unanswered_since + self._timeout_ns)

    def deadline_reached(self, now: int) -> list[Action]:
        if self._next_ping is None:
            return []
        since = self._unanswered_since
        if since is not None and self._timeout_ns > 0 and now >= since + self._timeout_ns:
            self.closed()
            silent_ns = now - since
            return [Reconnect(Trigger.PING, f"no frame for {silent_ns} ns after a PING")]
        if now < self._next_ping:
            return []
        # After a stall one ping is enough: the cadence starts again from now.
        self._next_ping = now + self._interval_ns
        if since is None:
            self._unanswered_since = now
        return [SendText(PING)]
