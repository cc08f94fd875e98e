"""`pm-universe resolutions` as a process, on the universe of a run and a venue on loopback."""

import hashlib
import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.resolution import Payout, Resolution
from pm_universe.resolutions_file import ResolutionsFile, decode

MakeMarket = Callable[..., dict[str, Any]]
Run = Callable[..., subprocess.CompletedProcess[bytes]]
SPEC = Path(__file__).parents[3] / "docs" / "spec" / "resolutions.md"
WON = {"closed": True, "outcomePrices": '["0", "1"]', "umaResolutionStatus": "resolved"}


@pytest.fixture
def directory(call: Run, venue: Any, make_market: MakeMarket, tmp_path: Path) -> Path:
    """A run whose universe had markets 0 to 4: 0 and 1 left in generation 1, 4 came with it."""
    universe = tmp_path / "runs" / "run-1" / "universe"
    discover = ["discover", "--gamma-base-url", venue.url, "--out"]
    venue.filters([make_market(number) for number in range(4)])
    assert call(*discover, universe / "000000.json").returncode == 0
    venue.filters([make_market(number) for number in range(2, 5)])
    assert call(*discover, universe / "000001.json", "--since", universe).returncode == 0
    venue.requests.clear()
    return universe.parent


def test_every_market_that_was_ever_in_is_told(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path, tmp_path: Path
) -> None:
    tie = WON | {"outcomePrices": '["0.5", "0.5"]'}
    venue.filters(
        [
            make_market(0, **WON),
            make_market(2, **tie),
            make_market(3),
            make_market(4, closed=True, outcomePrices='["0.6", "0.4"]'),
            make_market(9, **WON),
        ]
    )
    out = tmp_path / "resolutions.json"
    command = ["resolutions", directory, "--gamma-base-url", venue.url]
    done = call(*command, "--out", out)
    assert (done.returncode, done.stderr) == (0, b"")
    content = out.read_bytes()
    assert json.loads(done.stdout) == {
        "run_id": "run-1",
        "gamma_pages_fetched": 2,
        "markets": 5,
        "resolved": 1,
        "tie": 1,
        "pending": 1,
        "open": 1,
        "unknown": 1,
        "notes": [],
        "file": str(out),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    document = decode(content)
    last = (directory / "universe" / "000001.json").read_bytes()
    assert document.universe_version == 1
    assert document.universe_sha256 == hashlib.sha256(last).hexdigest()
    assert [each.status for each in document.markets] == [
        "resolved",
        "unknown",
        "tie",
        "open",
        "pending",
    ]
    assert [each.source for each in document.markets] == [
        "/markets/keyset?closed=true",
        None,
        "/markets/keyset?closed=true",
        "/markets/keyset?closed=false",
        "/markets/keyset?closed=true",
    ]
    # The second question is only about what the first did not answer.
    assert [len(params["condition_ids"]) for _, params in venue.requests] == [5, 2]
    printed = call(*command)
    assert printed.returncode == 0
    unstamped = re.compile(rb'_wall_ns_utc":[0-9]+')
    assert unstamped.sub(b"", printed.stdout) == unstamped.sub(b"", content)


def test_a_run_is_named_in_every_way(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path
) -> None:
    venue.filters([make_market(number, **WON) for number in range(5)])
    (directory / "manifest.json").write_text('{"run_id":"run-1"}', encoding="utf-8")
    for name in ("run-1", "run", "@last"):
        done = call(
            "resolutions", name, "--data-dir", directory.parents[1], "--gamma-base-url", venue.url
        )
        assert done.returncode == 0
        assert json.loads(done.stdout)["counts"]["resolved"] == 5


def test_many_markets_are_asked_for_in_batches_and_by_offset_where_that_is_all_there_is(
    call: Run, venue: Any, make_market: MakeMarket, tmp_path: Path
) -> None:
    markets = [make_market(number) for number in range(120)]
    universe = tmp_path / "universe" / "000000.json"
    venue.filters(markets)
    assert call("discover", "--gamma-base-url", venue.url, "--out", universe).returncode == 0
    venue.filters([market | WON for market in markets])
    venue.requests.clear()
    command = ["resolutions", tmp_path, "--gamma-base-url", venue.url]
    assert json.loads(call(*command).stdout)["counts"]["resolved"] == 120
    assert [len(params["condition_ids"]) for _, params in venue.requests] == [50, 50, 20]

    def older(path: str, params: dict[str, list[str]]) -> tuple[int, dict[str, str], bytes]:
        if path != "/markets":
            return 404, {}, b"no"
        names = params["condition_ids"] if params["offset"] == ["0"] else []
        rows = [market | WON for market in markets if market["conditionId"] in names]
        return 200, {}, json.dumps(rows).encode()

    venue.answer = older
    document = json.loads(call(*command).stdout)
    assert document["counts"]["resolved"] == 120
    assert {each["source"] for each in document["markets"]} == {"/markets?closed=true"}


def test_no_answer_is_6_and_leaves_no_file(
    call: Run, venue: Any, directory: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        options = ["--retries", "0", "--out", out]
        done = call("resolutions", directory, "--gamma-base-url", url, *options)
    assert (done.returncode, done.stdout) == (6, b"")
    assert b"unreachable" in done.stderr
    venue.answer = lambda path, params: (200, {}, b"<html>")
    done = call("resolutions", directory, "--gamma-base-url", venue.url, *options)
    assert (done.returncode, done.stdout) == (6, b"")
    assert not out.exists()


def test_what_is_not_there_is_2_and_what_is_damaged_is_4(
    call: Run, venue: Any, directory: Path, tmp_path: Path
) -> None:
    def told(*arguments: str | Path) -> tuple[int, bytes]:
        done = call("resolutions", *arguments, "--gamma-base-url", venue.url)
        assert done.stdout == b""
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stderr

    (empty := tmp_path / "empty").mkdir()
    code, words = told(empty)
    assert (code, b"holds no universe generation" in words) == (2, True)
    assert told("nothing", "--data-dir", tmp_path)[0] == 2
    assert told()[0] == 2
    taken = tmp_path / "taken"
    taken.write_bytes(b"precious")
    assert told(directory, "--out", taken)[0] == 2
    assert taken.read_bytes() == b"precious"
    (directory / "universe" / "000001.json").write_bytes(b"{")
    code, words = told(directory)
    assert (code, b"000001.json is no universe generation" in words) == (4, True)
    assert venue.requests == []


def test_the_specification_names_every_field() -> None:
    text = SPEC.read_text(encoding="utf-8")
    for struct in (ResolutionsFile, Resolution, Payout):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in text, name
