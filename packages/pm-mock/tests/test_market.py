import hashlib
import json

import pytest

from pm_mock.market import NO, YES, EmptySide, Market


def market(*, empty_side: EmptySide = EmptySide.BOUNDS) -> Market:
    made = Market("0xc0", ("11", "22"), tick_e4=100, timestamp_ms=1000, empty_side=empty_side)
    made.put(YES, 4800, 10_000_000)
    made.put(NO, 5100, 20_000_000)
    made.settle(1500)
    return made


def test_bids_for_one_token_are_asks_for_the_other() -> None:
    made = market()
    assert made.sides(YES).asks == b'{"price":"0.49","size":"20"}'
    assert made.sides(NO).asks == b'{"price":"0.52","size":"10"}'
    assert (made.best_bid(YES), made.best_ask(YES), made.spread(YES)) == ("0.48", "0.49", "0.01")
    assert (made.best_bid(NO), made.best_ask(NO), made.spread(NO)) == ("0.51", "0.52", "0.01")


def test_the_hash_is_that_of_the_summary() -> None:
    made = market()
    made.trade(4900)
    made.settle(1600)
    for outcome in (YES, NO):
        fields = json.loads(made.summary(outcome))
        stated, fields["hash"] = fields["hash"], ""
        text = json.dumps(fields, separators=(",", ":")).encode()
        assert stated == hashlib.sha1(text).hexdigest() == made.hashes()[outcome]
        assert fields["last_trade_price"] == "0.490"
        assert fields["timestamp"] == "1600"


def test_every_change_makes_a_new_hash() -> None:
    made = market()
    seen = {made.hashes()}
    made.put(YES, 4700, 1_000_000)
    seen.add(made.hashes())
    made.trade(4800)
    seen.add(made.hashes())
    made.refine_tick(10)
    seen.add(made.hashes())
    made.settle(9999)
    seen.add(made.hashes())
    assert len(seen) == 5


def test_time_does_not_go_back() -> None:
    made = market()
    made.settle(1000)
    assert made.timestamp_ms == 1500


def test_a_crossed_batch_is_a_bug() -> None:
    made = market()
    made.put(YES, 4900, 1_000_000)
    with pytest.raises(AssertionError, match="crossed"):
        made.settle(2000)


def test_ticks_only_get_finer() -> None:
    with pytest.raises(ValueError, match="tick 1000 e-4 does not divide 100 e-4"):
        market().refine_tick(1000)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (EmptySide.BLANK, ("", "0.49", "", "0.51", "", "")),
        (EmptySide.BOUNDS, ("0", "0.49", "0.49", "0.51", "1", "0.49")),
    ],
)
def test_an_empty_side_is_blank_or_the_bound(style: EmptySide, expected: tuple[str, ...]) -> None:
    made = market(empty_side=style)
    made.put(YES, 4800, 0)
    made.settle(2000)
    yes = (made.best_bid(YES), made.best_ask(YES), made.spread(YES))
    no = (made.best_bid(NO), made.best_ask(NO), made.spread(NO))
    assert yes + no == expected
