"""A folder of fixtures: markets as Gamma lists them, and messages of the market channel.

`gamma_markets.json` is a page of a listing. Every `ws_*.json`, in the order of the names, is an array of
messages in the order of their arrival. An object or an array there is a message that was decoded from
JSON: its payload is encoded anew, compactly, and its frame says so. A text is a payload as it arrived,
which is how something that is no JSON can be among them.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pm_frames import Flag
from pm_frames.peek import peek

MARKETS = "gamma_markets.json"
MESSAGES = "ws_*.json"
ENCODER = "json, compact"

TEXT = int(Flag.TEXT)
REENCODED = int(Flag.TEXT | Flag.REENCODED)
KEEPALIVE = int(Flag.TEXT | Flag.KEEPALIVE)


class FixturesError(Exception):
    """Fixtures that cannot be used; the message names the file. Exit code 2."""


class Message(NamedTuple):
    """One message: the flags of its frame, and its payload."""

    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fixtures:
    """What a folder of fixtures holds; `sha256` is by file name."""

    directory: Path
    markets: bytes
    messages: tuple[Message, ...]
    sha256: dict[str, str]


def read_fixtures(directory: Path) -> Fixtures:
    """Read a folder. Raises `FixturesError` when a file is missing, is no JSON, or has no message."""
    if not directory.is_dir():
        raise FixturesError(f"{directory}: expected a folder of fixtures, found none")
    names = sorted(path.name for path in directory.glob(MESSAGES))
    if not names:
        raise FixturesError(f"{directory}: expected files {MESSAGES}, found none")
    contents = {name: _bytes(directory / name) for name in (MARKETS, *names)}
    messages = [
        message for name in names for message in _messages(contents[name], str(directory / name))
    ]
    if not messages:
        raise FixturesError(f"{directory}: expected a message in {MESSAGES}, found none")
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return Fixtures(directory, contents[MARKETS], tuple(messages), sha256)


def addressed(messages: Iterable[Message], token_ids: Sequence[str]) -> list[tuple[str, Message]]:
    """Pair each message with the token whose subscriber gets it, as the venue would send it.

    That is the first token it names that is in the universe, `token_ids`. What names no token at all is
    sent to the subscriber of the first one; what names only strange tokens to nobody.
    """
    known = frozenset(token_ids)
    pairs = []
    for message in messages:
        named = peek(message.payload).token_ids
        home = next((token_id for token_id in named if token_id in known), None)
        if home is None and not named:
            home = token_ids[0]
        if home is not None:
            pairs.append((home, message))
    return pairs


def sent_to(
    subscribed: Collection[str], pairs: Iterable[tuple[str, Message]]
) -> tuple[Message, ...]:
    """Return the messages of one pass for a connection that has subscribed to these tokens."""
    return tuple(message for home, message in pairs if home in subscribed)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FixturesError(f"{path}: cannot be read: {error.strerror}") from error


def _messages(data: bytes, name: str) -> list[Message]:
    try:
        elements = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FixturesError(f"{name}: not JSON: {error}") from error
    if not isinstance(elements, list):
        raise FixturesError(
            f"{name}: expected an array of messages, found {type(elements).__name__}"
        )
    return [_message(element, f"{name}: message {at}") for at, element in enumerate(elements)]


def _message(element: object, where: str) -> Message:
    if not isinstance(element, str | dict | list):
        raise FixturesError(f"{where}: expected an object, an array or a text, found {element!r}")
    try:
        if not isinstance(element, str):
            text = json.dumps(element, ensure_ascii=False, separators=(",", ":"))
            return Message(REENCODED, text.encode())
        payload = element.encode()
    except UnicodeEncodeError as error:
        raise FixturesError(f"{where}: cannot be written in UTF-8: {error.reason}") from error
    return Message(KEEPALIVE if peek(payload).keepalive else TEXT, payload)


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
