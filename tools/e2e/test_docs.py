"""What the documentation tells people to type exists: every program, every command, every flag."""

import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DEV = ["python3", "tools/dev.py"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(pm-[^`]+|--[^`]+)`")
FLAG = re.compile(r"--[a-z][\w-]*")


class Typed(NamedTuple):
    """One command of a page, split as a shell would."""

    page: str
    words: list[str]


def commands_in(text: str, page: str = "") -> Iterator[Typed]:
    """Find our commands in the fences and the inline code of a page."""
    for language, block in FENCE.findall(text):
        if language in {"json", "toml", "python", "mermaid"} or "─" in block:  # a picture
            continue
        for line in block.replace("\\\n", " ").splitlines():
            yield from commands_of(line.removeprefix("$ ").removeprefix("ExecStart="), page)
    for code in INLINE.findall(FENCE.sub("", text)):
        yield from commands_of(code, page)


def commands_of(line: str, page: str) -> Iterator[Typed]:
    """Split a line into its commands, and keep ours; a line of output is none."""
    if not re.search(r"\bpm-|tools/dev\.py|^--", line):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # words of people, with an apostrophe
        return
    command: list[str] = []
    for word in [*words, "|"]:
        if set(word) <= set("|&;<>"):
            command = command[1:] if command[:1] == ["sudo"] else command
            while command and re.fullmatch(r"\w+=.*", command[0]):
                del command[0]
            if command[:2] == DEV or (command and ours(command[0])):
                yield Typed(page, command)
            command = []
        else:
            command.append(word)


def ours(word: str) -> bool:
    name = Path(word).name
    # `pm-capture:` begins a line of output; `pm-capture@.service` is a unit.
    return word.startswith("--") or bool(re.fullmatch(r"pm-[\w-]+", name))


@functools.cache
def help_of(program: str, *commands: str) -> str | None:
    """What `--help` prints; None if there is no such program or command."""
    path = BIN / (f"{program}.exe" if os.name == "nt" else program)
    if not path.is_file():
        return None
    done = subprocess.run(
        [path, *commands, "--help"],
        capture_output=True, encoding="utf-8", timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else None


@functools.cache
def subcommands(program: str) -> tuple[str, ...]:
    _, _, listed = (help_of(program) or "").partition("\n  COMMAND\n")
    return tuple(re.findall(r"^    (\S+)", listed.split("\n\n")[0], re.MULTILINE))


@functools.cache
def flags_of(program: str, *commands: str) -> frozenset[str]:
    return frozenset(FLAG.findall(help_of(program, *commands) or ""))


@functools.cache
def flags_of_all() -> frozenset[str]:
    """Every flag of every program, and those of the tools around them that the pages name."""
    known = {"--check"}  # sha256sum
    for path in BIN.glob("pm-*"):
        known |= flags_of(path.stem)
        for command in subcommands(path.stem):
            known |= flags_of(path.stem, command)
    return frozenset(known)


def problem_of(words: list[str]) -> str | None:
    """Say what is wrong with a command, if anything is."""
    flags = [word.split("=")[0] for word in words if FLAG.match(word)]
    if words[:2] == DEV:
        documented = (ROOT / "tools" / "dev.py").read_text(encoding="utf-8").split('"""')[1]
        verb = words[2] if len(words) > 2 else ""
        known = re.findall(r"tools/dev\.py (\w+)", documented)
        return None if verb in known else f"tools/dev.py has no {verb!r}, it has {known}"
    if words[0].startswith("--"):
        unknown = [flag for flag in flags if flag not in flags_of_all()]
        return f"no program has {unknown}" if unknown else None
    program = Path(words[0]).name
    if help_of(program) is None:
        return f"there is no program {program}"
    called: tuple[str, ...] = ()
    if (known_commands := subcommands(program)) and len(words) > 1 and words[1][0] != "-":
        if words[1] not in known_commands:
            return f"{program} has no command {words[1]!r}, it has {list(known_commands)}"
        called = (words[1],)
    unknown = [flag for flag in flags if flag not in flags_of(program, *called)]
    return f"{' '.join((program, *called))} has no {unknown}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [
        f"{shlex.join(typed.words)}: {problem}"
        for typed in commands_in(text)
        # A name alone in inline code can be of a program that is to come; a command line cannot.
        if (len(typed.words) > 1 or typed.words[0].startswith("--"))
        and (problem := problem_of(typed.words))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_pages_do_have_commands() -> None:
    typed = [one.words for one in commands_in(OPERATIONS)]
    assert ["pm-verify", "@last"] in typed
    assert sum(words[0] == "pm-capture" for words in typed) > 5
    assert any(words[0] == "/opt/pm/bin/pm-capture" for words in typed)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pm-verfy data/runs/monday", "there is no program pm-verfy"),
        ("pm-capture --run-di x", "pm-capture has no ['--run-di']"),
        ("PM_DATA_X=1 sudo=1 pm-capture --run-id x | pm-verify --sumary", "pm-verify has no ['--sumary']"),
        ("pm-universe discove --out u.json", "pm-universe has no command 'discove'"),
        ("pm-universe discover --outt u.json", "pm-universe discover has no ['--outt']"),
        ("python3 tools/dev.py tset", "tools/dev.py has no 'tset'"),
        ("--no-such-flag", "no program has ['--no-such-flag']"),
    ],
)  # fmt: skip
def test_a_mistake_is_found(line: str, words: str) -> None:
    problems = [problem_of(typed.words) for typed in commands_of(line, "")]
    assert any(problem and words in problem for problem in problems), problems


def test_every_fatal_reason_is_explained() -> None:
    from pm_capture.fatal import FatalReason

    missing = [reason for reason in FatalReason if f"| `{reason}` |" not in OPERATIONS]
    assert not missing, "docs/operations.md does not say what to do about these"


def test_every_reason_to_reconnect_is_explained() -> None:
    from pm_capture.actions import Trigger

    planned = {Trigger.STOP, Trigger.REFRESH}
    missing = [trigger for trigger in Trigger if trigger not in planned]
    missing = [trigger for trigger in missing if f"| `{trigger}` |" not in OPERATIONS]
    assert not missing, "docs/operations.md does not say what to try about these"


def test_the_sections_of_the_troubleshooting_are_there() -> None:
    """R453: coverage, reconnect loops, disk stalls, backpressure, corruption, uvloop, missing files, fatal runs."""
    sections = re.findall(
        r"^### (.+)$", OPERATIONS.split("## When something is wrong")[1], re.MULTILINE
    )
    assert sections == [
        "Coverage is low", "It reconnects again and again", "The disk stalls", "It cannot keep up",
        "Corruption", "uvloop", "Files are missing", "The run is fatal",
    ]  # fmt: skip
