"""Timelines: a script, what happens when, and what strikes when. Times in ms."""

from collections.abc import Callable

from pm_mock.channel import Gate
from pm_mock.faultplan import parse_faults
from pm_mock.faults import Action, CloseConnection, Faults, SendGarbage, SetGate

MS = 1_000_000
START = 5_000 * MS


def machine(script: str) -> Faults:
    return Faults(parse_faults(script, name="test"), start_ns=START, seed=1)


Feed = Callable[[Faults, int], None]


def opens(number: int) -> Feed:
    return lambda faults, now: faults.connection_opened(number, now)


def closes(number: int) -> Feed:
    return lambda faults, _: faults.connection_closed(number)


def play(faults: Faults, feeds: list[tuple[int, Feed]], *, until: int) -> list[tuple[int, Action]]:
    """Drive a machine as the shell does; times in ms since the start."""
    seen: list[tuple[int, Action]] = []
    for at, feed in [*feeds, (until, lambda *_: None)]:
        now = START + at * MS
        while (due := faults.deadline()) is not None and due <= now:
            assert faults.deadline_reached(due - 1) == [], "early calls do nothing"
            seen += [((due - START) // MS, action) for action in faults.deadline_reached(due)]
        feed(faults, now)
    return seen


def test_close_once_and_only_the_connection_that_is_meant() -> None:
    faults = machine('[[fault]]\nkind="close"\nat=6.0\nconnection=2\n')
    seen = play(faults, [(0, opens(1)), (10, opens(2)), (20, opens(3))], until=20_000)
    assert seen == [(6000, CloseConnection(2, 1001, ""))]
    assert faults.struck == 1


def test_close_every_so_often_closes_whatever_is_open() -> None:
    faults = machine('[[fault]]\nkind="close"\nevery=2\ncode=1012\nreason="restart"\n')
    feeds = [
        (0, opens(1)),
        (1000, opens(2)),
        (2100, closes(1)),
        (2200, closes(2)),
        (3000, opens(3)),
    ]
    assert play(faults, feeds, until=5000) == [
        (2000, CloseConnection(1, 1012, "restart")),
        (2000, CloseConnection(2, 1012, "restart")),
        (4000, CloseConnection(3, 1012, "restart")),
    ]


def test_count_limits_the_firings_that_met_somebody() -> None:
    faults = machine('[[fault]]\nkind="garbage"\nat=1\nevery=1\ncount=2\ntext="!"\n')
    seen = play(faults, [(2500, opens(1))], until=9000)
    assert seen == [(3000, SendGarbage(1, "!")), (4000, SendGarbage(1, "!"))]


def test_since_open_counts_from_each_opening() -> None:
    faults = machine('[[fault]]\nkind="close"\nat=1\nsince="open"\n')
    feeds = [(0, opens(1)), (500, opens(2)), (700, closes(2)), (5000, opens(3))]
    assert play(faults, feeds, until=9000) == [
        (1000, CloseConnection(1, 1001, "")),
        (6000, CloseConnection(3, 1001, "")),
    ]


def test_a_freeze_ends_and_a_longer_one_outlives_it() -> None:
    faults = machine(
        '[[fault]]\nkind="freeze"\nat=1\nseconds=2\n[[fault]]\nkind="mute"\nat=2\nseconds=3\n'
    )
    assert play(faults, [(0, opens(1))], until=9000) == [
        (1000, SetGate(1, Gate.FROZEN)),
        (2000, SetGate(1, Gate.MUTE)),
        (5000, SetGate(1, Gate.OPEN)),
    ]


def test_a_freeze_without_end_stays() -> None:
    faults = machine('[[fault]]\nkind="freeze"\nat=1\n')
    assert play(faults, [(0, opens(1))], until=10**6) == [(1000, SetGate(1, Gate.FROZEN))]


def test_the_end_of_a_freeze_finds_nobody_after_a_close() -> None:
    faults = machine('[[fault]]\nkind="freeze"\nat=1\nseconds=2\n')
    assert play(faults, [(0, opens(1)), (1500, closes(1)), (1600, opens(2))], until=9000) == [
        (1000, SetGate(1, Gate.FROZEN))
    ]


def test_firings_missed_while_busy_are_left_out() -> None:
    faults = machine('[[fault]]\nkind="garbage"\nevery=1\n')
    faults.connection_opened(1, START)
    assert len(faults.deadline_reached(START + 10_500 * MS)) == 1
    assert faults.deadline() == START + 11_000 * MS


def strikes(ask: Callable[[int], object], times: list[int]) -> list[int]:
    return [at for at in times if ask(START + at * MS) is not None]


def test_refused_handshakes() -> None:
    faults = machine('[[fault]]\nkind="refuse"\nat=1\nseconds=2\n')
    times = [0, 999, 1000, 2999, 3000, 9000]
    assert strikes(lambda now: faults.refusal(1, now), times) == [1000, 2999]
    assert faults.refusal(1, START + 1500 * MS) == 503


def test_refusals_by_count_status_and_connection() -> None:
    faults = machine('[[fault]]\nkind="refuse"\ncount=2\nstatus=0\nconnection=[2,3,4]\n')
    assert [faults.refusal(number, START) for number in (1, 2, 3, 4, 5)] == [None, 0, 0, None, None]


def test_a_window_opens_again_and_counts_anew() -> None:
    faults = machine('[[fault]]\nkind="gamma_500"\nat=1\nevery=10\nseconds=2\ncount=1\n')
    times = [500, 1000, 1100, 11_000, 11_500, 13_000, 22_900, 23_000]
    assert strikes(lambda now: faults.spoiled("/markets", now), times) == [1000, 11_000, 22_900]
    assert faults.struck == 3


def test_spoiled_answers_of_gamma() -> None:
    faults = machine(
        '[[fault]]\nkind="gamma_429"\ncount=1\nretry_after=3\npath="/events"\n'
        '[[fault]]\nkind="gamma_500"\ncount=1\n'
        '[[fault]]\nkind="gamma_garbage"\ncount=1\nbody="<html>"\n'
    )
    answers = [
        faults.spoiled(path, START) for path in ("/markets", "/events", "/events", "/events")
    ]
    assert [answer and answer.status for answer in answers] == [500, 429, 200, None]
    limited, garbage = answers[1], answers[2]
    assert limited is not None
    assert garbage is not None
    assert limited.headers == (("Retry-After", "3"),)
    assert garbage.body == b"<html>"


def test_starved_tokens_by_name_by_share_and_until_asked_again() -> None:
    by_name = machine('[[fault]]\nkind="no_book"\ntokens=["7"]\n')
    assert [by_name.starved(token) for token in ("7", "8", "7")] == [True, False, True]
    by_share = machine('[[fault]]\nkind="no_book"\nshare=0.25\n')
    starved = [by_share.starved(str(token)) for token in range(1000)]
    assert 200 < sum(starved) < 300
    assert [by_share.starved(str(token)) for token in range(1000)] == starved
    rescued = machine('[[fault]]\nkind="no_book"\nshare=1\nresubscribes=2\n')
    assert [rescued.starved("7") for _ in range(4)] == [True, True, False, False]


def test_no_script_does_nothing() -> None:
    faults = machine("")
    assert faults.deadline() is None
    assert play(faults, [(0, opens(1)), (5, closes(1))], until=9000) == []
    assert faults.refusal(1, START) is None
    assert faults.spoiled("/markets", START) is None
    assert not faults.starved("7")
