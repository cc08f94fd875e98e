from pathlib import Path

import pytest

from pm_mock.plantplan import Arbitrage, BadPlants, Mirror, parse_plants, read_plants

GOOD = """
[[mirror]]
how = "split"

[[arbitrage]]
calm = ["0.6", "0.45"]
asks = ["0.55", "0.4"]
size = "12.5"
"""


def test_a_script_is_read_with_its_defaults() -> None:
    arbitrage, mirror = parse_plants(GOOD, name="plants.toml")
    assert arbitrage == Arbitrage(calm=["0.6", "0.45"], asks=["0.55", "0.4"], size="12.5")
    assert (arbitrage.at, arbitrage.winner) == (None, None)
    assert mirror == Mirror(how="split", at=0.5, every=0.5, count=4, seconds=0.2)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"12.5"', '"12.505"', "a size is text"),
        ('"12.5"', '"0"', "size must be positive"),
        ('asks = ["0.55", "0.4"]', 'asks = ["0.55"]', "the same 2 to 6 markets"),
        ('"0.55", "0.4"', '"0.55", "0.45"', "below the calm one"),
        ('"0.55", "0.4"', '"0.01", "0.4"', "at least 0.02"),
        ('"0.55", "0.4"', '"0.555", "0.4"', "a price is text"),
        ('"0.55", "0.4"', '"1", "0.4"', "a price is text"),
        ('size = "12.5"', 'size = "12.5"\nwinner = 2', "winner must be from 0 to 1"),
        ('size = "12.5"', 'size = "12.5"\nat = -1', "must not be negative"),
        ('how = "split"', 'how = "other"', "mirror"),
        ('how = "split"', 'how = "split"\nseconds = 0.5', "less than every"),
        ('how = "split"', 'how = "split"\ncount = 0', "count at least 1"),
        ("[[mirror]]", "[[mirrors]]", "unknown field"),
        ("[[mirror]]", "[[mirror]", "plants.toml"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, told: str) -> None:
    with pytest.raises(BadPlants, match=r"plants\.toml") as problem:
        parse_plants(GOOD.replace(old, new), name="plants.toml")
    assert told in str(problem.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(BadPlants, match="byte 0 is not UTF-8"):
        read_plants(tmp_path / "binary")
    with pytest.raises(BadPlants, match="nothing"):
        read_plants(tmp_path / "nothing")
