"""An honest little venue on loopback, and what tests ask of a run."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pm_capture.actions import Action
from pm_frames import Frame
from pm_frames.bundle import open_bundle
from pm_frames.runlog import read_runlog

Script = Callable[[ServerConnection, int], Awaitable[None]]


def book(token_id: str, **more: object) -> dict[str, object]:
    """A `book` event of a token."""
    return {
        "market": "0xm",
        "asset_id": token_id,
        "bids": [],
        "asks": [],
        **more,
        "event_type": "book",
    }


async def answer(connection: ServerConnection, number: int) -> None:
    """Behave: books for what is subscribed, PONG for PING, until the client goes."""
    async for text in connection:
        if text == "PING":
            await connection.send("PONG")
            continue
        request = json.loads(text)
        if request.get("operation") != "unsubscribe":
            await connection.send(json.dumps([book(token) for token in request["assets_ids"]]))


@dataclass
class Venue:
    """A market channel whose behaviour on each connection is a script."""

    script: Script = answer
    opened: int = 0
    heard: list[tuple[int, str]] = field(default_factory=list)
    server: Server | None = None

    async def __aenter__(self) -> "Venue":
        self.server = await serve(
            self._serve, "127.0.0.1", 0, ping_interval=None, max_size=None, compression=None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.server is not None
        self.server.close()
        await self.server.wait_closed()

    @property
    def url(self) -> str:
        assert self.server is not None
        port = next(iter(self.server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/ws/market"

    async def _serve(self, connection: ServerConnection) -> None:
        self.opened += 1
        number = self.opened
        try:
            await self.script(connection, number)
        except ConnectionClosed:
            pass


@dataclass
class LeftRun:
    """What a run left on disk."""

    path: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(read_runlog(self.path / "runlog.ndjson"))

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["record_type"] in types]

    def frames(self, shard_id: int = 0) -> list[Frame]:
        [shard] = [s for s in open_bundle(self.path).shards() if s.shard_id == shard_id]
        return list(shard.frames())

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))


Feed = Callable[[int], object]
Seen = list[tuple[int, object]]


class Machine(Protocol):
    """The house protocol of policies."""

    def deadline(self) -> int | None: ...

    def deadline_reached(self, now: int, /) -> list[Action]: ...


def _play(machine: Machine, script: list[tuple[int, Feed]], *, until: int) -> Seen:
    """Drive a machine as the daemon does, with a clock that is a variable.

    Returns what it did when its deadlines came, and what the feeds returned, each with its moment.
    """
    seen: Seen = []
    for now, feed in [*script, (until, lambda _: None)]:
        while (due := machine.deadline()) is not None and due <= now:
            assert machine.deadline_reached(due - 1) == []
            done = machine.deadline_reached(due)
            assert done or machine.deadline() != due, (
                "a deadline at which nothing happens, for ever"
            )
            seen += [(due, action) for action in done]
        answer = feed(now)
        seen += [(now, action) for action in answer] if isinstance(answer, list) else []
    return seen


@pytest.fixture
def play() -> Callable[..., Seen]:
    return _play
