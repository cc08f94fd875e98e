"""The page for people."""

from __future__ import annotations

from bundles import T0, FrameSpec, Maker, book, change, compact, price_change, subscribed

from pm_replay.report import page, summary


def test_nothing_of_the_venue_reaches_a_terminal_as_it_is(make_bundle: Maker) -> None:
    made = make_bundle([(0, T0 + 10, b'{"event_type":"\\ud800\\u001b[2J\\n\\u00e9"}')])
    result, _ = made.replay()
    lines = list(page(summary(result, "r\x1bn", elapsed_ms=0, profile="full", code=0)))
    assert all(line.isprintable() for line in lines)
    "\n".join(lines).encode()
    assert lines[0].startswith("run r\\x1bn:")
    assert "schema: \\ud800\\x1b[2J\\né: new event type (shard 0, frame 0)" in lines


def test_what_depends_on_the_machine_can_be_left_out(make_bundle: Maker) -> None:
    frames: list[FrameSpec] = [
        (0, T0 + 10, compact(book(token, {"0.4": "1"}, {"0.6": "1"}))) for token in ("1", "2")
    ]
    for number in range(5):
        one = change("1", "0.45", str(number + 1), "BUY", bid="0.45", ask="0.6")
        two = change("2", "0.55", str(number + 1), "SELL", bid="0.4", ask="0.55")
        frames.append((0, T0 + 20 + number, compact(price_change(one, two))))
    result, _ = make_bundle(frames, subscribed("1", "2")).replay()
    line = summary(result, "run", elapsed_ms=7, profile="full", code=0)
    stable = summary(result, "run", elapsed_ms=None, profile="full", code=0)
    assert line["quick_frames"] == 4
    assert stable == {**line, "elapsed_ms": 0, "quick_frames": 0}
