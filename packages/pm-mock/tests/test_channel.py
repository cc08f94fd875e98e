import json
from typing import Any

import pytest

from pm_mock.channel import Channel, Gate, Subscribe, Unsubscribe
from pm_mock.wire import outgoing


def form(**members: Any) -> str:
    return json.dumps(members)


def initial(*tokens: str, **members: Any) -> str:
    return form(assets_ids=list(tokens), type="market", **members)


def sent(channel: Channel) -> list[bytes]:
    payloads = [payload for item in channel.outbox for payload in item.payloads]
    channel.outbox.clear()
    return payloads


def test_the_initial_form_subscribes_without_an_acknowledgement() -> None:
    channel = Channel(1)
    assert channel.text_received(initial("1", "2", "1")) == Subscribe(("1", "2"), True, True)
    assert sent(channel) == []
    assert list(channel.tokens) == ["1", "2"]
    assert channel.custom is False


def test_options_of_the_initial_form() -> None:
    channel = Channel(1)
    text = initial(
        "1", initial_dump=False, custom_feature_enabled=True, level=2, markets=[], auth={}
    )
    assert channel.text_received(text) == Subscribe(("1",), True, False)
    assert channel.custom is True


def test_a_second_initial_form_is_an_invalid_operation() -> None:
    channel = Channel(1)
    channel.text_received(initial("1"))
    assert channel.text_received(initial("2")) is None
    assert sent(channel) == [b"INVALID OPERATION"]
    assert list(channel.tokens) == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        "ping",
        "{",
        "[]",
        "null",
        '{"assets_ids":["1"]}',
        '{"assets_ids":["1"],"type":"user"}',
        '{"assets_ids":"1","type":"market"}',
        '{"assets_ids":[1],"type":"market"}',
        '{"operation":"subscribe","assets_ids":["1"]}',
        '{"assets_ids":["1"],"type":"market","auth":' + "[" * 100_000,
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_understood_is_an_invalid_operation(text: str) -> None:
    channel = Channel(1)
    assert channel.text_received(text) is None
    assert sent(channel) == [b"INVALID OPERATION"]
    assert not channel.subscribed


@pytest.mark.parametrize(
    "text",
    [
        form(operation="resubscribe", assets_ids=["2"]),
        form(operation="subscribe", assets_ids=["2"], type="market"),
    ],
)
def test_unknown_operations_change_nothing(text: str) -> None:
    channel = Channel(1)
    channel.text_received(initial("1"))
    assert channel.text_received(text) is None
    assert sent(channel) == [b"INVALID OPERATION"]
    assert list(channel.tokens) == ["1"]


def test_operations_add_and_remove() -> None:
    channel = Channel(1)
    channel.text_received(initial("1"))
    added = channel.text_received(form(operation="subscribe", assets_ids=["2", "1", "3"]))
    assert added == Subscribe(("2", "3"), False, True)
    removed = channel.text_received(form(operation="unsubscribe", assets_ids=["1", "9", "3", "1"]))
    assert removed == Unsubscribe(("1", "3"))
    assert list(channel.tokens) == ["2"]
    again = channel.text_received(form(operation="subscribe", assets_ids=["1"]))
    assert again == Subscribe(("1",), False, True)
    assert sent(channel) == []


def test_naming_an_active_token_again_only_toggles_the_flag() -> None:
    channel = Channel(1)
    channel.text_received(initial("1"))
    text = form(operation="subscribe", assets_ids=["1"], custom_feature_enabled=True)
    assert channel.text_received(text) == Subscribe((), False, True)
    assert channel.custom is True
    channel.text_received(form(operation="subscribe", assets_ids=["1"]))
    assert channel.custom is True, "not said is not changed"
    channel.text_received(
        form(operation="subscribe", assets_ids=["1"], custom_feature_enabled=False)
    )
    assert channel.custom is False


def test_ping_is_answered_at_any_time() -> None:
    channel = Channel(1)
    channel.text_received("PING")
    assert sent(channel) == [b"PONG"]


@pytest.mark.parametrize(
    ("gate", "expected"),
    [(Gate.OPEN, [b"PONG", b"data"]), (Gate.FROZEN, [b"PONG"]), (Gate.MUTE, [])],
)
def test_a_gate_keeps_data_back(gate: Gate, expected: list[bytes]) -> None:
    channel = Channel(1)
    channel.gate = gate
    channel.text_received("PING")
    channel.send(outgoing(b"data"))
    channel.gate = Gate.OPEN
    assert sent(channel) == expected, "what was kept back is lost"
