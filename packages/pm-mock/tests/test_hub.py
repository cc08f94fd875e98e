from pm_mock.channel import Channel
from pm_mock.events import Message
from pm_mock.hub import Hub
from pm_mock.market import Market


def joined(hub: Hub, number: int, *tokens: str, custom: bool = False) -> Channel:
    channel = Channel(number)
    channel.custom = custom
    channel.tokens.update(dict.fromkeys(tokens))
    hub.subscribe(channel, tokens)
    return channel


def got(channel: Channel) -> list[bytes]:
    return [payload for item in channel.outbox for payload in item.payloads]


def test_a_message_goes_once_to_whoever_wants_one_of_its_tokens() -> None:
    hub = Hub()
    both, one, other, none = (
        joined(hub, 1, "a", "b"),
        joined(hub, 2, "a"),
        joined(hub, 3, "b"),
        joined(hub, 4, "c"),
    )
    hub.publish(Message(b"x", ("a", "b")))
    hub.publish(Message(b"y", ("b",)))
    assert got(both) == [b"x", b"y"]
    assert got(one) == [b"x"]
    assert got(other) == [b"x", b"y"]
    assert got(none) == []
    assert both.outbox[0] is one.outbox[0], "framed once"


def test_a_message_of_many_tokens_goes_once_to_everyone_who_wants_any() -> None:
    hub = Hub()
    clients = [joined(hub, 1, "a", "c"), joined(hub, 2, "c"), joined(hub, 3, "d")]
    hub.publish(Message(b"x", ("a", "b", "c")))
    assert [got(client) for client in clients] == [[b"x"], [b"x"], []]


def test_a_message_is_kept_from_who_has_it_in_another_one() -> None:
    hub = Hub()
    clients = [joined(hub, 1, "a", "b"), joined(hub, 2, "a"), joined(hub, 3, "b")]
    hub.publish(Message(b"[x, y]", ("a",)))
    hub.publish(Message(b"x", ("b",), unless="a"))
    hub.publish(Message(b"z", ("b",), unless="nobody"))
    assert [got(client) for client in clients] == [[b"[x, y]", b"z"], [b"[x, y]"], [b"x", b"z"]]


def test_custom_messages_need_the_flag_and_global_ones_no_token() -> None:
    hub = Hub()
    plain, custom, empty = (
        joined(hub, 1, "a"),
        joined(hub, 2, "a", custom=True),
        joined(hub, 3, custom=True),
    )
    hub.publish(Message(b"best", ("a",), custom=True))
    hub.publish(Message(b"new", (), custom=True))
    assert got(plain) == []
    assert got(custom) == [b"best", b"new"]
    assert got(empty) == [b"new"]


def test_after_unsubscribing_or_leaving_nothing_comes() -> None:
    hub = Hub()
    stays, leaves = joined(hub, 1, "a", "b"), joined(hub, 2, "a")
    hub.unsubscribe(stays, ["a", "unknown"])
    hub.remove(leaves)
    hub.publish(Message(b"x", ("a",)))
    hub.publish(Message(b"y", ("b",)))
    assert got(stays) == [b"y"]
    assert got(leaves) == []


def test_who_listens_and_who_is_behind() -> None:
    hub = Hub()
    market = Market("0x", ("a", "b"), tick_e4=100, timestamp_ms=0)
    assert hub.deserted
    assert not hub.listening(market)
    channel = joined(hub, 1, "b")
    assert not hub.deserted
    assert hub.listening(market)
    hub.set_blocked(channel, blocked=True)
    assert hub.blocked
    hub.set_blocked(channel, blocked=False)
    assert not hub.blocked
    hub.set_blocked(channel, blocked=True)
    hub.remove(channel)
    assert not hub.blocked
    assert hub.deserted
    assert not hub.listening(market)
