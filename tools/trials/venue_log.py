"""The log of what the venue sent, while the venue goes on."""

import json
import time
from collections.abc import Callable
from pathlib import Path

READY_S = 60.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return when something holds; AssertionError if it does not within a minute."""
    deadline = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {READY_S:g} s"
        time.sleep(0.002)


def lines_of_venue(sent_dir: Path) -> list[dict]:
    """The connections that have ended, in that order."""
    text = (sent_dir / "connections.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def logs_of(sent_dir: Path, addresses: set[str], skip: int) -> dict[str, Path]:
    """The venue's logs of these connections, once it has noticed that they are gone.

    The first `skip` lines are of earlier runs, whose addresses may come again.
    """
    logs: dict[str, Path] = {}

    def all_there() -> bool:
        for line in lines_of_venue(sent_dir)[skip:]:
            logs[line["remote"]] = sent_dir / f"connection_{line['connection']:04d}.frames"
        return addresses <= logs.keys()

    wait_until(all_there, "the venue's log of the connections that were lost")
    return logs
