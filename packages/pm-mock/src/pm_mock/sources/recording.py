"""A recording: text frames from a JSON Lines file, sent verbatim to every subscriber.

Each connection gets every line, byte for byte and in order, from its initial subscription on, `repeat`
times; then it stays open. Frames are built once, and at full speed leave in blocks.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pm_mock.catalogue import Catalogue, Event, Listing
from pm_mock.channel import Channel, Subscribe
from pm_mock.wire import Outgoing, outgoing

SIZE_MAX = 1 << 29
BLOCK_BYTES = 1 << 16
BLOCKS_A_TURN = 4
NS_PER_MS = 1_000_000
MARKET_ID_FIRST = 900_000
_TIMESTAMP = re.compile(rb'"timestamp"\s*:\s*"?(\d{13})\b')


class BadRecording(ValueError):
    """A recording with a line that cannot be a text frame; the message names file, line and byte."""


class MissingRecording(ValueError):
    """No recording: it cannot be read, is too large, or has no line. The message names the file."""


def read_recording(path: Path) -> list[bytes]:
    """The frames of a recording: its lines without the newline; empty lines are left out.

    Raises `MissingRecording` and, for a line that is not UTF-8, `BadRecording`.
    """
    try:
        size = path.stat().st_size
        if size > SIZE_MAX:
            raise MissingRecording(
                f"{path}: {size} bytes, at most {SIZE_MAX} can be kept in memory"
            )
        data = path.read_bytes()
    except OSError as problem:
        raise MissingRecording(f"{path}: {problem.strerror}") from problem
    lines = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        try:
            line.decode()
        except UnicodeDecodeError as problem:
            raise BadRecording(
                f"{path}: line {number}, byte {problem.start}: a text frame must be UTF-8"
            ) from problem
        lines.append(line)
    if not lines:
        raise MissingRecording(f"{path}: no line to send")
    return lines


def offsets_ns(lines: Sequence[bytes], *, speed: float) -> list[int]:
    """When each line is due after the first, by the venue's own timestamps; never going back."""
    due = 0
    origin: int | None = None
    offsets = []
    for line in lines:
        found = _TIMESTAMP.search(line)
        if found:
            at = int(found[1]) * NS_PER_MS
            origin = at if origin is None else origin
            due = max(due, round((at - origin) / speed))
        offsets.append(due)
    return offsets


def blocks(lines: Sequence[bytes]) -> list[Outgoing]:
    """Lines in runs of about 64 KiB, in order."""
    done: list[Outgoing] = []
    run: list[bytes] = []
    size = 0
    for line in lines:
        run.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            done.append(outgoing(*run))
            run, size = [], 0
    if run:
        done.append(outgoing(*run))
    return done


class _Cursor:
    """How far a connection is: the next item, and when the first was sent."""

    __slots__ = ("next", "start_ns")

    def __init__(self, start_ns: int) -> None:
        self.next = 0
        self.start_ns = start_ns


class RecordingSource:
    """Sends a recording. `speed` None is as fast as the reader takes it; 1 is the original timing."""

    def __init__(self, lines: Sequence[bytes], *, speed: float | None, repeat: int = 1) -> None:
        self._items = blocks(lines) if speed is None else [outgoing(line) for line in lines]
        self._offsets = offsets_ns(lines, speed=speed) if speed is not None else None
        self._total = len(self._items) * repeat
        self._cursors: dict[Channel, _Cursor] = {}
        self._books, self.catalogue = discover(lines)

    def subscribed(self, channel: Channel, request: Subscribe, now_ns: int) -> None:
        """Begin to send at the initial subscription, whatever its tokens are."""
        if request.initial:
            self._cursors[channel] = _Cursor(now_ns)

    def closed(self, channel: Channel) -> None:
        self._cursors.pop(channel, None)

    def summary_of(self, token: str) -> bytes | None:
        """The last book that the recording has of a token."""
        return self._books.get(token)

    def wall_ms(self, now_ns: int) -> int | None:
        """A recording tells no time of the venue but in its messages."""
        return None

    def closings(self) -> tuple[()]:
        """Only faults end a connection."""
        return ()

    def deadline(self) -> int | None:
        return min(
            (
                self._due(cursor)
                for channel, cursor in self._cursors.items()
                if not channel.blocked and cursor.next < self._total
            ),
            default=None,
        )

    def deadline_reached(self, now_ns: int) -> None:
        """Send what is due on each connection that keeps up, at most a few blocks."""
        for channel, cursor in self._cursors.items():
            sent = 0
            while (
                not channel.blocked
                and cursor.next < self._total
                and self._due(cursor) <= now_ns
                and sent < BLOCKS_A_TURN * BLOCK_BYTES
            ):
                item = self._items[cursor.next % len(self._items)]
                channel.send(item)
                cursor.next += 1
                sent += len(item.wire)

    def counts(self) -> dict[str, int]:
        return {}

    def _due(self, cursor: _Cursor) -> int:
        if self._offsets is None:
            return cursor.start_ns
        lap, position = divmod(cursor.next, len(self._offsets))
        return cursor.start_ns + lap * self._offsets[-1] + self._offsets[position]


