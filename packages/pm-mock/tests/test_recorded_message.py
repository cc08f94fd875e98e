import pytest

from pm_mock.recorded_message import events_of

BOOK = b'{"event_type":"book","asset_id":"1","bids":[{"price":"0.1","size":"2"}],"asks":[]}'

DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def test_one_event_that_cannot_be_read_spoils_no_other() -> None:
    [event] = events_of(BOOK)
    assert event.asset_id == "1"
    for bad in (b'{"event_type":"book","bids":7}', b"7", b"null"):
        assert [each.asset_id for each in events_of(b"[" + bad + b"," + BOOK + b"]")] == ["1"]


@pytest.mark.parametrize(
    "payload", [b"PONG", b"", b"[]", b"\xff", b'{"asset_id":"\xff"}', b"[1,", DEEP]
)
def test_what_holds_no_event(payload: bytes) -> None:
    assert events_of(payload) == []


@pytest.mark.parametrize(
    "payload",
    [
        b'{"price_changes":[{"asset_id":"1","price":"0.5","size":"3","side":"BUY","hash":"h"}]}',
        b'{"asset_id":"1","changes":[{"price":"0.5","size":"3","side":"BUY"}],"hash":"h"}',
        b'{"asset_id":"1","price":"0.5","size":"3","side":"BUY","hash":"h"}',
    ],
)
def test_changes_of_every_schema(payload: bytes) -> None:
    [event] = events_of(payload)
    [(token, change)] = event.all_changes()
    assert (token, change.price, change.size, change.side) == ("1", "0.5", "3", "BUY")
    assert (change.hash or event.hash) == "h"
