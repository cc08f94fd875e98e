"""Captures made up from a seed: books, deltas, tick changes, keepalives, lost connections, a growing universe."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pm_frames import Bundle, Continuity, Flag, Frame, ShardWriter
from pm_frames.files import OsFiles
from pm_frames.peek import peek
from pm_frames.runlog import RunlogWriter

T0_MONO, T0_WALL = 1_000_000, 1_790_000_000_000_000_000
STEP = 1_000
Build = Callable[..., Path]


class Capture:
    """Writes one run; every moment is a step of a made-up clock."""

    def __init__(self, path: Path, seed: int, shards: int, version: int, run_id: str) -> None:
        self.random = Random(seed)
        self.path = path
        self.run_id = run_id
        self.now = T0_MONO
        (path / "capture").mkdir(parents=True)
        (path / "universe").mkdir()
        (path / "metrics").mkdir()
        self.tokens = {shard: [f"{shard}{n}" for n in range(1, 5)] for shard in range(shards)}
        universe = json.dumps(
            {
                "universe_version": 0,
                "kind": "full",
                "markets": [
                    {"slug": f"m-{shard}-{side}", "event_slug": "e", "condition_id": f"0x{shard}{side}",
                     "tokens": [{"token_id": t, "outcome": o} for t, o in zip(pair, ("Yes", "No"), strict=True)]}
                    for shard, tokens in self.tokens.items()
                    for side, pair in enumerate((tokens[:2], tokens[2:]))
                ],
            }
        ).encode()  # fmt: skip
        self.universe_sha = hashlib.sha256(universe).hexdigest()
        (path / "universe/000000.json").write_bytes(universe)
        manifest = {
            "manifest_version": 1, "run_id": run_id, "boot_id": "boot",
            "t0_mono_ns": T0_MONO, "t0_wall_ns_utc": T0_WALL,
            "initial_universe": {"file": "universe/000000.json", "sha256": self.universe_sha},
            "shards": {"count": shards, "assignments": {
                str(shard): {"token_ids": tokens, "groups": [4]} for shard, tokens in self.tokens.items()}},
        }  # fmt: skip
        (path / "manifest.json").write_text(json.dumps(manifest))
        self.log = RunlogWriter(path / "runlog.ndjson", run_id)
        self.record("run_start", monotonic_ns_source="perf_counter_ns", boot_id="boot", pid=1)
        self.record("capture_start", shards=shards, token_count=4 * shards, universe_version=0,
                    universe_file="universe/000000.json", universe_sha256=self.universe_sha)  # fmt: skip
        self.writers = {
            shard: ShardWriter(path / "capture", shard, version=version, files=Unsynced())
            for shard in self.tokens
        }
        self.connection = dict.fromkeys(self.tokens, 0)
        self.last = dict.fromkeys(self.tokens, T0_MONO)
        self.fresh: set[int] = set()
        for shard in self.tokens:
            self.record("shard_open", shard_id=shard, token_count=4)
        for shard in self.tokens:
            self.connect(shard)

    def record(self, record_type: str, **fields: Any) -> None:
        self.now += STEP
        stamps = {"ts_mono_ns": self.now, "ts_wall_ns_utc": T0_WALL + self.now - T0_MONO}
        self.log.append(record_type, fields, **stamps)

    def connect(self, shard: int) -> None:
        self.connection[shard] += 1
        here = {"shard_id": shard, "connection": self.connection[shard]}
        self.record("ws_connect", **here)
        self.record("subscribe_attempt", **here, token_ids=self.tokens[shard])
        self.fresh.add(shard)

    def lose(self, shard: int) -> None:
        here = {"shard_id": shard, "connection": self.connection[shard]}
        self.record("disconnect", **here, since_mono_ns=self.last[shard], planned=False)
        self.connect(shard)

    def heartbeat(self) -> None:
        frames = sum(writer.frames for writer in self.writers.values())
        hb = {"hb_mono_ns": self.now, "hb_wall_ns_utc": T0_WALL + self.now - T0_MONO}
        self.record("heartbeat", **hb, frames_total=frames, durable_frames_total=0)
        with open(self.path / "metrics/global.ndjson", "a") as file:
            file.write(json.dumps({"record_type": "global_metrics", **hb}) + "\n")

    def read(self, shard: int) -> None:
        """One read of a socket: one to three frames with one stamp."""
        if self.random.random() < 0.9:
            self.now += STEP
        frames = []
        for _ in range(self.random.choice([1, 1, 2, 3])):
            flags = Flag.TEXT | (Flag.FIRST if shard in self.fresh else 0)
            self.fresh.discard(shard)
            if self.random.random() < 0.03:
                flags |= Flag.SALVAGED
            frames.append((int(flags), self.payload(shard)))
        self.last[shard] = self.now
        self.writers[shard].append(
            frames, rx_mono_ns=self.now, rx_wall_ns_utc=T0_WALL + self.now - T0_MONO
        )

    def payload(self, shard: int) -> bytes:
        draw, tokens = self.random.random(), self.tokens[shard]
        book = {"event_type": "book", "asset_id": self.random.choice(tokens), "n": self.now}
        change = {"asset_id": self.random.choice(tokens), "n": self.random.randrange(10**6)}
        delta = {"event_type": "price_change", "price_changes": [change]}
        if draw < 0.12:
            return json.dumps(book).encode()
        if draw < 0.15:  # a book beside a delta of another token
            return json.dumps([book, delta]).encode()
        if draw < 0.18:
            return b"PONG"
        if draw < 0.20:
            return json.dumps({"event_type": "new_market", "assets_ids": ["9"]}).encode()
        if draw < 0.23:
            tick = {"event_type": "tick_size_change", "asset_id": self.random.choice(tokens)}
            return json.dumps({**tick, "n": self.random.choice([10, 100])}).encode()
        if draw < 0.24:
            return self.random.randbytes(self.random.randrange(60))
        both = [change, {"asset_id": self.random.choice(tokens), "n": 1}]
        return json.dumps({**delta, "price_changes": both}).encode()

    def finish(self, *, sealed: bool) -> None:
        frames = sum(writer.frames for writer in self.writers.values())
        for shard in self.tokens:
            here = {"shard_id": shard, "connection": self.connection[shard]}
            self.record("disconnect", **here, since_mono_ns=self.last[shard], planned=True)
        if sealed:
            totals = {"frames_total": frames, "bytes_total": 0, "durable_frames_total": frames}
            self.record("capture_stop", reason="duration", **totals)
        self.log.close()
        for writer in self.writers.values():
            writer.close()
        if sealed:
            seal(self.path, self.run_id, self.writers)


def seal(path: Path, run_id: str, writers: dict[int, ShardWriter]) -> None:
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    text = "".join(f"{hashlib.sha256((path / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    (path / "SHA256SUMS").write_bytes(text.encode())
    document = {
        "seal_version": 1, "run_id": run_id, "stop_reason": "duration",
        "sha256sums_sha256": hashlib.sha256(text.encode()).hexdigest(), "seal_sha256": "ab" * 32,
        "frames_total": sum(writer.frames for writer in writers.values()),
    }  # fmt: skip
    (path / "seal.json").write_text(json.dumps(document))


@pytest.fixture(scope="session")
def build() -> Build:
    """Make a capture: (path, seed=, shards=, steps=, version=, sealed=, run_id=) → path."""

    def make(
        path: Path, *, seed: int = 0, shards: int = 2, steps: int = 60, version: int = 2,
        sealed: bool = True, run_id: str = "monday",
    ) -> Path:  # fmt: skip
        capture = Capture(path, seed, shards, version, run_id)
        for step in range(steps):
            draw = capture.random.random()
            shard = capture.random.randrange(shards)
            if draw < 0.04:
                capture.lose(shard)
            elif draw < 0.1:
                capture.heartbeat()
            else:
                capture.read(shard)
            if step == 0:
                capture.heartbeat()
        capture.finish(sealed=sealed)
        return path

    return make


def _events(payload: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(payload)
    except ValueError:
        return []
    return [e for e in (value if isinstance(value, list) else [value]) if isinstance(e, dict)]


def replay(  # noqa: C901
    bundle: Bundle, tokens: frozenset[str] | None = None
) -> Iterator[tuple[Any, ...]]:
    """A small replay: state, tick and book (here a list of what came since the last one) of every token."""
    continuity, books, ticks = Continuity(), {}, {}  # type: ignore[var-annotated]
    window = bundle.emit_window
    for shard, _, item in bundle.timeline():
        at = item.rx_mono_ns if isinstance(item, Frame) else item["ts_mono_ns"]
        if window and window.before_mono_ns is not None and at >= window.before_mono_ns:
            return
        emits = window is None or window.holds(at)
        if not isinstance(item, Frame):
            for change in continuity.record(item):
                books.pop(change.token_id, None)
                if emits and (tokens is None or change.token_id in tokens):
                    yield at, shard, change.token_id, change.state, change.since_mono_ns
            continue
        seen = peek(item.payload)
        for change in continuity.hole(shard, at) if item.flags & Flag.SALVAGED else ():
            books.pop(change.token_id, None)
            if emits and (tokens is None or change.token_id in tokens):
                yield at, shard, change.token_id, change.state
        for event in _events(item.payload):
            own = str(event.get("asset_id"))
            match event.get("event_type"):
                case "book":
                    continuity.book(own, shard, at)
                    books[own] = [event["n"]]
                case "tick_size_change":
                    ticks[own] = event["n"]
                case "price_change":
                    for change in event["price_changes"]:
                        if change["asset_id"] in books:
                            books[change["asset_id"]].append(change["n"])
        for token in seen.token_ids:
            if emits and (tokens is None or token in tokens):
                state = continuity.state(token)
                known = tuple(books.get(token, ()))
                yield at, shard, token, state, known, ticks.get(token), item.payload
        if emits and not seen.token_ids:
            yield at, shard, item.payload


@pytest.fixture(scope="session")
def replayed() -> Callable[..., list[tuple[Any, ...]]]:
    """Replay a bundle with the oracle: (bundle, tokens=None) → events."""
    return lambda bundle, tokens=None: list(replay(bundle, tokens))


class Unsynced(OsFiles):
    """The real system without waiting for the device: for laws that no power cut is part of."""

    def sync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


@pytest.fixture(scope="session")
def unsynced() -> Unsynced:
    """The real system without waiting for the device."""
    return Unsynced()


class Broken(OsFiles):
    """The real system, one of whose calls fails, and perhaps all after it."""

    def __init__(self, fail_at: int, code: int, *, for_ever: bool) -> None:
        self.calls = 0
        self._fail_at, self._code, self._for_ever = fail_at, code, for_ever

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at or (self._for_ever and self.calls > self._fail_at):
            raise OSError(self._code, "planned")

    def open_append(self, path: Path) -> int:
        self._call()
        return super().open_append(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._call()
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._call()
        super().sync(fd)

    def close(self, fd: int) -> None:
        super().close(fd)
        self._call()

    def replace(self, source: Path, target: Path) -> None:
        self._call()
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._call()
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        self._call()
        super().sync_directory(path)


@pytest.fixture(scope="session")
def broken() -> type[Broken]:
    """The class of systems that fail at one call."""
    return Broken
