"""Settings on a command line."""

import argparse

import pytest

from pm_capture.flags import METAVARS, add_settings
from pm_capture.settings import FIELDS, resolve


def parsed(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_settings(parser)
    return vars(parser.parse_args(arguments))


def offline(*arguments: str) -> bool:
    return resolve(flags=parsed(*arguments), environ={}).settings.offline


def test_nothing_appears_that_was_not_given() -> None:
    assert parsed() == {}
    assert parsed("--ws-shards", "x") == {"ws_shards": "x"}  # judged later, with its source


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--offline"], True),
        (["--offline", "true"], True),
        (["--offline=TRUE"], True),
        (["--offline", "false"], False),
        (["--no-offline"], False),
        (["--offline", "--no-offline"], False),
        (["--offline", "--ws-shards", "2"], True),
        ([], False),
    ],
)
def test_offline_is_a_switch_and_takes_a_word(arguments: list[str], found: bool) -> None:
    assert offline(*arguments) is found


def test_other_switches_take_no_word() -> None:
    with pytest.raises(SystemExit):
        parsed("--uvloop", "true")


def test_every_special_placeholder_is_of_a_setting() -> None:
    assert METAVARS.keys() <= FIELDS.keys()
