"""The README's example is what happens."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FROM_PORT = 8000


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_example_is_real(tmp_path: Path, new_venue: Callable[..., Any]) -> None:
    (tmp_path / "universe.json").write_text(block("json"))
    console = block("console")

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


def test_every_setting_it_names_exists() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pm_capture", "--help"], capture_output=True, text=True, check=True
    )
    for flag in set(re.findall(r"--[a-z][a-z-]+", README)):
        assert flag in done.stdout, flag


def test_the_universe_of_the_example_is_json() -> None:
    assert json.loads(block("json"))["kind"] == "full"
