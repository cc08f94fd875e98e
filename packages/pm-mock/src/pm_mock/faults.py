"""The fault machine: which scripted fault strikes now. Pure; times are ns of one monotonic clock.

Timed faults come out of `deadline_reached` as actions. Window faults are asked for: `refusal` at each
WebSocket handshake, `spoiled` at each request to Gamma, `starved` for each token that is subscribed.
"""

import hashlib
import heapq
from collections.abc import Sequence
from typing import NamedTuple

from pm_mock.channel import Gate
from pm_mock.faultplan import (
    Close,
    Fault,
    Freeze,
    Gamma429,
    Gamma500,
    GammaFault,
    GammaGarbage,
    Garbage,
    Mute,
    NoBook,
    Refuse,
    TimedFault,
)
from pm_mock.http_message import Response, json_response
from pm_mock.pace import SECOND_NS

TIMED = (Close, Freeze, Mute, Garbage)
GAMMA = (Gamma429, Gamma500, GammaGarbage)


class CloseConnection(NamedTuple):
    number: int
    code: int
    reason: str


class SetGate(NamedTuple):
    number: int
    gate: Gate


class SendGarbage(NamedTuple):
    number: int
    text: str


Action = CloseConnection | SetGate | SendGarbage


class _Window:
    """Counts how often a window fault has struck since the window last opened."""

    def __init__(self, fault: Refuse | GammaFault, start_ns: int) -> None:
        self.fault = fault
        self._first_ns = start_ns + _ns(fault.at or 0.0)
        self._opening = -1
        self._struck = 0

    def strikes(self, now_ns: int) -> bool:
        """Whether the fault strikes a request that arrives now, and count it if so."""
        fault = self.fault
        since_ns = now_ns - self._first_ns
        if since_ns < 0:
            return False
        opening = 0
        if fault.every is not None:
            opening, since_ns = divmod(since_ns, _ns(fault.every))
        if fault.seconds is not None and since_ns >= _ns(fault.seconds):
            return False
        if opening != self._opening:
            self._opening, self._struck = opening, 0
        if fault.count is not None and self._struck >= fault.count:
            return False
        self._struck += 1
        return True


class _Timer(NamedTuple):
    """A firing to come: of the fault at a position, for one connection or for all, or the end of a gate."""

    due_ns: int
    serial: int
    fault: int | None
    number: int | None


