"""The hashes are contracts: the vector of the predecessors, and one change a hash."""

import pytest
from simulated import only, simulate
from streams import CENT, SHARE, Stream

from pm_sim import Buy, Cancel, Convert, Merge, PxE6, Sell, SzE6
from pm_sim.hashing import LineHash, intent_line, result_id, unambiguous
from pm_sim.strategies.toy_spread import ToySpread

VECTOR = "3cec66570dcc963140c6c6d7cecbbc92f32fe307a9efaa45e9f0e65d6d68c035"


def test_the_intent_hash_of_the_predecessors() -> None:
    stream = Stream()
    for number, name in enumerate(("tokenA", "tokenB")):
        stream.writer.define_token(number, name, ts_recv_ns=stream.now)
    for token, bid, ask in ((0, 40, 46), (1, 39, 45), (0, 41, 47), (1, 42, 48)):
        stream.book(token, {bid: 10}, {ask: 10})
    engine = simulate(stream.end(), ("toy_spread", ToySpread))
    assert only(engine).intents.count == 8
    assert only(engine).intents.hexdigest() == VECTOR


def test_no_intent_is_the_hash_of_nothing() -> None:
    assert LineHash().hexdigest().startswith("e3b0c442")


def test_each_kind_of_intent_has_its_line() -> None:
    px, size = PxE6(40 * CENT), SzE6(5 * SHARE)
    lines = [
        intent_line(7, "s", "m", one)
        for one in (
            Buy(0, px, size), Sell(0, px, size, tag="x"), Cancel(1), Merge(0, size), Convert((1,), size),
        )
    ]  # fmt: skip
    assert lines == [
        "7|s|place|m|buy|400000|5000000|ioc|taker|\n",
        "7|s|place|m|sell|400000|5000000|ioc|taker|x\n",
        "7|s|cancel|m||||||\n",
        "7|s|merge|m|||5000000|||\n",
        "7|s|convert|m|||5000000|||\n",
    ]


def test_many_lines_are_hashed_as_one_text() -> None:
    import hashlib

    lines = LineHash()
    for number in range(5000):
        lines.add(f"{number}\n")
    text = "".join(f"{number}\n" for number in range(5000))
    assert lines.hexdigest() == hashlib.sha256(text.encode()).hexdigest()


def test_ids_that_make_a_line_ambiguous_are_refused() -> None:
    for text in ("a|b", "a\n", "\r"):
        with pytest.raises(ValueError, match="holds"):
            unambiguous(text, "the id")


def test_a_result_id_depends_on_stream_code_and_settings() -> None:
    ids = {
        result_id("a", "1", {"seed": 0}), result_id("b", "1", {"seed": 0}),
        result_id("a", "2", {"seed": 0}), result_id("a", "1", {"seed": 1}),
    }  # fmt: skip
    assert len(ids) == 4
