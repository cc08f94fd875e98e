from pm_mock.pace import BURST, SECOND_NS, Pace


def test_a_rate_is_kept_over_time() -> None:
    pace = Pace(50, start_ns=0)
    total = 0
    for _ in range(10_000):
        now = pace.deadline()
        if now > 10 * SECOND_NS:
            break
        assert pace.due(now - 1) == 0
        total += pace.due(now)
    assert total == 501


def test_late_calls_catch_up_in_bursts() -> None:
    pace = Pace(1000, start_ns=0)
    assert pace.due(SECOND_NS // 2) == BURST
    total = BURST
    while pace.deadline() <= SECOND_NS // 2:
        total += pace.due(SECOND_NS // 2)
    assert total == 501


def test_a_pause_is_forgiven_beyond_a_second() -> None:
    pace = Pace(10, start_ns=0)
    total = 0
    now = 3600 * SECOND_NS
    while pace.deadline() <= now:
        total += pace.due(now)
    assert total == 11


def test_rate_zero_is_always_due() -> None:
    pace = Pace(0, start_ns=5)
    assert pace.deadline() == 5
    assert pace.due(7) == BURST
    assert pace.deadline() == 7
    assert pace.due(7) == BURST
