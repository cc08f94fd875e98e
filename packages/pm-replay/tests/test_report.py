"""The page for people."""

from __future__ import annotations

from bundles import T0, Maker

from pm_replay.report import page, summary


def test_nothing_of_the_venue_reaches_a_terminal_as_it_is(make_bundle: Maker) -> None:
    made = make_bundle([(0, T0 + 10, b'{"event_type":"\\ud800\\u001b[2J\\n\\u00e9"}')])
    result, _ = made.replay()
    lines = list(page(summary(result, "r\x1bn", elapsed_ms=0, profile="full", code=0)))
    assert all(line.isprintable() for line in lines)
    "\n".join(lines).encode()
    assert lines[0].startswith("run r\\x1bn:")
    assert "schema: \\ud800\\x1b[2J\\né: new event type (shard 0, frame 0)" in lines
