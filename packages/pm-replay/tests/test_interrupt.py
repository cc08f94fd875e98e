"""SIGINT where it hurts: inside a frame, inside a write, between frames, twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

import pytest
from bundles import T0, Made, Maker, book, change, compact, price_change, subscribed

from pm_frames.command import first_interrupt_ignored
from pm_frames.events import EndReason, EventReader
from pm_frames.rows import FrameRow
from pm_replay.batch_engine import BatchEngine
from pm_replay.interrupt import Interrupts
from pm_replay.pipeline import Request, Result, replay


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A background job of a shell begins with SIGINT ignored; what is tested here is a job that is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def made(make_bundle: Maker) -> Made:
    frames = [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"})))]
    for n in range(1, 40):
        one = change("1", "0.4", str(n), "BUY", bid="0.4", ask="0.6")
        frames.append((0, T0 + 100 * n, compact(price_change(one, ts=str(n)))))
    return make_bundle(frames, subscribed("1"))


def interrupted(made: Made, *, in_write: int = -1, in_reading: int = -1) -> tuple[Result, bytes]:
    """Replay, with the signal raised in the write or the read of that number."""
    written: list[bytes] = []

    def sink(data: bytes) -> None:
        if len(written) == in_write:
            signal.raise_signal(signal.SIGINT)
        written.append(data)

    def reading(items: Iterable[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            if number == in_reading:
                signal.raise_signal(signal.SIGINT)
            yield item

    interrupts = Interrupts()
    with interrupts.installed():
        result = replay(made.bundle, Request(), sink, pace=reading, interrupts=interrupts)
    return result, b"".join(written)


@pytest.mark.parametrize("where", [{"in_write": 1}, {"in_write": 20}, {"in_reading": 20}])
def test_what_was_stopped_is_whole_up_to_its_end(made: Made, where: dict[str, int]) -> None:
    whole = list(EventReader(BytesIO(made.replay()[1])))
    result, data = interrupted(made, **where)
    reader = EventReader(BytesIO(data))
    told = list(reader)  # the digest and the counts in END are right, or this raises
    assert reader.end is not None
    assert result.reason == reader.end.reason == EndReason.STOPPED
    assert 0 <= reader.end.seq == max((event.seq for event in told), default=0) < 40
    assert told == whole[: len(told)]


def test_a_block_that_has_begun_is_fed_to_its_end(make_bundle: Maker) -> None:
    """The quick path takes whole blocks; a record ends one."""
    frames = [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"})))]
    frames += [
        (0, T0 + 10 * n, compact(price_change(change("1", "0.4", str(n), "BUY"), ts=str(n))))
        for n in range(2, 40)
    ]
    beat = {"hb_mono_ns": T0, "hb_wall_ns_utc": T0}
    beats = [(T0 + at, "heartbeat", beat) for at in (205, 305)]
    made = make_bundle(frames, [*subscribed("1"), *beats])
    blocks: list[int] = []

    class Interrupted(BatchEngine):
        def feed(self, rows: Sequence[FrameRow]) -> None:
            blocks.append(len(rows))
            if len(rows) > 1:
                signal.raise_signal(signal.SIGINT)
            super().feed(rows)

    interrupts = Interrupts()
    written: list[bytes] = []
    with interrupts.installed():
        result = replay(
            made.bundle, Request(), written.append, make_engine=Interrupted, interrupts=interrupts
        )
    told = list(EventReader(BytesIO(b"".join(written))))
    assert result.reason == EndReason.STOPPED
    assert 1 < result.frames == sum(blocks) < len(frames)
    assert told == list(EventReader(BytesIO(made.replay()[1])))[: len(told)]
    assert told[-1].ts_recv_ns == result.last_mono_ns


def test_the_first_signal_may_be_of_the_program_that_is_read() -> None:
    interrupts = Interrupts()
    with interrupts.installed(), first_interrupt_ignored():
        signal.raise_signal(signal.SIGINT)
        with interrupts.installed():
            interrupts.busy = True
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interrupts.between()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_deferred_is_done_before_the_interrupt() -> None:
    interrupts = Interrupts()
    done: list[int] = []

    def work() -> None:
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        work()
    assert done


@pytest.mark.parametrize("crashed", [False, True])
def test_a_signal_after_the_last_frame_changes_nothing(made: Made, crashed: bool) -> None:
    if crashed:
        (made.path / "seal.json").unlink()
    pieces: list[bytes] = []
    replay(made.bundle, Request(), pieces.append, pace=iter)
    for last in (1, 2) if crashed else (1,):  # END itself, and before it the end of the token
        result, told = interrupted(made, in_write=len(pieces) - last)
        assert result.reason == EndReason.WHOLE
        assert told == b"".join(pieces)


def test_a_signal_before_the_first_frame_is_not_kept_for_later(made: Made) -> None:
    result, _ = interrupted(made, in_write=1)  # the header is the first
    assert (result.reason, result.frames, result.records) == (EndReason.STOPPED, 0, 0)


def test_a_signal_while_the_end_is_written_leaves_a_damaged_run_its_end(made: Made) -> None:
    """The damage was found while nothing was half done; END is, until it is written."""
    path = made.path / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    pieces: list[bytes] = []
    replay(made.bundle, Request(), pieces.append, pace=iter)
    result, told = interrupted(made, in_write=len(pieces) - 1)
    assert result.reason == EndReason.ERROR
    assert told == b"".join(pieces)


def test_the_second_signal_does_not_wait_whenever_the_first_came(made: Made) -> None:
    def sink(data: bytes) -> None:
        written.append(data)
        if stopping:
            signal.raise_signal(signal.SIGINT)

    def reading(items: Iterable[Any]) -> Iterator[Any]:
        yield from list(items)[:5]
        stopping.append(True)
        signal.raise_signal(signal.SIGINT)

    written: list[bytes] = []
    stopping: list[bool] = []
    interrupts = Interrupts()
    with interrupts.installed(), pytest.raises(KeyboardInterrupt):
        replay(made.bundle, Request(), sink, pace=reading, interrupts=interrupts)


def test_the_second_signal_does_not_wait() -> None:
    interrupts = Interrupts()
    interrupts.busy = True
    with interrupts.installed():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_handler_of_somebody_else_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts().installed():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_has_no_signals(made: Made) -> None:
    found: list[EndReason] = []
    thread = threading.Thread(target=lambda: found.append(interrupted(made)[0].reason))
    thread.start()
    thread.join()
    assert found == [EndReason.WHOLE]
