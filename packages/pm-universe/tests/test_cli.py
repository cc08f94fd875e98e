"""The program as a process: exit codes, what stands on which stream, what is left on disk."""

import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.universe_file import encode, read

MakeMarket = Callable[..., dict[str, Any]]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def listed(venue: Any, make_market: MakeMarket) -> list[str]:
    """Three markets at the venue; return the first arguments of a discovery there."""
    venue.lists([make_market(number) for number in range(3)], page_size=2)
    return ["discover", "--gamma-base-url", venue.url]


def test_a_pipe_gets_tab_separated_lines(run: Run, listed: list[str]) -> None:
    done = run(*listed, "--max-markets", "2")
    assert done.returncode == 0
    assert done.stderr == b"pm-universe: 1 markets dropped by --max-markets\n"
    assert done.stdout == (
        b"500000\tselected\tnumber-0\tWill number 0 come up?\n"
        b"500001\tselected\tnumber-1\tWill number 1 come up?\n"
        b"500002\tover_cap\tnumber-2\tWill number 2 come up?\n"
    )


def test_json_is_the_document_and_out_writes_the_same(
    run: Run, listed: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "universe" / "000000.json"
    assert run(*listed, "--out", path).returncode == 0
    printed = run(*listed, "--json")
    assert printed.returncode == 0
    document, written = json.loads(printed.stdout), json.loads(path.read_bytes())
    for stamp in ("created_wall_ns_utc", "created_mono_ns"):
        assert isinstance(document.pop(stamp), int)
        assert isinstance(written.pop(stamp), int)
    assert document == written
    assert encode(read(path)) == path.read_bytes()


def test_out_reports_one_line(run: Run, listed: list[str], tmp_path: Path) -> None:
    path = tmp_path / "u.json"
    done = run(*listed, "--max-markets", "2", "--out", path)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 1
    assert json.loads(done.stdout) == {
        "gamma_pages_fetched": 2,
        "markets_seen": 3,
        "markets_selected": 2,
        "markets_dropped_by_cap": 1,
        "tokens_selected": 4,
        "events_split_by_cap": 0,
        "markets_left_out": {},
        "sweep": "whole",
        "not_found": [],
        "notes": [],
        "changed": True,
        "universe_version": 0,
        "kind": "full",
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert [child.name for child in tmp_path.iterdir()] == ["u.json"]


def test_an_existing_file_costs_not_even_a_request(
    run: Run, listed: list[str], venue: Any, tmp_path: Path
) -> None:
    path = tmp_path / "u.json"
    path.write_bytes(b"precious")
    done = run(*listed, "--out", path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"u.json exists" in done.stderr
    assert path.read_bytes() == b"precious"
    assert venue.requests == []
    assert run(*listed, "--out", path, "--force").returncode == 0
    assert len(read(path).markets) == 3


def test_a_path_that_cannot_be_written_is_5(run: Run, listed: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run(*listed, "--out", tmp_path / "file" / "u.json")
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"pm-universe: cannot write" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="what is too long differs")
def test_a_name_that_is_too_long_is_told_in_words(
    call: Run, listed: list[str], tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 300)
    for code, arguments in (
        (5, [*listed, "--out", long]),
        (2, [*listed, "--since", long]),
        (2, ["resolutions", long]),
    ):
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (code, b"")
        assert done.stderr.startswith(b"pm-universe: ")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"go away", b"refused: GET http://127.0.0.1:"),
        (500, b"oops", b"answered 500, b'oops'"),
        (200, b"<html>", b"not JSON"),
        (200, b'{"markets":[]}', b"no market to select at http://127.0.0.1:"),
        (200, b'{"markets":[],"next_cursor":"x"}', b"gives the cursor 'x' a second time"),
    ],
)
def test_what_the_venue_does_wrong_is_6_and_leaves_no_file(
    run: Run, venue: Any, tmp_path: Path, status: int, body: bytes, words: bytes
) -> None:
    venue.answer = lambda path, params: (status, {}, body)
    target = ["discover", "--gamma-base-url", venue.url, "--out", tmp_path / "new" / "u.json"]
    done = run(*target, "--retries", "0")
    assert (done.returncode, done.stdout) == (6, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_venue_is_6(run: Run, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = run("discover", "--gamma-base-url", url, "--retries", "0", "--out", tmp_path / "u")
    assert (done.returncode, done.stdout) == (6, b"")
    assert f"GET {url}/markets/keyset".encode() in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_retries_are_told(run: Run, listed: list[str], venue: Any) -> None:
    venue.first = [(429, {"Retry-After": "0.01"}, b"slow down")]
    done = run(*listed)
    assert done.returncode == 0
    assert done.stderr.startswith(b"pm-universe: retry in 0.0 s: refused: GET http://127.0.0.1:")


def test_names(run: Run, listed: list[str]) -> None:
    done = run(*listed, "--market", "number-1", "--event", "event-2", "--market", "nobody")
    assert done.returncode == 0
    assert [line.split(b"\t")[2] for line in done.stdout.splitlines()] == [b"number-1", b"number-2"]
    assert b"not found or not active: nobody" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["find"],
        ["discover", "--max-markets", "0"],
        ["discover", "--max-markets", "many"],
        ["discover", "--max-mark", "5"],
        ["discover", "--universe", "everything"],
        ["discover", "--gamma-base-url", "gamma-api.polymarket.com"],
        ["discover", "--gamma-base-url", "ftp://somewhere"],
        ["discover", "--gamma-base-url", "https://name:secret@somewhere"],
        ["discover", "--gamma-base-url", "https://somewhere:99999"],
        ["discover", "--gamma-base-url", "https://somewhere/?a=b"],
        ["discover", "--timeout-seconds", "0"],
        ["discover", "--timeout-seconds", "nan"],
        ["discover", "--retries", "-1"],
        ["discover", "--json", "--tsv"],
        ["discover", "extra"],
        ["resolutions"],
        ["resolutions", "run", "extra"],
        ["resolutions", "run", "--gamma-base-url", "gamma"],
    ],
)
def test_wrong_usage_is_2(call: Run, arguments: list[str]) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage: pm-universe" in done.stderr


