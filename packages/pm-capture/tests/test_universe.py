"""Universe files: what is read, and what is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from pm_capture.sharding import MarketTokens
from pm_capture.universe import UniverseError, parse_universe, read_universe


def market(number: int, *tokens: str) -> dict[str, object]:
    return {
        "market_id": str(number),
        "condition_id": f"0x{number}",
        "question": "passed over",
        "tokens": [{"token_id": token, "outcome": "Yes"} for token in tokens],
    }


def text(*markets: dict[str, object], **changes: object) -> bytes:
    document = {"universe_version": 0, "kind": "full", "markets": list(markets), **changes}
    return json.dumps(document).encode()


def test_reads_what_a_capture_needs(tmp_path: Path) -> None:
    path = tmp_path / "000000.json"
    path.write_bytes(text(market(1, "a", "b"), market(2, "c", "d"), selection={"max_markets": 2}))
    universe = read_universe(path)
    assert universe.markets == [MarketTokens("0x1", ("a", "b")), MarketTokens("0x2", ("c", "d"))]
    assert universe.token_ids == ["a", "b", "c", "d"]
    assert universe.document.selection == {"max_markets": 2}
    assert universe.data == path.read_bytes()
    assert universe.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not a universe"),
        (b"[]", "not a universe"),
        (text({"market_id": "1"}), "not a universe"),
        (text(market(1, "a"), kind="delta"), "expected a full universe, found kind 'delta'"),
        (text(), "holds no token"),
        (text(market(1)), "holds no token"),
        (text(market(1, "")), "market 1 has an empty token id"),
        (text(market(1, "a"), market(2, "a")), "token a stands in two places"),
    ],
)
def test_refuses_what_cannot_be_captured(data: bytes, words: str) -> None:
    with pytest.raises(UniverseError, match=words) as caught:
        parse_universe(data, "u.json")
    assert str(caught.value).startswith("u.json: ")


def test_names_the_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UniverseError, match=r"none\.json: cannot be read: No such file"):
        read_universe(tmp_path / "none.json")
