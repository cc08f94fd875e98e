"""What the README shows is run, and what it lists is complete."""

import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest

from pm_mock.__main__ import main
from pm_mock.faultplan import parse_faults
from pm_mock.plantplan import Arbitrage, Mirror, parse_plants

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_command_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = [block for block in blocks("console") if "$ pm-mock" in block]
    command, *shown = block.splitlines()
    words = shlex.split(command.removeprefix("$ pm-mock "))
    words[words.index("--duration-seconds") + 1] = "0.1"
    assert main(words) == 0
    printed = capsys.readouterr().out.splitlines()
    for line, expected in zip(printed, shown, strict=True):
        assert list(json.loads(line)) == list(json.loads(expected))
    assert json.loads(printed[0])["seed"] == json.loads(shown[0])["seed"]


def test_the_fault_script_is_valid_and_every_kind_is_described() -> None:
    script, _ = blocks("toml")
    shown = parse_faults(script, name="README")
    assert len(shown) == 8
    for kind in ("close", "freeze", "mute", "garbage", "refuse", "no_book"):
        assert f"`{kind}`" in README
    for kind in ("gamma_429", "gamma_500", "gamma_garbage"):
        assert f"`{kind}`" in README


def test_the_plant_script_is_valid_and_states_the_defaults() -> None:
    _, script = blocks("toml")
    arbitrage, split, stale = parse_plants(script, name="README")
    assert isinstance(arbitrage, Arbitrage)
    sparse = Arbitrage(calm=arbitrage.calm, asks=arbitrage.asks, size="1", at=1.0, winner=1)
    assert arbitrage == msgspec.structs.replace(sparse, size=arbitrage.size)
    assert [split, stale] == [Mirror(how="split"), Mirror(how="stale")]


def test_every_flag_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    flags = set(re.findall(r"(--[a-z-]+)", capsys.readouterr().out)) - {"--help"}
    table = README.split("## Flags")[1].split("## The fault script")[0]
    assert flags == set(re.findall(r"`(--[a-z-]+)", table))
