"""The README's example is what happens."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FIXTURES = Path(__file__).parents[3] / "testdata" / "fixtures"
FROM_PORT = 8000


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found


def example(words: str) -> str:
    """The one console block whose command has these words."""
    [found] = [text for text in blocks("console") if words in text.splitlines()[0]]
    return found


def run(console: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command of an example where the fixtures are."""
    shutil.copytree(FIXTURES, folder / "testdata" / "fixtures")
    program, *arguments = shlex.split(console.splitlines()[0].removeprefix("$ "))
    assert program == "pm-capture"
    return subprocess.run(
        [sys.executable, "-m", "pm_capture", *arguments],
        capture_output=True, text=True, cwd=folder, check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PM_")},
    )  # fmt: skip


def test_the_example_is_real(tmp_path: Path, new_venue: Callable[..., Any]) -> None:
    (tmp_path / "universe.json").write_text(blocks("json")[0])
    console = example("--universe")

    async def run() -> str:
        async with new_venue() as venue:
            port = venue.url.split(":")[2].split("/")[0]
            command, *_ = console.replace(str(FROM_PORT), port).splitlines()
            program, *arguments = shlex.split(command.removeprefix("$ "))
            assert program == "pm-capture"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pm_capture", *arguments,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
                env={k: v for k, v in os.environ.items() if not k.startswith("PM_")}
                # The disk of whoever runs this may be nearly full, which it would say.
                | {"PM_DATA_MIN_FREE_DISK_GB": "0"},
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 0
            said: str = out.decode().replace(port, str(FROM_PORT))
            return said

    said = asyncio.run(run())
    _, *expected = console.splitlines()
    # Two streams share one terminal here; the order between them is not promised.
    assert sorted(said.splitlines()) == sorted(expected)


def test_the_offline_example_is_real(tmp_path: Path) -> None:
    console = example("--offline --fixtures-dir testdata/fixtures --fixtures-multiplier")
    done = run(console, tmp_path)
    assert sorted((done.stdout + done.stderr).splitlines()) == sorted(console.splitlines()[1:])


def test_the_bench_example_is_real(tmp_path: Path) -> None:
    console = example(" bench ")
    report, shown = json.loads(run(console, tmp_path).stdout), json.loads(console.splitlines()[1])
    assert list(report) == list(shown)
    for name in ("run_id", "run_dir", "frames", "bytes_written", "connections"):
        assert report[name] == shown[name]


def test_every_setting_it_names_exists() -> None:
    words = ""
    for command in ([], ["bench"]):
        words += subprocess.run(
            [sys.executable, "-m", "pm_capture", *command, "--help"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    for flag in set(re.findall(r"--[a-z][a-z-]+", README)):
        assert flag in words, flag


def test_the_universe_of_the_example_is_json() -> None:
    assert json.loads(blocks("json")[0])["kind"] == "full"