# -- what discovery offers --------------------------------------------------------------------------


def discover(lines: Sequence[bytes]) -> tuple[dict[str, bytes], Catalogue]:
    """The last book of each token, and binary markets made of the token ids in a recording.

    A market of which only one token was recorded gets a second, invented one, so that it is binary.
    """
    books: dict[str, bytes] = {}
    tokens: dict[str, dict[str, None]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for event in _events(lines):
        condition_id = event.get("market") or event.get("condition_id")
        if not isinstance(condition_id, str):
            continue
        facts.setdefault(condition_id, {}).update(event)
        found = tokens.setdefault(condition_id, {})
        found.update(dict.fromkeys(_tokens(event)))
        if "bids" in event and isinstance(event.get("asset_id"), str):
            books[event["asset_id"]] = _summary(event)
    catalogue = Catalogue()
    for condition_id, members in tokens.items():
        if members:
            _list(catalogue, condition_id, list(members)[:2], facts[condition_id])
    return books, catalogue


def _events(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            continue
        for event in value if isinstance(value, list) else [value]:
            if isinstance(event, dict):
                yield event


def _tokens(event: dict[str, Any]) -> list[str]:
    listed, changes = (
        value if isinstance(value, list) else []
        for value in (event.get("assets_ids"), event.get("price_changes"))
    )
    named = [
        *listed,
        event.get("asset_id"),
        *(change.get("asset_id") for change in changes if isinstance(change, dict)),
    ]
    return [token for token in named if isinstance(token, str) and token]


def _summary(book: dict[str, Any]) -> bytes:
    """A recorded book as `GET /book` would give it, with its recorded hash."""
    return msgspec.json.encode(
        {
            "market": book.get("market"),
            "asset_id": book["asset_id"],
            "timestamp": book.get("timestamp"),
            "hash": book.get("hash"),
            "bids": book.get("bids"),
            "asks": book.get("asks"),
            "min_order_size": "5",
            "tick_size": book.get("tick_size", "0.01"),
            "neg_risk": False,
            "last_trade_price": book.get("last_trade_price", ""),
        }
    )


def _list(
    catalogue: Catalogue, condition_id: str, tokens: list[str], facts: dict[str, Any]
) -> None:
    number = MARKET_ID_FIRST + sum(1 for _ in catalogue.listings())
    if len(tokens) == 1:
        tokens.append(str(int.from_bytes(hashlib.sha256(tokens[0].encode()).digest(), "big")))
    outcomes = facts.get("outcomes")
    if not (isinstance(outcomes, list) and len(outcomes) == 2):
        outcomes = ["Yes", "No"]
    title = f"Recorded market {condition_id}"
    event = Event(str(number), f"recorded-event-{number}", title, title, "Recorded", "", ())
    catalogue.add(
        Listing(
            market_id=str(number),
            condition_id=condition_id,
            question_id=condition_id,
            slug=str(facts.get("slug") or f"recorded-{number}"),
            question=str(facts.get("question") or title),
            description=title,
            event=event,
            outcomes=tuple(map(str, outcomes)),
            token_ids=tuple(tokens),
            start_date="2020-01-01T00:00:00Z",
            end_date="2100-01-01T00:00:00Z",
            tick_size=_tick(facts),
        )
    )


def _tick(facts: dict[str, Any]) -> str:
    for name in ("tick_size", "order_price_min_tick_size", "new_tick_size"):
        if isinstance(facts.get(name), str) and re.fullmatch(r"0\.\d{1,4}", facts[name]):
            return str(facts[name])
    return "0.01"
