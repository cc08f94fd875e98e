from pathlib import Path

import pytest

from pm_mock.faultplan import (
    BadFaults,
    Close,
    Freeze,
    Gamma429,
    Garbage,
    Mute,
    NoBook,
    Refuse,
    parse_faults,
    read_faults,
)

EVERY_KIND = """
[[fault]]
kind = "close"
at = 6.0
connection = 2

[[fault]]
kind = "close"
every = 30
count = 2
code = 1006

[[fault]]
kind = "freeze"
at = 1
since = "open"
connection = [1, 3]
seconds = 5

[[fault]]
kind = "mute"
at = 0

[[fault]]
kind = "garbage"
at = 2
every = 3
text = "<oops>"

[[fault]]
kind = "refuse"
at = 1
seconds = 2
status = 0

[[fault]]
kind = "no_book"
share = 0.25
tokens = ["123"]
resubscribes = 1

[[fault]]
kind = "gamma_429"
count = 2
retry_after = 1
path = "/markets"

[[fault]]
kind = "gamma_500"
at = 5

[[fault]]
kind = "gamma_garbage"
every = 10
seconds = 1
"""


def test_every_kind_is_read() -> None:
    close, again, freeze, mute, garbage, refuse, no_book, limited, *_ = parse_faults(
        EVERY_KIND, name="x"
    )
    assert close == Close(at=6.0, connection=2)
    assert close.first() == 6.0
    assert again == Close(every=30.0, count=2, code=1006)
    assert again.first() == 30.0
    assert freeze == Freeze(at=1.0, since="open", connection=[1, 3], seconds=5.0)
    assert freeze.concerns(3)
    assert not freeze.concerns(2)
    assert mute == Mute(at=0.0)
    assert mute.concerns(99)
    assert garbage == Garbage(at=2.0, every=3.0, text="<oops>")
    assert refuse == Refuse(at=1.0, seconds=2.0, status=0)
    assert no_book == NoBook(tokens=["123"], share=0.25, resubscribes=1)
    assert limited == Gamma429(count=2, retry_after=1, path="/markets")


def test_no_entry_is_no_fault() -> None:
    assert parse_faults("", name="x") == ()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('kind = "close"', "at or every is required - at `$.fault[0]`"),
        ('kind = "close"\nat = -1', "at must not be negative, got -1"),
        ('kind = "close"\nevery = 0', "every must be at least 0.01, got 0"),
        ('kind = "close"\nat = 1\ncount = 0', "count must be at least 1, got 0"),
        ('kind = "close"\nat = 1\nconnection = 0', "connections are counted from 1, got 0"),
        ('kind = "close"\nat = 1\nconnection = "2"', "`$.fault[0].connection`"),
        ('kind = "close"\nat = 1\ncode = 1005', "code 1005 cannot close a connection"),
        ('kind = "close"\nat = 1\ncode = 200', "code 200 cannot close a connection"),
        (f'kind = "close"\nat = 1\nreason = "{"x" * 124}"', "reason is longer than 123 bytes"),
        ('kind = "close"\nat = 1\nsince = "birth"', "Invalid enum value 'birth'"),
        ('kind = "close"\nat = 1\nstatus = 503', "unknown field `status`"),
        ('kind = "explode"', "Invalid value 'explode' - at `$.fault[0].kind`"),
        ("at = 1", "missing required field `kind`"),
        ('kind = "refuse"\nstatus = 200', "status must be 0 or 400 to 599, got 200"),
        ('kind = "refuse"\nseconds = 0', "seconds must be positive, got 0"),
        ('kind = "no_book"', "tokens or share is required"),
        ('kind = "no_book"\nshare = 2', "share must be between 0 and 1, got 2"),
        ('kind = "no_book"\nshare = 1\nresubscribes = 0', "resubscribes must be at least 1, got 0"),
        ("kind = ", "Invalid value (at "),
    ],
)
def test_errors_name_the_file_the_entry_and_the_value(entry: str, words: str) -> None:
    with pytest.raises(BadFaults) as caught:
        parse_faults(f"[[fault]]\n{entry}", name="script.toml")
    assert str(caught.value).startswith("script.toml: ")
    assert words in str(caught.value)


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(BadFaults, match="unknown field `faults`"):
        parse_faults("[[faults]]\nkind = 'close'\nat = 1", name="x")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFaults, match=r"none\.toml"):
        read_faults(tmp_path / "none.toml")
    path = tmp_path / "faults.toml"
    path.write_text(EVERY_KIND, encoding="utf-8")
    assert len(read_faults(path)) == 10
