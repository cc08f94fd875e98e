"""Random access: any moment of a long run without replaying what came before it.

One pass over a sealed run leaves checkpoints in a cache file (`pm_replay.checkpoint_file`): every so many frames
the books that have changed. A replay that begins later takes the last checkpoint before its window, and
reads the runlog as always, but the frames from there on. What it tells is byte for byte what it
tells without; its summary counts what it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from pm_frames.bundle import Bundle, RunState
from pm_frames.continuity import Basis, State
from pm_frames.errors import BundleError
from pm_frames.frames import Frame
from pm_frames.index import IndexCursor
from pm_frames.merge import Item, merge_blocks
from pm_frames.rows import FrameRow, RecordRow, Row
from pm_frames.shard import Shard
from pm_frames.window import Window
from pm_replay.cache_files import cache_path, let_go, made_aside, note_use
from pm_replay.checkpoint_file import (
    CacheUnusable,
    Checkpoint,
    CheckpointFile,
    CheckpointWriter,
    Named,
    TokenState,
)
from pm_replay.engine import Engine
from pm_replay.lifecycle import Lifecycles
from pm_replay.messages import Lifecycle
from pm_replay.pipeline import (
    NEVER,
    Replay,
    Request,
    one_by_one,
    window_start,
)
from pm_replay.registry import Definition, Registry
from pm_replay.token import Token

EVERY: Final = 1 << 17  # frames between two checkpoints
BYTES_MAX: Final = 4_000_000_000  # of all files of the cache

Say = Callable[[str], object]


class Cache(NamedTuple):
    """Where checkpoints are kept, how far apart new ones are made, who hears of what happens, and how much is kept."""

    directory: Path
    every: int = EVERY
    say: Say = lambda text: None
    bytes_max: int = BYTES_MAX


def resumed(bundle: Bundle, request: Request, cache: Cache) -> FromCheckpoint | None:
    """Return what a replay of the request can begin with, None where it has to read everything.

    Makes the checkpoints of the run where there are none and they would be of use, and again where they
    cannot be used; `cache.say` hears of it. Nothing is raised for what is wrong with the cache or the bundle.
    """
    start = window_start(bundle, request)
    if start is None or not request.options.full or request.verdicts is not None:
        return None
    try:
        of = _origin(bundle)
        if of is None:
            return None
        path = cache_path(cache.directory, of["seal"])
        return _from_file(bundle, request, start, path, of, cache)
    except (BundleError, OSError) as error:
        cache.say(f"no checkpoints: {error}")
        return None


def _origin(bundle: Bundle) -> dict[str, str] | None:
    """Return what tells a sealed run from any other, None for what is not sealed by its digests."""
    if bundle.state() is not RunState.ENDED or bundle.continuity_basis is not Basis.RUNLOG:
        return None
    digest = (bundle.seal or {}).get("sha256sums_sha256")
    if (
        not isinstance(digest, str)
        or len(digest) != 64
        or not (digest.isascii() and digest.isalnum())
    ):
        return None
    sizes = {}
    for shard in bundle.shards():
        with Window(shard.frames_path) as window, Window(shard.idx_path) as idx_window:
            sizes[f"shard {shard.shard_id}"] = f"{window.size} {idx_window.size}"
    runlog = bundle.runlog_path.stat().st_size
    return {"seal": digest, "run_id": bundle.run_id, "runlog": str(runlog), **sizes}


def _from_file(
    bundle: Bundle, request: Request, start: int, path: Path, of: dict[str, str], cache: Cache
) -> FromCheckpoint | None:
    try:
        return _opened(path, of, bundle, request, start)
    except FileNotFoundError:
        if _frames_before(bundle, start) < cache.every:
            return None
    except CacheUnusable as error:
        cache.say(f"{path}: {error}; made again")
    cache.say(f"{bundle.path}: making checkpoints, once for this run: {path}")
    if not _make(bundle, path, of, cache):
        return None
    try:
        return _opened(path, of, bundle, request, start)
    except (FileNotFoundError, CacheUnusable) as error:
        cache.say(f"{path}: {error}; not used")
        return None


def _opened(
    path: Path, of: dict[str, str], bundle: Bundle, request: Request, start: int
) -> FromCheckpoint | None:
    with CheckpointFile(path) as file:
        contents = file.contents
        if contents.program != version("pm-replay"):
            raise CacheUnusable(f"it is of pm-replay {contents.program}")
        if contents.of != of:
            raise CacheUnusable("it is of other files")
        number = file.before(start)
        if number is None:
            return None
        note_use(path)
        checkpoint = contents.checkpoints[number]
        return FromCheckpoint(
            bundle,
            checkpoint,
            dict(file.states(number, request.chosen)),
            file.named(checkpoint.named),
            file.lifecycles(checkpoint.lifecycles),
        )


def _frames_before(bundle: Bundle, mono_ns: int) -> int:
    count = 0
    for shard in bundle.shards():
        with Window(shard.idx_path, span=1 << 12) as window:
            cursor = IndexCursor(window, shard.version)
            low, high = 0, cursor.count
            while low < high:
                middle = (low + high) // 2
                data = window.at(middle * cursor.entry_bytes + 8, 8)
                if int.from_bytes(data, "little") < mono_ns:
                    low = middle + 1
                else:
                    high = middle
            count += low
    return count


class FromCheckpoint:
    """The rows of a replay from a checkpoint on, and before them what the checkpoint stands for."""

    def __init__(
        self,
        bundle: Bundle,
        checkpoint: Checkpoint,
        states: Mapping[str, TokenState],
        named: list[Named],
        lifecycles: list[tuple[str, str, str]],
    ) -> None:
        self.checkpoint = checkpoint
        self._bundle = bundle
        self._states = states
        self._named = named
        self._lifecycles = lifecycles

    def rows(self, replay: Replay) -> Iterator[Sequence[Row]]:
        """Yield all records, and the frames after the checkpoint; feed what the others would have left."""
        records = self._bundle.records(replay.wants)
        yield from one_by_one(self._before(replay, records))
        already = self.checkpoint.records
        for rows in merge_blocks(
            [
                _Rest(shard, self.checkpoint.ordinals.get(shard.shard_id, 0))
                for shard in self._bundle.shards()
            ],
            records,
            runlog_path=self._bundle.runlog_path,
        ):
            if rows[0][1] >= 0:
                yield rows
                continue
            # A record is a row by itself, and counted from the checkpoint on.
            stamp, shard_id, ordinal, flags, record = cast("RecordRow", rows[0])
            yield [(stamp, shard_id, already + ordinal, flags, record)]

    def _before(
        self, replay: Replay, records: Iterator[Mapping[str, Any]]
    ) -> Iterator[tuple[int, int, Item]]:
        checkpoint = self.checkpoint
        names = iter(self._named)
        name = next(names, None)
        for ordinal, record in enumerate(islice(records, checkpoint.records)):
            # A record comes before the frames of its stamp.
            with replay.interrupts.deferred():
                while name is not None and name.mono_ns < record["ts_mono_ns"]:
                    replay.engine.name(*name_of(name))
                    name = next(names, None)
            yield -1, ordinal, record
        with replay.interrupts.deferred():
            for each in chain(() if name is None else (name,), names):
                replay.engine.name(*name_of(each))
            for token_id, state in self._states.items():
                _recall(replay, token_id, state)
            for key in self._lifecycles:
                replay.engine.lifecycles.remember(key)
            replay.last = checkpoint.last_mono_ns


def name_of(name: Named) -> tuple[str, str, int]:
    return name.token_id, name.condition_id, name.mono_ns


def _recall(replay: Replay, token_id: str, saved: TokenState) -> None:
    token = replay.engine.registry.tokens[token_id]
    replay.engine.continuity.recall(token_id, State(saved.state))
    token.state = State(saved.state)
    token.shard = saved.shard
    token.replace(saved.bids, saved.asks)
    market = token.market
    market.tick_size, market.min_size = saved.tick_size, saved.min_size
    market.neg_risk, market.trade_prices = saved.neg_risk, saved.trade_prices


class _Rest:
    """A shard from a frame on, as something to be merged."""

    def __init__(self, shard: Shard, start: int) -> None:
        self.shard_id = shard.shard_id
        self.frames_path = shard.frames_path
        self._shard = shard
        self._start = start

    def frames(self) -> Iterator[Frame]:
        return self._shard.frames(self._start)

    def blocks(self) -> Generator[list[FrameRow], None, None]:
        return self._shard.blocks(self._start)


def _make(bundle: Bundle, path: Path, of: dict[str, str], cache: Cache) -> bool:
    """Make the file in one pass; return False where the run cannot be read to its end."""
    with made_aside(path) as aside:
        with open(aside, "xb") as file:
            making = _Making(bundle, CheckpointWriter(file), cache.every)
            result = making.run()
            if result.reason.name == "STOPPED":
                raise KeyboardInterrupt
            if result.error is None:
                making.writer_of_checkpoints.finish(
                    program=version("pm-replay"),
                    of=of,
                    every=cache.every,
                    named=making.named,
                    lifecycles=making.lifecycles.log,
                )
        if result.error is not None:
            aside.unlink()
            cache.say(f"no checkpoints: {result.error}")
    let_go(path.parent, bytes_max=cache.bytes_max, keep=path)
    return result.error is None


class _Making(Replay):
    """A replay that tells nothing and takes checkpoints as it goes."""

    def __init__(self, bundle: Bundle, writer: CheckpointWriter, every: int) -> None:
        # The reference engine, fed one by one: its state is read between two frames.
        request = Request(from_mono_ns=NEVER, sample_every=0)
        super().__init__(bundle, request, None, None, make_engine=Engine)
        self.writer_of_checkpoints = writer
        self.named: list[Named] = []
        self.lifecycles = self.engine.lifecycles = _LoggedLifecycles()
        self.engine.registry = _LoggedRegistry(self._name)
        self._every = every
        self._in_frame: int | None = None  # its stamp
        self._saved: dict[str, tuple[object, ...]] = {}

    def rows(self) -> Iterator[Sequence[Row]]:
        return one_by_one(self.items())

    def items(self) -> Iterator[tuple[int, int, Item]]:
        ordinals: dict[int, int] = {}
        records = taken = last = 0
        for shard, ordinal, item in super().items():
            if isinstance(item, Frame):
                if taken == self._every:
                    self._checkpoint(last, records, ordinals)
                    taken = 0
                taken += 1
                self._in_frame = last = item.rx_mono_ns
                ordinals[shard] = ordinal + 1
            else:
                self._in_frame = None
                last = item["ts_mono_ns"]
                records = ordinal + 1
            yield shard, ordinal, item

    def _checkpoint(self, last: int, records: int, ordinals: dict[int, int]) -> None:
        write, saved = self.writer_of_checkpoints, self._saved
        for token_id, token in self.engine.registry.tokens.items():
            # A book changes only with a message that marks its token, or by being forgotten.
            now = (token.mark, token.state, token.shard)
            if saved.get(token_id, _UNTOUCHED) != now:
                saved[token_id] = now
                write.state(token_id, _state_of(token))
        write.checkpoint(
            Checkpoint(last, records, dict(ordinals), len(self.named), len(self.lifecycles.log))
        )

    def _name(self, token_id: str, condition_id: str) -> None:
        if self._in_frame is not None:
            self.named.append(Named(self._in_frame, token_id, condition_id))


_UNTOUCHED: Final = (0, State.UNSUBSCRIBED, -1)


def _state_of(token: Token) -> TokenState:
    market = token.market
    return TokenState(
        int(token.state), token.shard, token.bids, token.asks, market.tick_size,
        market.min_size, market.neg_risk, market.trade_prices,
    )  # fmt: skip


class _LoggedRegistry(Registry):
    def __init__(self, log: Callable[[str, str], None]) -> None:
        super().__init__(None)
        self._log = log

    def token(self, token_id: str, condition_id: str) -> tuple[Token | None, list[Definition]]:
        made = super().token(token_id, condition_id)
        if made[0] is not None:
            self._log(token_id, condition_id)
        return made

    def place(self, token: Token, condition_id: str) -> list[Definition]:
        self._log(token.token_id, condition_id)
        return super().place(token, condition_id)


class _LoggedLifecycles(Lifecycles):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str, str]] = []

    def is_repeated(self, message: Lifecycle) -> bool:
        repeated = super().is_repeated(message)
        if not repeated:
            self.log.append((message.event_type, message.market, message.timestamp))
        return repeated
