"""Timers of 1 ms, where there is something to ask for them."""

import sys

import pytest

from pm_capture.high_res_timer import high_res_timer, winmm


class Winmm:
    """A winmm.dll that grants or refuses."""

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.calls: list[tuple[str, int]] = []

    def timeBeginPeriod(self, period_ms: int, /) -> int:
        self.calls.append(("begin", period_ms))
        return self.answer

    def timeEndPeriod(self, period_ms: int, /) -> int:
        self.calls.append(("end", period_ms))
        return 0


def test_what_was_granted_is_given_back_whatever_happens() -> None:
    library = Winmm(0)
    calls: list[tuple[str, int]] = []

    def fail() -> None:
        with high_res_timer(library) as granted:
            assert granted
            calls.extend(library.calls)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert calls == [("begin", 1)]
    assert library.calls == [("begin", 1), ("end", 1)]


def test_a_refusal_is_no_error() -> None:
    library = Winmm(97)  # TIMERR_NOCANDO
    with high_res_timer(library) as granted:
        assert not granted
    assert library.calls == [("begin", 1)]


def test_without_a_library_nothing_happens() -> None:
    with high_res_timer(None) as granted:
        assert not granted


def test_only_windows_has_one() -> None:
    assert (winmm() is None) is (sys.platform != "win32")
    with high_res_timer(winmm()):
        pass
