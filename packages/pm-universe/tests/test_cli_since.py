"""Generations and filters through the program: what is written, when nothing is, and what is told."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.chain import read_since
from pm_universe.generation import fold
from pm_universe.universe_file import read

MakeMarket = Callable[..., dict[str, Any]]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def directory(call: Run, venue: Any, make_market: MakeMarket, tmp_path: Path) -> Path:
    """A universe of three markets, written as generation 0."""
    venue.filters([make_market(number) for number in range(3)])
    directory = tmp_path / "universe"
    done = call("discover", "--gamma-base-url", venue.url, "--out", directory / "000000.json")
    assert done.returncode == 0
    venue.requests.clear()
    return directory


def test_a_timeline_of_generations(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path
) -> None:
    def refreshed(version: int) -> dict[str, Any]:
        out = directory / f"{version:06d}.json"
        done = call("discover", "--gamma-base-url", venue.url, "--since", directory, "--out", out)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.count(b"\n") == 1
        report: dict[str, Any] = json.loads(done.stdout)
        assert out.exists() == report["changed"]
        return report

    report = refreshed(1)
    assert report == report | {
        "gamma_pages_fetched": 1,
        "markets_seen": 3,
        "tokens_selected": 6,
        "changed": False,
        "since_version": 0,
        "markets_added": 0,
        "markets_removed": 0,
        "markets_changed": 0,
        "tokens_added": 0,
        "tokens_removed": 0,
        "universe_version": 0,
        "kind": None,
        "file": None,
        "bytes": None,
        "sha256": None,
    }
    venue.filters(
        [
            make_market(0, closed=True),
            make_market(1, orderPriceMinTickSize=0.001),
            make_market(2, question="Or will it?"),
            make_market(3),
        ]
    )
    report = refreshed(1)
    path = directory / "000001.json"
    assert report == report | {
        "gamma_pages_fetched": 3,
        "changed": True,
        "markets_added": 1,
        "markets_removed": 1,
        "markets_changed": 2,
        "markets_changed_for_simulation": 1,
        "tokens_added": 2,
        "tokens_removed": 2,
        "tokens_selected": 6,
        "universe_version": 1,
        "kind": "delta",
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    written = json.loads(path.read_bytes())
    assert written["since"] == {
        "universe_version": 0,
        "sha256": hashlib.sha256((directory / "000000.json").read_bytes()).hexdigest(),
    }
    assert [each["reason"] for each in written["removed"]] == ["closed"]
    assert [each["fields"] for each in written["changed"]] == [["tick_size"], ["question"]]
    assert [row["slug"] for row in written["added"]] == ["number-3"]
    assert refreshed(2)["changed"] is False
    venue.filters([make_market(3), make_market(4)])
    assert refreshed(2)["universe_version"] == 2
    assert [row.slug for row in read_since(directory).universe.markets] == ["number-3", "number-4"]


def test_a_full_file_is_a_beginning_too(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path, tmp_path: Path
) -> None:
    venue.filters([make_market(number) for number in range(4)])
    start = directory / "000000.json"
    out = tmp_path / "next.json"
    arguments = ["discover", "--gamma-base-url", venue.url, "--since", start]
    assert call(*arguments, "--out", out).returncode == 0
    printed = json.loads(call(*arguments, "--json").stdout)
    written = json.loads(out.read_bytes())
    for stamp in ("created_wall_ns_utc", "created_mono_ns"):
        del printed[stamp], written[stamp]
    assert printed == written
    assert len(fold([read(start)]).markets) == 3


def test_without_a_file_the_changes_are_listed(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path
) -> None:
    venue.filters([make_market(0, closed=True), make_market(1, orderMinSize=9), make_market(3)])
    done = call("discover", "--gamma-base-url", venue.url, "--since", directory)
    assert done.returncode == 0
    assert done.stdout == (
        b"500000\tremoved\tnumber-0\tWill number 0 come up?\tclosed\n"
        b"500002\tremoved\tnumber-2\tWill number 2 come up?\tnot_listed\n"
        b"500001\tchanged\tnumber-1\tWill number 1 come up?\tmin_size\n"
        b"500003\tadded\tnumber-3\tWill number 3 come up?\t\n"
    )


def test_incumbents_stay_under_the_cap_and_the_rest_is_counted(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path, tmp_path: Path
) -> None:
    rich = [make_market(number, volume24hr=10**6) for number in (7, 8)]
    venue.filters([*(make_market(number) for number in range(3)), *rich])
    command = ["discover", "--gamma-base-url", venue.url, "--since", directory]
    done = call(*command, "--max-markets", 3, "--out", tmp_path / "next.json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["changed"] is False
    assert done.stderr == b"pm-universe: 2 markets dropped by --max-markets\n"


def test_a_recent_sweep_is_recorded(
    call: Run, venue: Any, make_market: MakeMarket, directory: Path, tmp_path: Path
) -> None:
    fresh = make_market(3, startDate="2999-01-01T00:00:00Z")
    venue.filters([*(make_market(number) for number in range(3)), make_market(4), fresh])
    out = tmp_path / "next.json"
    command = ["discover", "--gamma-base-url", venue.url, "--since", directory]
    assert call(*command, "--sweep", "recent", "--out", out).returncode == 0
    written = json.loads(out.read_bytes())
    assert written["selection"]["sweep"] == "recent"
    assert [row["slug"] for row in written["added"]] == ["number-3"]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 2, b"cannot be read"),
        (b"{", 4, b"is no universe generation"),
        (b'{"kind":"delta"}', 4, b"is no universe generation"),
    ],
)
def test_a_since_that_is_none_costs_not_even_a_request(
    call: Run, venue: Any, tmp_path: Path, content: bytes | None, code: int, words: bytes
) -> None:
    since = tmp_path / "since.json"
    if content is not None:
        since.write_bytes(content)
    done = call(
        "discover", "--gamma-base-url", venue.url, "--since", since, "--out", tmp_path / "o"
    )
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
    assert venue.requests == []
    assert not (tmp_path / "o").exists()


def test_a_venue_without_markets_leaves_the_old_universe(
    call: Run, venue: Any, directory: Path, tmp_path: Path
) -> None:
    venue.filters([])
    out = tmp_path / "next.json"
    done = call("discover", "--gamma-base-url", venue.url, "--since", directory, "--out", out)
    assert (done.returncode, done.stdout) == (6, b"")
    assert not out.exists()


def test_filters_are_opt_in_and_recorded(call: Run, venue: Any, make_market: MakeMarket) -> None:
    venue.filters(
        [make_market(1), make_market(2, slug="btc-up"), make_market(3, question="Is BTC up?")]
    )
    command = ["discover", "--gamma-base-url", venue.url, "--json", "--market-regex", "^BTC|btc"]
    done = call(*command, "--capture-use-market-filters")
    document = json.loads(done.stdout)
    assert [row["market_id"] for row in document["markets"]] == ["500002", "500003"]
    assert document["selection"] == document["selection"] | {
        "universe_mode": "active-binary",
        "capture_use_market_filters": True,
        "market_regex_effective": "^BTC|btc",
    }
    assert document["stats"]["markets_left_out"] == {"filtered": 1}
    for switch in ([], ["--no-capture-use-market-filters"]):
        done = call(*command, *switch)
        document = json.loads(done.stdout)
        assert len(document["markets"]) == 3
        assert document["selection"]["market_regex_effective"] is None
        assert document["selection"]["capture_use_market_filters"] is False
        assert b"--market-regex is ignored" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--market-regex", "(btc"], "'(btc' is no regular expression: missing )"),
        (
            ["--capture-use-market-filters", "--market-regex", "a{99999999999}"],
            "'a{99999999999}' is no regular expression",
        ),
        (["--capture-use-market-filters"], "needs --market-regex"),
        (["--sweep", "recent"], "--sweep recent needs --since"),
        (["--sweep", "some"], "invalid choice"),
        (["--market-regex", "\udcff"], "argument --market-regex: expected UTF-8"),
        (["--event", "\udcff"], "argument --event: expected UTF-8"),
    ],
)
def test_wrong_usage_names_what_is_wrong(call: Run, arguments: list[str], words: str) -> None:
    done = call("discover", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words.encode() in done.stderr
