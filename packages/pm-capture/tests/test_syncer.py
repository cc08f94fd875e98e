"""The syncing thread."""

import threading

from pm_capture.syncer import Syncer

WAIT_SECONDS = 30


def test_syncs_again_and_again_until_stopped() -> None:
    thrice = threading.Event()
    calls: list[str] = []

    def sync() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            thrice.set()

    failures: list[Exception] = []
    syncer = Syncer(sync, failures.append, interval_seconds=0.001)
    syncer.start()
    assert thrice.wait(WAIT_SECONDS)
    syncer.stop()
    count = len(calls)
    assert set(calls) == {"syncer"}
    assert failures == []
    syncer.stop()
    assert len(calls) == count


def test_the_first_failure_ends_the_thread_and_is_told_once() -> None:
    told = threading.Event()
    failures: list[Exception] = []
    calls: list[int] = []

    def sync() -> None:
        calls.append(1)
        raise OSError("no")

    def failed(error: Exception) -> None:
        failures.append(error)
        told.set()

    syncer = Syncer(sync, failed, interval_seconds=0.001)
    syncer.start()
    assert told.wait(WAIT_SECONDS)
    syncer.stop()
    assert len(calls) == len(failures) == 1
    assert syncer.failure is failures[0]


def test_stopping_before_starting_does_nothing() -> None:
    Syncer(lambda: None, lambda _: None).stop()
