"""`pm-capture --offline` as a process: a real bundle, and no network."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_frames import Continuity, Flag, open_bundle
from pm_frames.continuity import State
from pm_frames.peek import peek

FIXTURES = Path(__file__).parents[3] / "testdata" / "fixtures"
WAIT_SECONDS = 60
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def command(data_dir: Path, *flags: str) -> list[str]:
    return [
        sys.executable, "-m", "pm_capture", "--offline", "--fixtures-dir", str(FIXTURES),
        "--data-dir", str(data_dir), "--run-id", "r", *flags,
    ]  # fmt: skip


def clean(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PM_")}
    return {**kept, **more}


def run(arguments: list[str], **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        arguments, capture_output=True, text=True, env=clean(**environ), timeout=WAIT_SECONDS,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that three passes leave."""
    data_dir = tmp_path_factory.mktemp("data")
    done = run(command(data_dir, "--fixtures-multiplier", "3"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{data_dir / 'runs' / 'r'}\n"
    return data_dir / "runs" / "r"


def test_the_payloads_are_those_of_the_fixtures_and_say_how_they_came(left: Path) -> None:
    bundle = open_bundle(left)
    frames = {shard.shard_id: list(shard.frames()) for shard in bundle.shards()}
    assert Counter(len(each) for each in frames.values()) == {0: 6, 21: 1, 9: 1}
    for shard in filter(None, frames.values()):
        assert [bool(frame.flags & Flag.FIRST) for frame in shard] == [True] + [False] * (
            len(shard) - 1
        )
        one_pass = len(shard) // 3
        payloads = [frame.payload for frame in shard]
        assert payloads == payloads[:one_pass] * 3
    every = [frame for shard in frames.values() for frame in shard]
    verbatim = [frame for frame in every if not frame.flags & Flag.REENCODED]
    torn = [text for text in json.loads((FIXTURES / "ws_book_malformed.json").read_bytes())
            if isinstance(text, str)]  # fmt: skip
    assert [frame.payload.decode() for frame in verbatim] == torn * 3
    assert all(frame.flags & Flag.TEXT for frame in every)


def test_the_manifest_says_what_was_played(left: Path) -> None:
    manifest = json.loads((left / "manifest.json").read_bytes())
    assert manifest["payload_source"] == "decoded"
    assert manifest["fixtures_dir"] == FIXTURES.as_posix()
    assert manifest["fixtures_multiplier"] == 3
    assert manifest["ndjson_fsync_on_close"] is True
    assert manifest["ndjson_fsync_interval_seconds"] == 0.2
    assert manifest["pinned_token_ids"] == manifest["pinned_tokens"]
    assert [market["id"] for market in manifest["pinned_markets"]] == ["500001", "500002"]
    assert manifest["config_sources"]["offline"] == "flag"
    assert manifest["universe_refresh"]["enabled"] is False
    assert manifest["fixtures_sha256"] == {
        name: hashlib.sha256((FIXTURES / name).read_bytes()).hexdigest()
        for name in manifest["fixtures_sha256"]
    }


def test_it_is_sealed_and_every_token_is_live_to_the_end(
    left: Path, left_run: Callable[[Path], Any]
) -> None:
    seal = json.loads((left / "seal.json").read_bytes())
    assert (seal["stop_reason"], seal["frames_total"]) == ("fixtures", 30)
    continuity = Continuity()
    ended: list[State] = []
    records = left_run(left).records
    stamps = [(record["ts_mono_ns"], -1, record) for record in records]
    bundle = open_bundle(left)
    stamps += [
        (frame.rx_mono_ns, shard.shard_id, frame.payload)
        for shard in bundle.shards()
        for frame in shard.frames()
    ]
    for stamp, shard_id, what in sorted(stamps, key=lambda each: each[:2]):
        if shard_id == -1:
            if what["record_type"] == "disconnect":
                ended += continuity.states().values()
            continuity.record(what)
            continue
        seen = peek(what)
        if "book" in seen.event_types:
            for token_id in seen.token_ids:
                continuity.book(token_id, shard_id, stamp)
    assert ended[:4] == [State.LIVE] * 4
    assert set(continuity.states().values()) == {State.ENDED}


@posix  # on Windows an event loop connects to itself
def test_no_network_is_touched(tmp_path: Path) -> None:
    audited = (
        "import os, sys\n"
        "def refuse(event, _):\n"
        "    if event in {'socket.connect', 'socket.getaddrinfo', 'socket.bind', 'socket.sendto'}:\n"
        "        os.write(2, event.encode()); os._exit(99)\n"
        "sys.addaudithook(refuse)\n"
        "from pm_capture.__main__ import main\nsys.exit(main())"
    )
    program = [sys.executable, "-c", audited]
    done = run([*program, *command(tmp_path)[3:], "--no-uvloop"])  # libuv raises no audit events
    assert done.returncode == 0, done.stderr


def test_the_switch_can_stand_in_the_environment(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "pm_capture", "--data-dir", str(tmp_path)]
    environ = {"PM_ARB_OFFLINE": "true", "PM_DATA_FIXTURES_DIR": str(FIXTURES)}
    done = run([*arguments, "--ws-shards", "1"], **environ)
    assert done.returncode == 0, done.stderr
    assert len(list(open_bundle(Path(done.stdout.strip())).shards()[0].frames())) == 10


def test_filters_apply_to_fixtures_too(tmp_path: Path) -> None:
    filters = ["--capture-use-market-filters", "--market-regex", "COIN", "--ws-shards", "1"]
    done = run(command(tmp_path, *filters))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "runs" / "r" / "manifest.json").read_bytes())
    assert manifest["capture_use_market_filters"] is True
    assert manifest["market_regex_effective"] == "COIN"
    assert [market["id"] for market in manifest["pinned_markets"]] == ["500002"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fixtures-dir", "nowhere"], "nowhere: expected a folder of fixtures"),
        (["--capture-use-market-filters", "--market-regex", "sun"], "holds no token to capture"),
        (["--universe", "u.json"], "exclude each other"),
        (["--offline", "perhaps"], "offline must be true or false, found 'perhaps'"),
    ],
)
def test_what_cannot_be_played_is_2_and_leaves_nothing(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    done = run(command(tmp_path / "d", *flags))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert not (tmp_path / "d").exists()


@posix
def test_a_signal_ends_and_seals_it(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--fixtures-multiplier", "1000000000")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    seal = json.loads((tmp_path / "runs" / "r" / "seal.json").read_bytes())
    assert seal["stop_reason"] == "SIGINT"