HEAVY = ("aiolimiter", "asyncio", "dataclasses", "httpx2", "msgspec", "stamina")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["discover", "--help"], ["resolutions", "--help"], ["--version"], ["oops"]],
)
def test_nothing_heavy_is_imported_before_there_is_something_to_do(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom pm_universe.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_version(run: Run) -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"pm-universe 0.")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_every_line(
    venue: Any, make_market: MakeMarket, unbuffered: str
) -> None:
    long_ones = [make_market(number, question="Why? " * 400) for number in range(500)]
    venue.lists(long_ones, page_size=500)
    command = [sys.executable, "-m", "pm_universe", "discover", "--gamma-base-url", venue.url]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 500)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [("ftp://localhost:1", b"ftp"), ("http://[::1", b"port")]
    + [("socks5://localhost:1", b"socksio")] * (importlib.util.find_spec("socksio") is None),
)
def test_a_proxy_that_cannot_be_spoken_to_is_two(proxy: str, words: bytes) -> None:
    command = [sys.executable, "-m", "pm_universe", "discover"]
    command += ["--gamma-base-url", "http://gamma.invalid"]
    environment = {name: each for name, each in os.environ.items() if "proxy" not in name.lower()}
    environment["ALL_PROXY"] = proxy
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_path_that_is_no_utf8_is_told_in_json(
    run: Run, listed: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "u\udcff.json"
    done = run(*listed, "--out", path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["file"] == str(path)
    assert len(read(path).markets) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_an_output_that_cannot_be_written_is_code_5(listed: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pm_universe", *listed]
    for out in ([], ["--out", str(tmp_path / "universe.json")]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*command, *out], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                timeout=60, check=False,
            )  # fmt: skip
        assert done.returncode == 5
        assert done.stderr == b"pm-universe: cannot write the output: No space left on device\n"
    assert len(read(tmp_path / "universe.json").markets) == 3  # what it was asked for is there


@pytest.mark.skipif(os.name == "nt", reason="a reader that leaves is silent only on POSIX")
def test_a_reader_that_leaves_hears_no_complaint(venue: Any, make_market: MakeMarket) -> None:
    long_ones = [make_market(number, question="Why? " * 400) for number in range(2000)]
    venue.lists(long_ones, page_size=2000)
    command = [sys.executable, "-m", "pm_universe", "discover", "--gamma-base-url", venue.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"500000\t")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141  # 128 + SIGPIPE, as a shell would say


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo terminal")
def test_a_terminal_gets_a_table(listed: list[str]) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pm_universe", *listed]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # Linux says EIO when the other end is closed
    os.close(ours)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 0
    head, *rows = shown.decode().splitlines()
    assert head.startswith("MARKET")
    assert len(rows) == 3
    assert words.startswith(b"3 markets selected of 3 on 2 pages;")
