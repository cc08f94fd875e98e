from pm_mock.lifecycle import Lifecycle, Step


def test_steps_follow_one_another_every_third_of_a_period() -> None:
    lifecycle = Lifecycle(period_ns=30, start_ns=100)
    seen = []
    for now in range(100, 171):
        seen += [(now, step) for step in lifecycle.deadline_reached(now)]
    assert seen == [
        (110, Step.LIST),
        (120, Step.CLOSE),
        (130, Step.RESOLVE),
        (140, Step.LIST),
        (150, Step.CLOSE),
        (160, Step.RESOLVE),
        (170, Step.LIST),
    ]
    assert lifecycle.deadline() == 180


def test_after_a_pause_steps_go_on_without_a_flood() -> None:
    lifecycle = Lifecycle(period_ns=30, start_ns=0)
    assert lifecycle.deadline_reached(1000) == [Step.LIST]
    assert lifecycle.deadline() == 1000
    assert lifecycle.deadline_reached(1000) == [Step.CLOSE]
    assert lifecycle.deadline() == 1010


def test_period_zero_is_never() -> None:
    lifecycle = Lifecycle(period_ns=0, start_ns=0)
    assert lifecycle.deadline() is None
    assert lifecycle.deadline_reached(10**18) == []
