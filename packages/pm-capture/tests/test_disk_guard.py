"""The disk guard as a sequence of measurements."""

from pm_capture.actions import Action, GiveUp, Note
from pm_capture.policies.disk_guard import DiskGuard
from pm_capture.reasons import FatalReason

FIVE = 5_000


def test_it_warns_once_and_gives_up_once() -> None:
    guard = DiskGuard(free_bytes_min=FIVE)
    seen: list[tuple[int, Action]] = []
    for free in (20_000, 10_000, 9_999, 9_000, 10_500, 5_000, 4_999, 4_000):
        seen += [(free, action) for action in guard.measured(free)]
    words = "4999 bytes are free, min_free_disk_gb demands 5000"
    assert seen == [
        (9_999, Note("disk_warning", {"disk_free_bytes": 9_999, "fatal_below_bytes": FIVE})),
        (4_999, GiveUp(FatalReason.LOW_DISK, words)),
    ]


def test_it_warns_again_after_there_was_room() -> None:
    guard = DiskGuard(free_bytes_min=FIVE)
    assert len(guard.measured(9_000)) == 1
    assert guard.measured(11_000) == []
    assert guard.warned
    assert guard.measured(11_001) == []
    assert not guard.warned
    assert len(guard.measured(9_000)) == 1


def test_nothing_disables_it() -> None:
    assert DiskGuard(free_bytes_min=0).measured(0) == []
