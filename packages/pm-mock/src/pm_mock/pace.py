"""How many events are due: a rate kept over time, without a burst after a pause."""

SECOND_NS = 1_000_000_000
BURST = 64


class Pace:
    """Owes `rate` events a second from `start_ns` on; rate 0 owes `BURST` at every call."""

    def __init__(self, rate: float, *, start_ns: int) -> None:
        self._interval_ns = round(SECOND_NS / rate) if rate else 0
        self._next_ns = start_ns

    def deadline(self) -> int:
        """When the next event is due (ns)."""
        return self._next_ns

    def due(self, now_ns: int) -> int:
        """How many events to produce now, and count them as produced.

        What is more than a second late is forgiven: a pause does not end in a flood.
        """
        if not self._interval_ns:
            self._next_ns = now_ns
            return BURST
        if now_ns < self._next_ns:
            return 0
        self._next_ns = max(self._next_ns, now_ns - SECOND_NS)
        owed = min((now_ns - self._next_ns) // self._interval_ns + 1, BURST)
        self._next_ns += owed * self._interval_ns
        return owed
