import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pm_mock.__main__ import main

HANDSHAKE = (
    b"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_first_line_has_the_urls_and_the_last_one_the_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve", "--seed", "9", "--markets", "4", "--duration-seconds", "0.05"]) == 0
    ready, counts = lines(capsys)
    base = str(ready["gamma_base_url"])
    assert base.startswith("http://127.0.0.1:")
    assert ready == {
        "gamma_base_url": base,
        "clob_base_url": base,
        "ws_url": base.replace("http", "ws") + "/ws/market",
        "geoblock_url": base + "/api/geoblock",
        "pid": os.getpid(),
        "seed": 9,
    }
    assert set(counts) == {
        "frames_sent",
        "bytes_sent",
        "http_requests",
        "handshakes",
        "faults",
        "engine_events",
        "elapsed_seconds",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--recording", "none.jsonl"], 2, "none.jsonl: No such file"),
        (
            ["--recording", "latin.jsonl"],
            4,
            "latin.jsonl: line 1, byte 0: a text frame must be UTF-8",
        ),
        (["--faults", "bad.toml"], 2, "bad.toml: Invalid value 'explode' - at `$.fault[0].kind`"),
        (["--bundle", "none"], 2, "'none' is neither a directory nor the beginning of a run id"),
        (["--bundle", "."], 2, "not a run bundle"),
        (["--rate", "5", "--recording", "latin.jsonl"], 2, "--rate is for the generated market"),
        (["--speed", "2"], 2, "--speed is for"),
        (["--markets", "0"], 2, "--markets must be between 1 and 100000, got 0"),
        (["--port", "70000"], 2, "--port must be between 0 and 65535, got 70000"),
        (["--sent-log", "bad.toml"], 5, "bad.toml: File exists"),
    ],
)
def test_what_cannot_be_served_is_named(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9\n")
    (tmp_path / "bad.toml").write_text('[[fault]]\nkind = "explode"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *arguments, "--duration-seconds", "0.05"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pm-mock: ")
    assert words in said.err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["serve", "--no-such-flag"], ["serve", "--mark", "3"]])
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: pm-mock" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("pm-mock ")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_clean_stop(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "pm_mock", "serve", "--markets", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        process.send_signal(number)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(rest)["handshakes"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_leaves_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "pm_mock", "serve", "--markets", "4"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_an_output_that_cannot_be_written_is_code_5() -> None:
    command = [sys.executable, "-m", "pm_mock", "serve", "--markets", "4"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert done.returncode == 5
    assert done.stderr == "pm-mock: cannot write the output: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pm_mock", "serve", "--markets", "4", "--sent-log", "log"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["ws_url"]
        host, port = url.removeprefix("ws://").removesuffix("/ws/market").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(HANDSHAKE)
            assert client.recv(1024).startswith(b"HTTP/1.1 101 ")
            process.send_signal(signal.SIGINT)
            # The close frame is not answered, so the venue still waits when the next signal comes.
            assert client.recv(1024)[0] == 0x88
            process.send_signal(signal.SIGTERM)
            rest, words = process.communicate(timeout=30)
    assert process.returncode == 143
    assert (rest, words) == ("", "pm-mock: interrupted by a second signal (15)\n")
    assert b'"how": "shutdown"' in (tmp_path / "log" / "connections.ndjson").read_bytes()
