"""Reading one market: literal rules, and answers that were recorded from the venue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.market import BadMarket, FeeSchedule, Market, Token, parse
from pm_universe.query import Entry, decode
from pm_universe.selection import refusal

MakeMarket = Callable[..., dict[str, Any]]


def read(market: object, event: object = None) -> Market:
    parsed = parse(Entry(decode(json.dumps(market)), event))
    assert isinstance(parsed, Market), parsed
    return parsed


def reason(market: object) -> str:
    parsed = parse(Entry(decode(json.dumps(market)), None))
    assert isinstance(parsed, BadMarket), parsed
    return parsed.reason


def test_a_plain_market(make_market: MakeMarket) -> None:
    row = read(make_market(7)).row
    assert (row.market_id, row.slug, row.question) == (
        "500007",
        "number-7",
        "Will number 7 come up?",
    )
    assert row.condition_id == "0x" + "7".zfill(64)
    assert (row.event_id, row.event_slug) == ("9007", "event-7")
    assert (row.tick_size, row.min_size) == ("0.01", "5")
    assert [token.outcome for token in row.tokens] == ["Yes", "No"]
    assert (row.fees_enabled, row.fee_schedule, row.seconds_delay) == (False, None, None)


@pytest.mark.parametrize(
    "given",
    ['["11", "22"]', ["11", "22"], [11, 22], "11,22", " 11 , 22 ", "[11, 22]"],
)
def test_lists_arrive_as_json_text_arrays_or_comma_text(
    make_market: MakeMarket, given: object
) -> None:
    tokens = read(make_market(1, clobTokenIds=given)).row.tokens
    assert tokens == (Token(token_id="11", outcome="Yes"), Token(token_id="22", outcome="No"))


@pytest.mark.parametrize("given", [["Up", "Down"], '["Up", "Down"]', "Up, Down"])
def test_the_order_of_outcomes_is_that_of_the_tokens(
    make_market: MakeMarket, given: object
) -> None:
    tokens = read(make_market(1, outcomes=given, clobTokenIds=["2", "1"])).row.tokens
    assert tokens == (Token(token_id="2", outcome="Up"), Token(token_id="1", outcome="Down"))


def test_a_v2_market_has_its_ids_in_another_field(make_market: MakeMarket) -> None:
    v2 = read(make_market(1, version="v2", positionIds=["31", "32"])).row
    assert [token.token_id for token in v2.tokens] == ["31", "32"]
    assert v2.version == "v2"
    v1 = read(make_market(1, version="v1", positionIds=["31", "32"], clobTokenIds=["1", "2"])).row
    assert [token.token_id for token in v1.tokens] == ["1", "2"]
    assert reason(make_market(1, version="v2")) == "no_token_ids"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"conditionId": ...}, "no_condition_id"),
        ({"conditionId": "  "}, "no_condition_id"),
        ({"clobTokenIds": ...}, "no_token_ids"),
        ({"clobTokenIds": ""}, "no_token_ids"),
        ({"clobTokenIds": '["1", "2"'}, "no_token_ids"),
        ({"clobTokenIds": ["1", None]}, "no_token_ids"),
        ({"clobTokenIds": {"1": "2"}}, "no_token_ids"),
        ({"clobTokenIds": ["1", "2 3"]}, "bad_token_ids"),
        ({"clobTokenIds": ["1", "2\n"]}, None),
        ({"clobTokenIds": ["1", "1"]}, "repeated_token_id"),
        ({"outcomes": ...}, "outcomes_unlike_tokens"),
        ({"outcomes": ["Yes"]}, "outcomes_unlike_tokens"),
        ({"outcomes": ["Yes", ""]}, "outcomes_unlike_tokens"),
    ],
)
def test_what_cannot_be_used_has_a_reason(
    make_market: MakeMarket, changes: dict[str, Any], expected: str | None
) -> None:
    if expected is None:
        read(make_market(1, **changes))
    else:
        assert reason(make_market(1, **changes)) == expected


@pytest.mark.parametrize("thing", [None, "text", 5, [], True])
def test_what_is_no_object_is_no_market(thing: object) -> None:
    assert reason(thing) == "not_an_object"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.01", "0.01"),
        ("0.0010", "0.0010"),
        ("5", "5"),
        ("1e-3", "1e-3"),
        ('"0.0025"', "0.0025"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("null", None),
        ('""', None),
        ('"abc"', None),
        ("NaN", None),
        ("true", None),
        ('"0x10"', None),
        ('"01"', None),
    ],
)
def test_decimals_are_the_text_that_was_written(
    make_market: MakeMarket, written: str, kept: str | None
) -> None:
    text = json.dumps(make_market(1, orderPriceMinTickSize="HERE")).replace('"HERE"', written)
    parsed = parse(Entry(decode(text), None))
    assert isinstance(parsed, Market)
    assert parsed.row.tick_size == kept


def test_the_fee_schedule(make_market: MakeMarket) -> None:
    text = '{"exponent":1,"rate":0.070,"takerOnly":true,"rebateRate":0.2}'
    expected = FeeSchedule(rate="0.070", exponent="1", taker_only=True, rebate_rate="0.2")
    given = json.dumps(make_market(1, feeSchedule="HERE"))
    for form in (text, json.dumps(text)):
        parsed = parse(Entry(decode(given.replace('"HERE"', form)), None))
        assert isinstance(parsed, Market)
        assert parsed.row.fee_schedule == expected


@pytest.mark.parametrize("given", [None, {}, [], "no", {"rate": "much"}, {"exponent": 1}])
def test_a_fee_schedule_without_a_rate_is_none(make_market: MakeMarket, given: object) -> None:
    assert read(make_market(1, feeSchedule=given)).row.fee_schedule is None


def test_the_event_adds_what_the_market_does_not_say(make_market: MakeMarket) -> None:
    event = {
        "id": "77",
        "slug": "the-event",
        "negRisk": True,
        "negRiskAugmented": True,
        "negRiskMarketID": "0xabc",
        "category": "Politics",
        "endDate": "2028-11-07T00:00:00Z",
    }
    bare = make_market(1, negRisk=..., endDate=..., events=[event])
    row = read(bare).row
    assert (row.event_id, row.event_slug, row.category) == ("77", "the-event", "Politics")
    assert (row.neg_risk, row.neg_risk_augmented, row.neg_risk_market_id) == (True, True, "0xabc")
    assert row.end_date == "2028-11-07T00:00:00Z"
    assert read(bare | {"negRisk": False, "negRiskMarketID": "0xdef"}).row.neg_risk is False
    # Listed under an event: that is its event, whatever the market embeds.
    assert read(make_market(1), event).row.event_id == "77"


@pytest.mark.parametrize("events", [..., None, [], [None], "text", {"id": "1"}])
def test_a_market_may_have_no_event(make_market: MakeMarket, events: object) -> None:
    row = read(make_market(1, events=events)).row
    assert (row.event_id, row.event_slug) == (None, None)


def test_half_a_surrogate_pair_can_be_written(make_market: MakeMarket) -> None:
    question = read(make_market(1, question="a\ud800b")).row.question
    assert question.encode("utf-8").decode("utf-8") == question
    assert (question[0], question[-1]) == ("a", "b")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (10.5, 10_500_000),
        ("0.0000019", 1),
        (0, 0),
        (-5, 0),
        (None, 0),
        ("1e300", 0),
        ("1e-300", 0),
        ("12345678901234567.123456", 12_345_678_901_234_567_123_456),
    ],
)
def test_volume_is_an_integer_in_millionths(
    make_market: MakeMarket, written: object, expected: int
) -> None:
    assert read(make_market(1, volume24hr=written)).volume_24h_e6 == expected


def test_flags_may_be_text(make_market: MakeMarket) -> None:
    market = read(make_market(1, active="true", closed="False", archived="?", enableOrderBook=0))
    assert (market.active, market.closed, market.archived, market.order_book) == (
        True,
        False,
        None,
        None,
    )


def load(folder: Path, name: str) -> Any:
    return decode((folder / name).read_bytes())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gamma_market.json", None),
        ("gamma_market_closed_binary_accepting_false.json", "closed"),
        ("gamma_market_closed_binary_accepting_true.json", "closed"),
        ("gamma_market_closed_nonbinary_legacy.json", "closed"),
        ("gamma_market_closed_zero_zero_legacy.json", "closed"),
        ("gamma_market_sports_market_map_handicap.json", "closed"),
        ("gamma_market_sports_market_money_line.json", "closed"),
    ],
)
def test_recorded_markets_are_read_and_judged(
    recorded: Path, name: str, expected: str | None
) -> None:
    market = parse(Entry(load(recorded, name), None))
    assert isinstance(market, Market)
    assert refusal(market) == expected


def test_a_recorded_crypto_market(recorded: Path) -> None:
    market = parse(Entry(load(recorded, "active_btc15m_market.json")["raw_market"], None))
    assert isinstance(market, Market)
    assert refusal(market) is None
    assert market.volume_24h_e6 == 285_581_567
    assert market.row.tokens == (
        Token(
            token_id="4518172827414017355243409267185067011907261828929221480909517238233074391130",
            outcome="Up",
        ),
        Token(
            token_id="13540491465905220687567744218132116867425511793630238067363232108361973791480",
            outcome="Down",
        ),
    )
    assert (market.row.tick_size, market.row.min_size) == ("0.01", "5")
    assert (market.row.fees_enabled, market.row.end_date) == (True, "2026-02-07T15:15:00Z")


def test_a_recorded_sports_market_states_its_fees_and_delay(recorded: Path) -> None:
    name = "gamma_market_sports_market_map_handicap.json"
    market = parse(Entry(load(recorded, name), None))
    assert isinstance(market, Market)
    assert market.row.fee_schedule == FeeSchedule(
        rate="0.03", exponent="1", taker_only=True, rebate_rate="0.25"
    )
    assert (market.row.fee_type, market.row.seconds_delay) == ("sports_fees_v2", 3)
    assert (market.row.event_id, market.row.event_slug) == ("346898", "cs2-faze-ill-2026-04-05")
    assert market.row.tick_size == "0.001"


def test_a_recorded_neg_risk_event(recorded: Path) -> None:
    (event,) = load(recorded, "gamma_event.json")
    markets = [parse(Entry(each, event)) for each in event["markets"]]
    assert len(markets) == 2
    for market in markets:
        assert isinstance(market, Market)
        row = market.row
        assert (row.event_id, row.event_slug) == ("30829", "democratic-presidential-nominee-2028")
        assert row.neg_risk
        assert row.neg_risk_augmented
        assert row.neg_risk_market_id == (
            "0x2c3d7e0eee6f058be3006baabf0d54a07da254ba47fe6e3e095e7990c7814700"
        )