class Faults:
    """Everything that a script says about a venue that started at `start_ns`."""

    def __init__(self, script: Sequence[Fault], *, start_ns: int, seed: int) -> None:
        self._seed = seed
        self._timed: list[TimedFault] = [one for one in script if isinstance(one, TIMED)]
        self._fired = [0] * len(self._timed)
        self._refusals = [_Window(one, start_ns) for one in script if isinstance(one, Refuse)]
        self._gamma = [_Window(one, start_ns) for one in script if isinstance(one, GAMMA)]
        self._no_book = [one for one in script if isinstance(one, NoBook)]
        self._asked: dict[str, int] = {}
        self._open: dict[int, None] = {}
        self._gate_until_ns: dict[int, int | None] = {}
        self._timers: list[_Timer] = []
        self._serial = 0
        self.struck = 0
        for index, fault in enumerate(self._timed):
            if fault.since == "start":
                self._push(start_ns + _ns(fault.first()), index, None)

    # -- connections ----------------------------------------------------------------------------

    def refusal(self, number: int, now_ns: int) -> int | None:
        """The status that refuses this handshake (0: drop it), None if it is accepted."""
        for window in self._refusals:
            if window.fault.concerns(number) and window.strikes(now_ns):
                assert isinstance(window.fault, Refuse)
                self.struck += 1
                return window.fault.status
        return None

    def connection_opened(self, number: int, now_ns: int) -> None:
        """Start the timers that count from the opening of a connection."""
        self._open[number] = None
        for index, fault in enumerate(self._timed):
            if fault.since == "open" and fault.concerns(number):
                self._push(now_ns + _ns(fault.first()), index, number)

    def connection_closed(self, number: int) -> None:
        """Timers for it find nobody."""
        self._open.pop(number, None)
        self._gate_until_ns.pop(number, None)

    # -- timers ---------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """When the next timed fault fires or ends (ns)."""
        return self._timers[0].due_ns if self._timers else None

    def deadline_reached(self, now_ns: int) -> list[Action]:
        """What strikes now, in the order in which it was due."""
        actions: list[Action] = []
        while self._timers and self._timers[0].due_ns <= now_ns:
            timer = heapq.heappop(self._timers)
            if timer.fault is None:
                actions += self._gate_ended(timer)
            else:
                actions += self._fire(timer, timer.fault, now_ns)
        return actions

    def _fire(self, timer: _Timer, index: int, now_ns: int) -> list[Action]:
        fault = self._timed[index]
        if fault.count is not None and self._fired[index] >= fault.count:
            return []
        if timer.number is None:
            targets = [number for number in self._open if fault.concerns(number)]
        elif timer.number in self._open:
            targets = [timer.number]
        else:
            return []
        if fault.every is not None:
            every_ns = _ns(fault.every)
            # A firing that was missed while the venue was busy is left out.
            missed = (now_ns - timer.due_ns) // every_ns
            self._push(timer.due_ns + (missed + 1) * every_ns, index, timer.number)
        if targets:
            self._fired[index] += 1
            self.struck += 1
        return [self._strike(fault, number, timer.due_ns) for number in targets]

    def _strike(self, fault: TimedFault, number: int, due_ns: int) -> Action:
        match fault:
            case Close():
                return CloseConnection(number, fault.code, fault.reason)
            case Garbage():
                return SendGarbage(number, fault.text)
            case Freeze() | Mute():
                if fault.seconds is None:
                    self._gate_until_ns[number] = None
                else:
                    until_ns = due_ns + _ns(fault.seconds)
                    self._gate_until_ns[number] = until_ns
                    self._push(until_ns, None, number)
                return SetGate(number, Gate.FROZEN if isinstance(fault, Freeze) else Gate.MUTE)

    def _gate_ended(self, timer: _Timer) -> list[Action]:
        number = timer.number
        # A later freeze of the same connection outlives the timer of an earlier one.
        if number is None or self._gate_until_ns.get(number) != timer.due_ns:
            return []
        del self._gate_until_ns[number]
        return [SetGate(number, Gate.OPEN)]

    def _push(self, due_ns: int, index: int | None, number: int | None) -> None:
        self._serial += 1
        heapq.heappush(self._timers, _Timer(due_ns, self._serial, index, number))

    # -- requests -------------------------------------------------------------------------------

    def spoiled(self, path: str, now_ns: int) -> Response | None:
        """The answer that replaces Gamma's, None if Gamma answers itself."""
        for window in self._gamma:
            fault = window.fault
            assert isinstance(fault, GAMMA)
            if path.startswith(fault.path) and window.strikes(now_ns):
                self.struck += 1
                return _spoiled(fault)
        return None

    def starved(self, token: str) -> bool:
        """Whether a token that is being subscribed gets nothing; counts the subscription."""
        if not self._no_book:
            return False
        asked = self._asked[token] = self._asked.get(token, 0) + 1
        for fault in self._no_book:
            if token in fault.tokens or self._draw(token) < fault.share:
                if fault.resubscribes is None or asked <= fault.resubscribes:
                    return True
        return False

    def _draw(self, token: str) -> float:
        digest = hashlib.sha256(f"{self._seed}:{token}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def _spoiled(fault: GammaFault) -> Response:
    match fault:
        case Gamma429():
            answer = json_response({"error": "Too Many Requests"}, 429)
            if fault.retry_after is None:
                return answer
            return answer._replace(headers=(("Retry-After", str(fault.retry_after)),))
        case Gamma500():
            return json_response({"error": "internal server error"}, 500)
        case GammaGarbage():
            return Response(200, fault.body.encode())


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
