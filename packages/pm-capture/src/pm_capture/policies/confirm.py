"""Confirm: a subscription is believed when data for the subscribed tokens arrives.

    IDLE ──subscribed──► ASKED ──enough events──► CONFIRMED
                           └──timeout──► FAILED (Note, Reconnect)

The venue acknowledges nothing, so data is the only proof. PONG and global messages are none: the
session feeds only events that name an assigned token.
"""

from pm_capture.actions import Action, Note, Reconnect, Trigger


class Confirm:
    """Wait for `events_min` events of assigned tokens; a non-positive timeout waits for ever."""

    def __init__(self, *, timeout_ns: int, events_min: int) -> None:
        self._timeout_ns = timeout_ns
        self._events_min = events_min
        self._asked_at: int | None = None
        self.events_seen = 0
        self.confirmed = False
        self.failures = 0

    @property
    def waiting(self) -> bool:
        """Whether events still matter to this machine."""
        return self._asked_at is not None

    def subscribed(self, now: int) -> None:
        """Start over: everything that a new connection is to deliver has been asked for."""
        self._asked_at = now
        self.events_seen = 0
        self.confirmed = False

    def closed(self) -> None:
        """Forget the connection."""
        self._asked_at = None
        self.confirmed = False

    def events_received(self, count: int, now: int) -> list[Action]:
        """Count events that name an assigned token."""
        if self._asked_at is None:
            return []
        self.events_seen += count
        if self.events_seen < self._events_min:
            return []
        elapsed_ns = now - self._asked_at
        self._asked_at = None
        self.confirmed = True
        fields = {"events_seen": self.events_seen, "elapsed_ns": elapsed_ns}
        return [Note("subscribe_confirm_success", fields)]

    def deadline(self) -> int | None:
        if self._asked_at is None or self._timeout_ns <= 0:
            return None
        return self._asked_at + self._timeout_ns

    def deadline_reached(self, now: int) -> list[Action]:
        due = self.deadline()
        if due is None or now < due:
            return []
        self._asked_at = None
        self.failures += 1
        seen = self.events_seen
        return [
            Note("subscribe_confirm_fail", {"events_seen": seen, "deadline_mono_ns": due}),
            Reconnect(
                Trigger.CONFIRM, f"{seen} of {self._events_min} events in {self._timeout_ns} ns"
            ),
        ]
