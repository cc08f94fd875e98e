"""The commands of README.md give the output that stands below them."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"
SERVED = "http://127.0.0.1:8000"


def test_the_commands(
    run: Callable[..., Any],
    venue: Any,
    make_market: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue.lists([*map(make_market, range(3)), make_market(3, closed=True)], page_size=100)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"```console\n\$ pm-universe (.+)\n((?:.*\n)*?)```", README.read_text(encoding="utf-8")
    )
    assert len(blocks) == 4
    recording = ["--gamma-base-url", venue.url, "--out", "run-1/universe/000000.json"]
    assert run("discover", *recording).returncode == 0
    for command, shown in blocks:
        notes = b"pm-universe: 1 markets dropped by --max-markets\n"
        if command.startswith("resolutions"):
            won = make_market(0, closed=True, outcomePrices=["1", "0"])
            venue.filters([won, make_market(1), make_market(2)])
            notes = b""
        done = run(*shlex.split(command.replace(SERVED, venue.url)))
        assert done.returncode == 0
        assert done.stderr == notes
        printed = done.stdout.decode()
        if "--out" not in command:
            assert printed == shown
            continue
        # The stamps in the file are those of the run, and with them its size and digest.
        changing = dict.fromkeys(("bytes", "sha256"))
        assert json.loads(printed) | changing == json.loads(shown) | changing
        assert list(json.loads(printed)) == list(json.loads(shown))
