"""Connections without a socket."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from pm_capture import subscribe
from pm_capture.offline.fixtures import Message
from pm_capture.offline.playback import FIRST, MESSAGES_PER_TURN, Player
from pm_capture.shard_session import Ended
from pm_capture.transport import Connection


class Shard:
    """A sink that subscribes to its tokens and keeps what it is told."""

    def __init__(self, *token_ids: str, drop_at: bytes | None = None) -> None:
        self.token_ids = token_ids
        self.frames: list[tuple[int, bytes]] = []
        self.ends: list[Ended] = []
        self._drop_at = drop_at
        self._stamp = 0

    def stamp(self) -> tuple[int, int]:
        self._stamp += 1
        return self._stamp, 0

    def opened(self, connection: Connection) -> None:
        connection.send_now(subscribe.initial(self.token_ids))
        connection.send_now("PING")

    def received(
        self, connection: Connection, frames: Sequence[tuple[int, bytes]], stamp: tuple[int, int]
    ) -> None:
        assert stamp[0] == len(self.frames) + 1
        self.frames += frames
        if frames[0][1] == self._drop_at:
            connection.drop()

    def lost(self, connection: Connection, ended: Ended) -> None:
        self.ends.append(ended)


def message(token_id: str, number: int) -> Message:
    return Message(5, json.dumps({"asset_id": token_id, "n": number}).encode())


ONE = [message("1", 0), message("1", 1)]
TWO = [message("2", 2)]


async def opened(player: Player, shard: Shard) -> Any:
    return await player.open("fixtures:x", shard, open_seconds=1.0, user_agent="")


def test_every_shard_gets_its_own_passes_and_the_end_is_told_once() -> None:
    ended: list[bool] = []

    async def run() -> None:
        player = Player(
            [*ONE, *TWO], ["1", "2"], passes=2, connections=2, ended=lambda: ended.append(True)
        )
        one, two = Shard("1"), Shard("2")
        connections = [await opened(player, one)]
        await connections[0].wait_closed()
        assert ended == []
        connections.append(await opened(player, two))
        await connections[1].wait_closed()
        assert ended == [True]
        payloads = [each.payload for each in ONE] * 2
        assert one.frames == [(5 | FIRST, payloads[0]), *((5, each) for each in payloads[1:])]
        assert two.frames == [(5 | FIRST, TWO[0].payload), (5, TWO[0].payload)]
        await connections[0].close(reason="the run ends")
        await asyncio.sleep(0)
        assert one.ends == [Ended(1000, "", close_was_clean=True)]

    asyncio.run(run())


def test_a_connection_that_was_dropped_is_continued_where_it_stood() -> None:
    async def run() -> None:
        player = Player(ONE, ["1"], passes=2, connections=1, ended=lambda: None)
        shard = Shard("1", drop_at=ONE[1].payload)
        connection = await opened(player, shard)
        await connection.wait_closed()
        await asyncio.sleep(0)
        assert [payload for _, payload in shard.frames] == [each.payload for each in ONE]
        assert shard.ends == [Ended(None, "", close_was_clean=False)]
        again = await opened(player, shard)
        await again.wait_closed()
        assert [payload for _, payload in shard.frames] == [each.payload for each in ONE * 2]
        assert shard.frames[2][0] & FIRST

    asyncio.run(run())


def test_a_long_playback_lets_others_have_their_turn_and_can_be_closed() -> None:
    async def run() -> None:
        player = Player(TWO, ["2"], passes=10**9, connections=1, ended=lambda: None)
        shard = Shard("2")
        connection = await opened(player, shard)
        await asyncio.sleep(0)
        assert len(shard.frames) == MESSAGES_PER_TURN
        await connection.close(reason="enough")
        await connection.wait_closed()
        assert len(shard.frames) == MESSAGES_PER_TURN
        assert len(shard.ends) == 1

    asyncio.run(run())


def test_unsubscribed_tokens_bring_nothing() -> None:
    async def run() -> None:
        player = Player(ONE, ["1", "2"], passes=1, connections=1, ended=lambda: None)

        class Leaving(Shard):
            def opened(self, connection: Connection) -> None:
                super().opened(connection)
                connection.send_now(subscribe.unsubscribe(["1"]))

        shard = Leaving("1", "2")
        connection = await opened(player, shard)
        await connection.wait_closed()
        assert shard.frames == []

    asyncio.run(run())
