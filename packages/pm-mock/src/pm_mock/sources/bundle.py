"""A run bundle replayed: the frames of a capture, as they arrived, to whoever subscribed to their tokens.

Each connection walks the bundle from its first frame, in merge order and with its timing (or a speed
factor), from its initial subscription on, and gets every frame that mentions a token which it has
subscribed by then. Frames are not edited: an array that opened a subscription is sent whole.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from pm_frames.bundle import Bundle, read_json
from pm_frames.errors import BundleError
from pm_frames.frames import Frame
from pm_frames.paths import MANIFEST
from pm_frames.peek import peek
from pm_mock.catalogue import Catalogue, Event, Fees, Listing
from pm_mock.channel import Channel, Subscribe
from pm_mock.wire import outgoing

# Frames that one connection may look at in a turn, sent or not.
LOOK_MAX = 512
SENT_BYTES_MAX = 1 << 18
# A global event was recorded once by every shard; a connection gets it once.
GLOBALS_REMEMBERED = 1024


class _Walk:
    """How far a connection has walked: the next frame and when it is due."""

    __slots__ = ("_frames", "_origin_ns", "_speed", "_start_ns", "due_ns", "frame", "globals_seen")

    def __init__(self, frames: Iterator[Frame], *, start_ns: int, speed: float | None) -> None:
        self._frames = frames
        self._start_ns = start_ns
        self._speed = speed
        self.globals_seen: deque[bytes] = deque(maxlen=GLOBALS_REMEMBERED)
        self.frame: Frame | None = next(frames, None)
        self._origin_ns = self.frame.rx_mono_ns if self.frame else 0
        self.due_ns = start_ns

    def advance(self) -> None:
        """Go to the next frame."""
        self.frame = next(self._frames, None)
        if self.frame is not None and self._speed is not None:
            elapsed_ns = self.frame.rx_mono_ns - self._origin_ns
            self.due_ns = self._start_ns + round(elapsed_ns / self._speed)


class BundleSource:
    """Replays a bundle; `speed` None is as fast as the reader takes it, 1 the original timing.

    `deadline_reached` raises `BundleError` where the bundle is damaged.
    """

    def __init__(self, bundle: Bundle, *, speed: float | None) -> None:
        self._bundle = bundle
        self._speed = speed
        self._walks: dict[Channel, _Walk] = {}
        self.catalogue = catalogue_of(bundle)

    def subscribed(self, channel: Channel, request: Subscribe, now_ns: int) -> None:
        """Begin the walk at the initial subscription; later ones only widen what is sent."""
        if request.initial:
            frames = (frame for _, _, frame in self._bundle.frames())
            self._walks[channel] = _Walk(frames, start_ns=now_ns, speed=self._speed)

    def closed(self, channel: Channel) -> None:
        self._walks.pop(channel, None)

    def summary_of(self, token: str) -> bytes | None:
        """Books are not kept, so `GET /book` knows none."""
        return None

    def deadline(self) -> int | None:
        return min(
            (
                walk.due_ns
                for channel, walk in self._walks.items()
                if walk.frame is not None and not channel.blocked
            ),
            default=None,
        )

    def deadline_reached(self, now_ns: int) -> None:
        """Send what is due on each connection that keeps up, a bounded amount."""
        for channel, walk in self._walks.items():
            sent = looked = 0
            while (
                walk.frame is not None
                and walk.due_ns <= now_ns
                and not channel.blocked
                and looked < LOOK_MAX
                and sent < SENT_BYTES_MAX
            ):
                payload = walk.frame.payload
                if _concerns(channel, walk, payload):
                    channel.send(outgoing(payload))
                    sent += len(payload)
                looked += 1
                walk.advance()

    def counts(self) -> dict[str, int]:
        return {}


def _concerns(channel: Channel, walk: _Walk, payload: bytes) -> bool:
    found = peek(payload)
    if found.globals_only:
        if not channel.custom or payload in walk.globals_seen:
            return False
        walk.globals_seen.append(payload)
        return True
    return any(token in channel.tokens for token in found.token_ids)


# -- what discovery offers --------------------------------------------------------------------------


def catalogue_of(bundle: Bundle) -> Catalogue:
    """The markets of the run's first universe, or else the pinned markets of its manifest.

    Raises `BundleError` if there is none, or one that lacks what a listing needs.
    """
    files = bundle.universe_files()
    path = files[0] if files else bundle.path / MANIFEST
    document = read_json(path)
    try:
        if files:
            rows = list(document.get("markets") or ())
        else:
            rows = [
                {"market_id": pinned["id"], "tokens": _pinned_tokens(pinned)}
                for pinned in document.get("pinned_markets") or ()
            ]
        catalogue = Catalogue()
        events: dict[str, Event] = {}
        # Cursors go by rising ids, which the selection of a capture need not have kept.
        for row in sorted(rows, key=lambda row: int(row["market_id"])):
            event = _event(row)
            catalogue.add(_listing(row, events.setdefault(event.event_id, event)))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise BundleError(f"a market cannot be listed: {problem!r}", path=path) from problem
    if not events:
        raise BundleError("names no market to list", path=path)
    return catalogue


def _pinned_tokens(pinned: dict[str, Any]) -> list[dict[str, Any]]:
    names: Sequence[str] = ("Yes", "No")
    return [
        {"token_id": token, "outcome": name}
        for token, name in zip(pinned["token_ids"], names, strict=False)
    ]


def _event(row: dict[str, Any]) -> Event:
    market_id = str(row["market_id"])
    question = _question(row)
    return Event(
        event_id=str(int(row.get("event_id") or f"9{market_id}")),
        slug=str(row.get("event_slug") or f"recorded-event-{market_id}"),
        title=question,
        description=question,
        category=str(row.get("category") or "Recorded"),
        end_date=str(row.get("end_date") or ""),
        tags=(),
        neg_risk_market_id=row.get("neg_risk_market_id"),
        neg_risk_augmented=bool(row.get("neg_risk_augmented")),
    )


def _question(row: dict[str, Any]) -> str:
    return str(row.get("question") or f"Recorded market {row['market_id']}")


def _listing(row: dict[str, Any], event: Event) -> Listing:
    market_id = str(row["market_id"])
    condition_id = str(row.get("condition_id") or market_id)
    question = _question(row)
    fees = row.get("fee_schedule")
    return Listing(
        market_id=market_id,
        condition_id=condition_id,
        question_id=condition_id,
        slug=str(row.get("slug") or f"recorded-{market_id}"),
        question=question,
        description=question,
        event=event,
        outcomes=tuple(str(token["outcome"]) for token in row["tokens"]),
        token_ids=tuple(str(token["token_id"]) for token in row["tokens"]),
        start_date="2020-01-01T00:00:00Z",
        end_date=str(row.get("end_date") or ""),
        tick_size=str(row.get("tick_size") or "0.01"),
        min_size=str(row.get("min_size") or "5"),
        fees=_fees(fees) if fees else None,
        seconds_delay=int(row.get("seconds_delay") or 0),
        version=row.get("version"),
    )


def _fees(schedule: dict[str, Any]) -> Fees:
    return Fees(
        "recorded_fees",
        rate=str(schedule["rate"]),
        rebate_rate=str(schedule.get("rebate_rate") or "0"),
        exponent=str(schedule.get("exponent") or "1"),
    )
