"""Folders of fixtures: the one of the repository, and broken ones."""

import json
from pathlib import Path

import pytest

from pm_capture.offline.fixtures import (
    KEEPALIVE,
    REENCODED,
    TEXT,
    FixturesError,
    Message,
    addressed,
    read_fixtures,
    sent_to,
)
from pm_frames.peek import peek

FIXTURES = Path(__file__).parents[3] / "testdata" / "fixtures"


def folder(path: Path, **files: object) -> Path:
    for name, content in {"gamma_markets": {"markets": []}, **files}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / f"{name}.json").write_text(text)
    return path


def test_the_fixtures_of_the_repository_are_ten_messages_a_pass() -> None:
    fixtures = read_fixtures(FIXTURES)
    assert len(fixtures.messages) == 10
    assert sorted(fixtures.sha256) == [
        "gamma_markets.json", "ws_book_clean.json", "ws_book_extra_fields.json",
        "ws_book_malformed.json", "ws_book_out_of_order.json",
    ]  # fmt: skip
    assert [message.flags for message in fixtures.messages].count(TEXT) == 1
    types = [peek(message.payload).event_types for message in fixtures.messages]
    assert types[:2] == [("book", "book")] * 2
    later, earlier = (json.loads(message.payload) for message in fixtures.messages[-2:])
    assert int(later["timestamp"]) > int(earlier["timestamp"])


def test_json_is_encoded_anew_and_text_is_left_alone(tmp_path: Path) -> None:
    messages = [{"b": 1.50, "a": "é"}, [], '{"torn": ', "PONG", ""]
    found = read_fixtures(folder(tmp_path, ws_a=messages)).messages
    assert found == (
        Message(REENCODED, '{"b":1.5,"a":"é"}'.encode()),
        Message(REENCODED, b"[]"),
        Message(TEXT, b'{"torn": '),
        Message(KEEPALIVE, b"PONG"),
        Message(TEXT, b""),
    )


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    found = read_fixtures(folder(tmp_path, ws_b=["2"], ws_a=["1"], other=["3"]))
    assert [message.payload for message in found.messages] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"expected files ws_\*.json, found none"),
        ({"ws_a": []}, r"expected a message in ws_\*.json, found none"),
        ({"ws_a": "{"}, "ws_a.json: not JSON: "),
        ({"ws_a": "[NaN]"}, "ws_a.json: not JSON: NaN is no number of JSON"),
        ({"ws_a": {}}, "ws_a.json: expected an array of messages, found dict"),
        ({"ws_a": ["x", 3]}, "ws_a.json: message 1: expected an object, an array or a text, found 3"),
        ({"ws_a": '["\\ud800"]'}, "ws_a.json: message 0: cannot be written in UTF-8"),
        ({"ws_a": '[{"a": "\\ud800"}]'}, "ws_a.json: message 0: cannot be written in UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(tmp_path: Path, files: dict[str, object], words: str) -> None:
    with pytest.raises(FixturesError, match=words):
        read_fixtures(folder(tmp_path, **files))


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FixturesError, match="nowhere: expected a folder of fixtures, found none"):
        read_fixtures(tmp_path / "nowhere")
    (tmp_path / "ws_a.json").write_text("[]")
    with pytest.raises(FixturesError, match=r"gamma_markets.json: cannot be read: "):
        read_fixtures(tmp_path)


def test_a_message_goes_to_who_has_subscribed_to_its_token() -> None:
    def of(*token_ids: str) -> Message:
        return Message(0, json.dumps([{"asset_id": token_id} for token_id in token_ids]).encode())

    both, strange, mixed, nameless = of("2", "1"), of("9"), of("9", "2"), Message(0, b"{")
    pairs = addressed([both, strange, mixed, nameless], ["1", "2"])
    assert pairs == [("2", both), ("2", mixed), ("1", nameless)]
    assert sent_to({"1"}, pairs) == (nameless,)
    assert sent_to({"2", "3"}, pairs) == (both, mixed)
