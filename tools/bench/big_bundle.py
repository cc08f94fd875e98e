"""A bundle of any size, made up: eight shards, books and changes of about 600 bytes, a fault.

    python tools/bench/big_bundle.py DIR [--frames N] [--sealed]

The same arguments give the same bytes; nothing of a venue is needed.
"""

import argparse
import hashlib
import json
import zlib
from pathlib import Path
from random import Random

from pm_frames.bundle import open_bundle
from pm_frames.files import OsFiles
from pm_frames.index import IndexCursor
from pm_frames.runlog import RunlogWriter
from pm_frames.window import Window
from pm_frames.writer import ShardWriter

SHARDS = 8
MARKETS = 50  # of a shard
S = 10**9
T0, WALL = 1_000 * S, 1_790_000_000 * S
STEP = 200_000  # ns between two frames: 5,000 a second


def tokens_of(shard: int) -> list[str]:
    """The token ids of a shard: 77 digits, as those of the venue."""
    return [str(10**76 + shard * 1_000 + n) for n in range(2 * MARKETS)]


def market_of(yes: str) -> str:
    """The condition id of the market of a token, by its first one."""
    return f"0x{zlib.crc32(yes.encode()):064x}"


def payloads(shard: int) -> list[bytes]:
    """Changes of both tokens of each market, and a book of each token, each made once."""
    random = Random(shard)
    tokens = tokens_of(shard)
    made = []
    for yes, no in zip(tokens[::2], tokens[1::2], strict=True):
        market = market_of(yes)
        for n in range(4):
            changes = [
                {"asset_id": token, "price": price, "size": str(random.randrange(10**4)), "side": side,
                 "hash": f"{random.randrange(16**40):040x}", "best_bid": "0.48", "best_ask": "0.52"}
                for token, price, side in ((yes, f"0.4{n}", "BUY"), (no, f"0.5{n}", "SELL"))
            ]  # fmt: skip
            made.append({"market": market, "price_changes": changes, "timestamp": "1790000000000",
                         "event_type": "price_change"})  # fmt: skip
    return [json.dumps(one, separators=(",", ":")).encode() for one in made]


def books(shard: int) -> list[bytes]:
    """A book of each token."""
    tokens = tokens_of(shard)
    levels = [{"price": f"0.{n}", "size": "100"} for n in range(30, 45)]
    return [
        json.dumps({"event_type": "book", "asset_id": token, "market": market_of(pair[0]), "bids": levels, "asks": [],
                    "timestamp": "1790000000000", "hash": "0" * 40}).encode()
        for pair in zip(tokens[::2], tokens[1::2], strict=True)
        for token in pair
    ]  # fmt: skip


class Unsynced(OsFiles):
    """A bundle of a benchmark need not outlive a power cut."""

    def sync(self, fd: int) -> None:
        pass


def make_bundle(path: Path, frames: int) -> Path:
    """Write a bundle of `frames` frames; the connection of shard 0 is lost and comes back in its middle."""
    files = Unsynced()
    random = Random(1)
    path.mkdir(parents=True)
    (path / "universe").mkdir()
    (path / "capture").mkdir()
    shards = {str(n): {"token_ids": tokens_of(n), "groups": [2 * MARKETS]} for n in range(SHARDS)}
    manifest = {
        "manifest_version": 1, "run_id": path.name, "boot_id": "bench", "t0_mono_ns": T0,
        "t0_wall_ns_utc": WALL, "shards": {"count": SHARDS, "assignments": shards},
    }  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    writers = [ShardWriter(path / "capture", n, files=files) for n in range(SHARDS)]
    log = RunlogWriter(path / "runlog.ndjson", path.name)
    now = T0

    def record(kind: str, **fields: object) -> None:
        log.append(kind, fields, ts_mono_ns=now, ts_wall_ns_utc=WALL + now - T0)

    def connect(shard: int, number: int) -> None:
        nonlocal now
        here = {"shard_id": shard, "connection": number}
        record("ws_connect", **here)
        record("subscribe_attempt", **here, token_ids=tokens_of(shard))
        now += STEP
        stamps = {"rx_mono_ns": now, "rx_wall_ns_utc": WALL + now - T0}
        flags = [0x0101] + [0x0001] * (2 * MARKETS - 1)
        writers[shard].append(list(zip(flags, books(shard), strict=True)), **stamps)
        now += STEP

    record("run_start", boot_id="bench")
    for shard in range(SHARDS):
        connect(shard, 1)
    texts = [payloads(shard) for shard in range(SHARDS)]
    written, beat = SHARDS * 2 * MARKETS, now
    while written < frames:
        now += STEP
        shard = random.randrange(SHARDS)
        stamps = {"rx_mono_ns": now, "rx_wall_ns_utc": WALL + now - T0}
        writers[shard].append([(0x0001, random.choice(texts[shard]))], **stamps)
        written += 1
        if written == frames // 2:
            now += 1
            record("disconnect", shard_id=0, connection=1, since_mono_ns=now - STEP, planned=False,
                   trigger="peer_closed")  # fmt: skip
            now += S
            connect(0, 2)
            written += 2 * MARKETS
        if now - beat >= S:
            beat = now
            record("heartbeat", hb_mono_ns=now, hb_wall_ns_utc=WALL + now - T0)
    now += 1
    record("capture_stop", reason="duration", frames_total=written)
    log.close()
    for writer in writers:
        writer.close()
    return path


def seal_bundle(path: Path) -> None:
    """Close a bundle as a capture would: SHA256SUMS and seal.json."""
    files = sorted(one for one in path.rglob("*") if one.is_file())
    sums = "".join(
        f"{file_digest(one)}  {one.relative_to(path).as_posix()}\n" for one in files
    ).encode()
    (path / "SHA256SUMS").write_bytes(sums)
    shards = {}
    for shard in open_bundle(path).shards():
        with Window(shard.idx_path) as window:
            cursor = IndexCursor(window, shard.version)
            first, last = cursor.get(0), cursor.get(cursor.count - 1)
            shards[str(shard.shard_id)] = {
                "frames": cursor.count, "frames_bytes": shard.frames_path.stat().st_size,
                "idx_bytes": window.size,
                "rx_mono_ns_first": first.rx_mono_ns, "rx_mono_ns_last": last.rx_mono_ns,
                "rx_wall_ns_utc_first": first.rx_wall_ns_utc, "rx_wall_ns_utc_last": last.rx_wall_ns_utc,
            }  # fmt: skip
    seal = {
        "seal_version": 1, "run_id": path.name, "stop_reason": "duration",
        "closed_wall_ns_utc": max(one["rx_wall_ns_utc_last"] for one in shards.values()) + S,
        "closed_mono_ns": max(one["rx_mono_ns_last"] for one in shards.values()) + S,
        "sha256sums_sha256": hashlib.sha256(sums).hexdigest(),
        "frames_total": sum(one["frames"] for one in shards.values()),
        "bytes_total": sum(one["frames_bytes"] for one in shards.values()), "shards": shards,
    }  # fmt: skip
    canonical = json.dumps(seal, sort_keys=True, separators=(",", ":")).encode()
    seal["seal_sha256"] = hashlib.sha256(canonical).hexdigest()
    (path / "seal.json").write_text(json.dumps(seal), encoding="utf-8")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, metavar="DIR")
    parser.add_argument("--frames", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--sealed", action="store_true", help="read it all again, and seal it")
    options = parser.parse_args()
    path = make_bundle(options.path, options.frames)
    if options.sealed:
        seal_bundle(path)
    print(path)


if __name__ == "__main__":
    main()
