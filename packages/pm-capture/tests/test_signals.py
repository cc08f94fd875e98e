"""Stop signals: the first asks, the second ends."""

import signal
import subprocess
import sys

import pytest

from pm_capture.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_one_asks(number: signal.Signals) -> None:
    came: list[signal.Signals] = []
    before = signal.getsignal(number)
    signals = StopSignals(came.append)
    signal.raise_signal(number)
    signals.restore()
    assert came == [number]
    assert signal.getsignal(number) is before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX exit codes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_one_ends_the_process_at_once(number: signal.Signals) -> None:
    program = (
        "import signal, sys\n"
        "from pm_capture.signals import StopSignals\n"
        "StopSignals(lambda number: print('asked', number.name, flush=True))\n"
        f"signal.raise_signal(signal.SIGTERM)\nsignal.raise_signal({int(number)})\n"
        "print('still here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + number, "asked SIGTERM\n")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = StopSignals(lambda number: None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signals.restore()
    finally:
        signal.signal(signal.SIGHUP, before)
