import json
from pathlib import Path

import pytest

from pm_verify.documents import Document, decode_object, read_document


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[1]", "is a JSON list, not an object"),
        (b"null", "is a JSON NoneType, not an object"),
        (b'{"a": "\xff"}', "can't decode"),
        (b'{"a": 1}\x00', "Extra data"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        ('{"a": 1}'.encode("utf-16"), "can't decode"),
    ],
)
def test_what_is_no_object_is_told_and_not_raised(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    (tmp_path / "seal.json").write_bytes(data)
    document = read_document(tmp_path, "seal.json")
    assert document.present
    assert not document.usable
    assert document.problem is not None
    assert problem in document.problem


def test_missing_document_is_absent_and_has_no_problem(tmp_path: Path) -> None:
    document = read_document(tmp_path, "seal.json")
    assert document == Document("seal.json", present=False)
    assert not document.usable


def test_directory_in_place_of_a_document_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "seal.json").mkdir()
    assert "cannot be read" in str(read_document(tmp_path, "seal.json").problem)


def test_values_of_another_type_are_as_good_as_none(tmp_path: Path) -> None:
    values = {"count": True, "name": 3, "shards": [], "big": 2**63}
    (tmp_path / "seal.json").write_text(json.dumps(values))
    document = read_document(tmp_path, "seal.json")
    assert document.integer("count") is None
    assert document.text("name") is None
    assert document.mapping("shards") == {}
    assert document.integer("big") == 2**63


def test_decode_object_keeps_integers_above_2_53() -> None:
    assert decode_object(b'{"a": 9007199254740993}') == {"a": 9007199254740993}
