"""A run bundle played: the frames of a capture as they arrived, to whoever is subscribed to their tokens.

One clock for all: the playback goes through the bundle once, in merge order, and every connection is
served what is due then. It begins when all tokens of the first universe are subscribed, or a while after the first
subscription, so that a client which is there by then gets the recorded first books, byte for byte. Later
subscriptions are answered with books made of what the recording knows at that moment.

Frames are not edited: one that also names other tokens is sent whole. A gap of the recording is silence, up
to the books that ended it; a change that was recorded before them is kept back.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from pm_frames.bundle import Bundle, RunState
from pm_frames.errors import BundleError
from pm_frames.frames import Frame
from pm_frames.layout import Flag
from pm_frames.merge import Item
from pm_frames.merged_records import MergedRecords
from pm_frames.peek import peek
from pm_mock.catalogue import Catalogue
from pm_mock.channel import Channel, Subscribe
from pm_mock.events import Message
from pm_mock.faultplan import ABNORMAL
from pm_mock.faults import CloseConnection
from pm_mock.hub import Hub
from pm_mock.pace import SECOND_NS
from pm_mock.recorded_books import RecordedBooks
from pm_mock.sources.recorded_catalogue import apply_generation, catalogue_of
from pm_mock.wire import outgoing

# Items that are played in a turn, and payload bytes.
ITEMS_A_TURN = 512
BYTES_A_TURN = 1 << 18
# A global event was recorded once by every shard; it is sent once.
GLOBALS_REMEMBERED = 1024
HOLD_SECONDS = 1.0
NS_PER_MS = 1_000_000
# Ends of a connection that came from the venue or the way to it; any other was the recorder's own doing.
VENUES_DOING = frozenset({"peer_closed", "exception"})
SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
DELTAS = frozenset({"price_change"})
CUSTOM = frozenset({"best_bid_ask", "new_market", "market_resolved"})


class BundleSource:
    """Plays a bundle; `speed` None is as fast as the readers take it, 1 the original timing.

    `hold_ns` after the first subscription it begins, all tokens there or not. With `disconnects` the
    connections of a shard's tokens are closed where the recording lost them.
    `deadline_reached` raises `BundleError` where the bundle is damaged.
    """

    def __init__(
        self,
        hub: Hub,
        bundle: Bundle,
        *,
        speed: float | None,
        hold_ns: int = round(HOLD_SECONDS * SECOND_NS),
        disconnects: bool = False,
    ) -> None:
        self._hub = hub
        self._bundle = bundle
        self._speed = speed
        self._hold_ns = hold_ns
        self._disconnects = disconnects
        self.catalogue: Catalogue = catalogue_of(bundle)
        self._books = RecordedBooks(self.catalogue, bundle.continuity_basis)
        self._items = items_of(bundle)
        self._next: tuple[int, int, Item] | None = next(self._items, None)
        self._origin_ns = self._last_ns = _stamp(self._next[2]) if self._next else 0
        self._wall_offset_ns = _wall_offset_ns(bundle)
        self._awaited = {
            token for listing in self.catalogue.listings() for token in listing.token_ids or ()
        }
        self._hold_until_ns: int | None = None
        self._start_ns: int | None = None
        self._channels: dict[Channel, None] = {}
        self._closings: list[CloseConnection] = []
        self._globals: deque[bytes] = deque(maxlen=GLOBALS_REMEMBERED)
        self._played = 0
        self._withheld = 0

    # -- what the venue asks of a source --------------------------------------------------------

    def subscribed(self, channel: Channel, request: Subscribe, now_ns: int) -> None:
        """Answer with one array of the books that are known; before the playback, let it answer."""
        self._channels[channel] = None
        if self._start_ns is None:
            if self._hold_until_ns is None:
                self._hold_until_ns = now_ns + self._hold_ns
            self._awaited.difference_update(request.tokens)
            if not self._awaited:
                self._hold_until_ns = now_ns
        elif request.dump and (request.tokens or request.initial):
            books = filter(None, map(self._books.compact, request.tokens))
            channel.send(outgoing(b"[" + b",".join(books) + b"]"))

    def closed(self, channel: Channel) -> None:
        self._channels.pop(channel, None)

    def summary_of(self, token: str) -> bytes | None:
        """The text of `GET /book`."""
        return self._books.summary(token)

    def wall_ms(self, now_ns: int) -> int | None:
        """The recorded wall time of this moment of the playback."""
        if self._wall_offset_ns is None:
            return None
        return (self._recorded_ns(now_ns) + self._wall_offset_ns) // NS_PER_MS

    def deadline(self) -> int | None:
        if self._next is None or self._hub.blocked:
            return None
        if self._start_ns is None:
            return self._hold_until_ns
        if self._speed is None:
            return None if self._hub.deserted else self._start_ns
        return self._due_ns(self._next[2])

    def deadline_reached(self, now_ns: int) -> None:
        """Play what is due, a bounded amount."""
        due_ns = self.deadline()
        if due_ns is None or due_ns > now_ns:
            return
        if self._start_ns is None:
            self._start_ns = now_ns
        items = size = 0
        while (
            self._next is not None
            and items < ITEMS_A_TURN
            and size < BYTES_A_TURN
            and (self._speed is None or self._due_ns(self._next[2]) <= now_ns)
        ):
            shard_id, _, item = self._next
            if isinstance(item, Frame):
                self._play(shard_id, item)
                size += len(item.payload)
            else:
                self._record(item)
            items += 1
            self._last_ns = _stamp(item)
            self._next = next(self._items, None)

    def closings(self) -> Iterable[CloseConnection]:
        """Take the connections that the recording ends here."""
        taken, self._closings = self._closings, []
        return taken

    def counts(self) -> dict[str, int]:
        """Figures for the last line of the program."""
        return {"frames_played": self._played, "frames_withheld": self._withheld}

    # -- the playback ---------------------------------------------------------------------------

    def _due_ns(self, item: Item) -> int:
        assert self._start_ns is not None
        assert self._speed is not None
        return self._start_ns + round((_stamp(item) - self._origin_ns) / self._speed)

    def _recorded_ns(self, now_ns: int) -> int:
        """This moment on the clock of the recording: between what was played last and what is next."""
        if self._start_ns is None or self._speed is None:
            return self._last_ns
        reached = self._origin_ns + round((now_ns - self._start_ns) * self._speed)
        if self._next is not None:
            reached = min(reached, _stamp(self._next[2]))
        return max(reached, self._last_ns)

    def _play(self, shard_id: int, frame: Frame) -> None:
        self._played += 1
        payload = frame.payload
        found = peek(payload)
        events = self._books.frame(shard_id, frame)
        types = frozenset(found.event_types)
        if not types or frame.flags & Flag.BINARY:
            return  # PONG, `[]`, an answer to what the recorder asked
        if not found.token_ids:
            if payload in self._globals:
                return
            self._globals.append(payload)
            for event in events:
                if event.event_type == "market_resolved" and event.winning_asset_id:
                    self._resolve(event.winning_asset_id)
        tokens = self._tokens_of(shard_id, found.token_ids, deltas=types <= DELTAS)
        if found.token_ids and not tokens:
            self._withheld += 1
            return
        self._hub.publish(Message(payload, tokens, custom=types <= CUSTOM))

    def _tokens_of(
        self, shard_id: int, tokens: tuple[str, ...], *, deltas: bool
    ) -> tuple[str, ...]:
        """The tokens whose subscribers get a frame: those that its shard had been subscribed for.

        A change is of use only to whom has the book before it; in a gap of the recording nobody has.
        """
        shard_of, lost = self._books.continuity.shard_of, self._books.lost
        return tuple(
            token
            for token in tokens
            if shard_of(token) in (None, shard_id) and not (deltas and lost(token))
        )

    def _resolve(self, winning_token: str) -> None:
        listing = self.catalogue.by_token(winning_token)
        if listing is not None and listing.token_ids and not listing.closed:
            self.catalogue.resolve(listing, listing.token_ids.index(winning_token))

    def _record(self, record: Mapping[str, Any]) -> None:
        if record["record_type"] == "universe_refresh":
            if record.get("reason") == "APPLIED" and isinstance(record.get("universe_file"), str):
                path = self._bundle.path / record["universe_file"]
                if path not in self._bundle.universe_files():
                    raise BundleError("not a universe file of the bundle", path=path)
                apply_generation(self.catalogue, path)
            return
        self._books.record(record)
        if (
            self._disconnects
            and record["record_type"] == "disconnect"
            and record.get("trigger") in VENUES_DOING
        ):
            self._close(record)

    def _close(self, record: Mapping[str, Any]) -> None:
        code, reason = record.get("close_code"), record.get("close_reason")
        shard_of = self._books.continuity.shard_of
        for channel in self._channels:
            if any(shard_of(token) == record.get("shard_id") for token in channel.tokens):
                self._closings.append(
                    CloseConnection(
                        channel.number,
                        code if _may_be_sent(code) else ABNORMAL,
                        reason if isinstance(reason, str) else "",
                    )
                )


def items_of(bundle: Bundle) -> Iterator[tuple[int, int, Item]]:
    """Frames, and the runlog records that a playback depends on, in merge order."""
    torn_ok = bundle.state() is not RunState.ENDED
    return bundle.merged(bundle.records(MergedRecords(["universe_refresh"])), torn_ok=torn_ok)


def _stamp(item: Item) -> int:
    return item.rx_mono_ns if isinstance(item, Frame) else int(item["ts_mono_ns"])


def _wall_offset_ns(bundle: Bundle) -> int | None:
    try:
        mono, wall = bundle.manifest.get("t0_mono_ns"), bundle.manifest.get("t0_wall_ns_utc")
    except BundleError:
        return None
    return wall - mono if isinstance(mono, int) and isinstance(wall, int) else None


def _may_be_sent(code: object) -> TypeGuard[int]:
    """Whether a close code may stand in a close frame (RFC 6455, 7.4)."""
    return isinstance(code, int) and (code in SENDABLE or 3000 <= code < 5000)
