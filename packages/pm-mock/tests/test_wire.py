import pytest
from websockets.frames import Frame, Opcode

from pm_mock.wire import outgoing, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_frames_are_those_of_the_websockets_library(size: int) -> None:
    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_messages_that_leave_together_are_one_run_of_bytes() -> None:
    item = outgoing(b"one", b"two")
    assert item.payloads == (b"one", b"two")
    assert item.wire == text_frame(b"one") + text_frame(b"two")
