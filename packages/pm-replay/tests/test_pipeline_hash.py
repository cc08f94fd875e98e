"""R350: the frames on which the predecessors' intent hash rests give the same tops, in the same order."""

from __future__ import annotations

import hashlib

from bundles import Maker, book, compact

from pm_frames.events import Event, Kind
from pm_replay.pipeline import Request
from pm_replay.telling import Options

WANTED = "3cec66570dcc963140c6c6d7cecbbc92f32fe307a9efaa45e9f0e65d6d68c035"
FRAMES = [
    (0, 1000, "tokenA", "0.40", "0.46"),
    (1, 1000, "tokenB", "0.39", "0.45"),
    (0, 1200, "tokenA", "0.41", "0.47"),
    (1, 1300, "tokenB", "0.42", "0.48"),
]


def intents_of(event: Event, token_id: str) -> list[str]:
    """What the toy strategy of the predecessors makes of a top: a bid and an ask where the book stands."""
    place = f"{event.seq}|toy_spread|place|{token_id}"
    return [
        f"{place}|buy|{event.bid_px_e6}|1000000|gtc|maker|toy_spread\n",
        f"{place}|sell|{event.ask_px_e6}|1000000|gtc|maker|toy_spread\n",
    ]


def test_book_only_gives_the_tops_of_the_predecessors(make_bundle: Maker) -> None:
    for version in (1, 2):
        made = make_bundle(
            [
                (shard, mono, compact(book(token, {bid: "10"}, {ask: "10"})))
                for shard, mono, token, bid, ask in FRAMES
            ],
            version=version,
        )
        events = made.events(Request(options=Options(full=False)))
        names = {event.token: event.text() for event in events if event.kind == Kind.TOKEN}
        tops = [event for event in events if event.kind == Kind.TOB]
        assert [event.seq for event in events if event.kind >= Kind.TOB] == [1, 2, 3, 4]
        lines = "".join(line for top in tops for line in intents_of(top, names[top.token]))
        assert hashlib.sha256(lines.encode()).hexdigest() == WANTED


def test_book_only_leaves_out_what_the_predecessors_did_not_read(make_bundle: Maker) -> None:
    change = b'{"market":"0xaa","price_changes":[{"asset_id":"tokenA","price":"0.41","size":"5","side":"BUY","hash":"h","best_bid":"0.41","best_ask":"0.46"}],"timestamp":"1","event_type":"price_change"}'
    made = make_bundle([(0, 1000, compact(book("tokenA", {"0.4": "1"}, {}))), (0, 1001, change)])
    [top] = [event for event in made.events(Request(options=Options(full=False))) if event.seq]
    assert (top.bid_px_e6, top.ask_px_e6, top.ask_sz_e6) == (400_000, -1, 0)
