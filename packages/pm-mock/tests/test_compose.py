from pathlib import Path

import pytest

from pm_frames import BundleError
from pm_mock.compose import BadOption, Options, check, compose, parse_speed, read_ingredients
from pm_mock.faultplan import BadFaults
from pm_mock.http_message import request
from pm_mock.sources.recording import MissingRecording

LINE = b'{"market":"0xc0","asset_id":"11","event_type":"last_trade_price","price":"0.5"}\n'


@pytest.mark.parametrize(
    ("text", "speed"), [("max", None), ("0", None), ("1", 1.0), ("2.5", 2.5), ("0.1", 0.1)]
)
def test_speeds(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["-1", "fast", "nan", "inf", ""])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(BadOption, match="--speed must be a positive number or max"):
        parse_speed(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(recording=Path("r"), bundle=Path("b")), "exclude each other"),
        (Options(recording=Path("r"), rate=1), "--rate is for the generated market"),
        (Options(bundle=Path("b"), rate=1), "--rate is for the generated market"),
        (Options(speed="2"), "--speed is for"),
        (Options(repeat=2), "--repeat is for --recording"),
        (Options(markets=0), "--markets must be between 1 and 100000, got 0"),
        (Options(rate=-1), "--rate must be between 0 and 1000000, got -1"),
        (Options(rate=float("nan")), "--rate must be between"),
        (Options(duration_seconds=-1), "--duration-seconds must be between"),
        (Options(lifecycle_seconds=-1), "--lifecycle-seconds must be between"),
        (Options(recording=Path("r"), repeat=0), "--repeat must be between"),
        (Options(recording=Path("r"), speed="x"), "--speed must be"),
    ],
)
def test_flags_that_make_no_sense(options: Options, words: str) -> None:
    with pytest.raises(BadOption, match=words):
        check(options)


def test_files_are_read_before_the_clock_starts(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(MissingRecording):
        read_ingredients(Options(recording=missing))
    with pytest.raises(BadFaults):
        read_ingredients(Options(faults=missing))
    with pytest.raises(BundleError):
        read_ingredients(Options(bundle=missing))


def test_a_generated_venue_and_a_recorded_one(tmp_path: Path) -> None:
    recording = tmp_path / "r.jsonl"
    recording.write_bytes(LINE)
    for options, markets in ((Options(markets=3), 3), (Options(recording=recording), 1)):
        check(options)
        ingredients = read_ingredients(options)
        venue = compose(options, ingredients, start_ns=0, wall_offset_ns=10**18)
        answer = venue.respond(request("GET", "/markets?limit=500"), 1)
        assert answer.status == 200
        assert answer.body.count(b'"conditionId"') >= markets
