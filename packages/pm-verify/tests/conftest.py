"""Golden bundles from an independent builder: struct, json and hashlib, nothing of pm_frames.

A record is (flags, rx_mono_ns, rx_wall_ns_utc, payload).
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Record = tuple[int, int, int, bytes]

T0_WALL = 1_760_000_000_000_000_000
T0_MONO = 5_000_000_000
RUN_ID = "golden"


def encode(record: Record, version: int) -> bytes:
    flags, mono, wall, payload = record
    crc = zlib.crc32(payload)
    if version == 1:
        return struct.pack("<8sHHQII", b"PMCAPv01", 1, flags, mono, len(payload), crc) + payload
    return struct.pack("<8sHHQQII", b"PMCAPv02", 2, flags, mono, wall, len(payload), crc) + payload


def index(offset: int, record: Record, version: int) -> bytes:
    _, mono, wall, payload = record
    crc = zlib.crc32(payload)
    if version == 1:
        return struct.pack("<QQII", offset, mono, len(payload), crc)
    return struct.pack("<QQQII", offset, mono, wall, len(payload), crc)


def encode_pair(records: Sequence[Record], version: int) -> tuple[bytes, bytes]:
    frames, idx = b"", b""
    for record in records:
        idx += index(len(frames), record, version)
        frames += encode(record, version)
    return frames, idx


def sample_records(count: int, *, start: int = T0_MONO + 1_000) -> list[Record]:
    """Records of every shape: array, object, keepalive, empty, one that contains a record, a tie."""
    inner = encode((1, 7, 7, b"not a frame of this file"), 2)
    payloads = [
        b'[{"event_type":"book","asset_id":"71"}]',
        b'{"event_type":"price_change"}',
        b"PONG",
        b"",
        b"<" + inner + b">",
        b'{"event_type":"last_trade_price","price":"0.42"}',
        bytes(range(32)),
        b"\x00" * 9,
    ]
    flags = [0x0101, 0x0001, 0x0201, 0x0001, 0x0002, 0x0001, 0x0002, 0x0005]
    records = []
    for ordinal in range(count):
        mono = start + 1_000 * (ordinal - (ordinal % 3 == 1))
        payload = payloads[ordinal % len(payloads)]
        records.append((flags[ordinal % len(flags)], mono, T0_WALL + mono, payload))
    return records


def jsonl(records: Sequence[Mapping[str, object]]) -> bytes:
    return b"".join(
        json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records
    )


def runlog(
    shards: Mapping[int, Sequence[Record]], *, universe_sha: str, sealed: bool
) -> list[dict[str, object]]:
    def record(record_type: str, mono: int, **fields: object) -> dict[str, object]:
        stamps = {"ts_mono_ns": mono, "ts_wall_ns_utc": T0_WALL + mono}
        return {"record_type": record_type, "run_id": RUN_ID, **stamps, **fields}

    frames = sum(map(len, shards.values()))
    size = sum(len(item[3]) for items in shards.values() for item in items)
    records = [
        record("run_start", T0_MONO, monotonic_ns_source="perf_counter_ns", boot_id="b", pid=1),
        record(
            "capture_start",
            T0_MONO + 1,
            shards=len(shards),
            token_count=2 * len(shards),
            universe_version=0,
            universe_file="universe/000000.json",
            universe_sha256=universe_sha,
        ),
    ]
    for shard, items in shards.items():
        records.append(record("shard_open", T0_MONO + 2, shard_id=shard, token_count=2))
        records.append(record("ws_connect", T0_MONO + 3, shard_id=shard, connection=1, attempt=1))
        last = items[-1][1] if items else T0_MONO + 3
        records.append(
            record("disconnect", last + 5, shard_id=shard, connection=1, since_mono_ns=last)
        )
    counts = {"frames_total": frames, "bytes_total": size, "durable_frames_total": frames}
    end = T0_MONO + 1_000_000_000
    records.append(record("heartbeat", end - 10, hb_mono_ns=end - 10, **counts))
    if sealed:
        records.append(record("capture_stop", end, reason="sigint", **counts))
    return records


def manifest(shards: Mapping[int, Sequence[Record]], universe_sha: str) -> dict[str, object]:
    tokens = {str(shard): [f"{shard}1", f"{shard}2"] for shard in shards}
    return {
        "manifest_version": 1,
        "run_id": RUN_ID,
        "t0_wall_ns_utc": T0_WALL,
        "t0_mono_ns": T0_MONO,
        "capture_schema_version": 2,
        "initial_universe": {"file": "universe/000000.json", "sha256": universe_sha},
        "shards": {
            "count": len(shards),
            "assignments": {
                key: {"token_ids": ids, "groups": [ids]} for key, ids in tokens.items()
            },
        },
    }


def sums(run_dir: Path) -> bytes:
    exempt = {".lock", "capture/watermark", "seal.json", "SHA256SUMS"}
    names = sorted(p.relative_to(run_dir).as_posix() for p in run_dir.rglob("*") if p.is_file())
    return "".join(
        f"{hashlib.sha256((run_dir / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names
        if name not in exempt
    ).encode()


def seal(
    shards: Mapping[int, Sequence[Record]], sums_text: bytes, version: int
) -> dict[str, object]:
    stated: dict[str, object] = {}
    for shard, items in shards.items():
        frames, idx = encode_pair(items, version)
        wall = [item[2] if version == 2 else None for item in items]
        stated[str(shard)] = {
            "frames": len(items),
            "frames_bytes": len(frames),
            "idx_bytes": len(idx),
            "rx_mono_ns_first": items[0][1] if items else None,
            "rx_mono_ns_last": items[-1][1] if items else None,
            "rx_wall_ns_utc_first": wall[0] if items else None,
            "rx_wall_ns_utc_last": wall[-1] if items else None,
        }
    values: dict[str, object] = {
        "seal_version": 1,
        "run_id": RUN_ID,
        "stop_reason": "sigint",
        "closed_wall_ns_utc": T0_WALL + 2_000_000_000,
        "closed_mono_ns": T0_MONO + 2_000_000_000,
        "sha256sums_sha256": hashlib.sha256(sums_text).hexdigest(),
        "frames_total": sum(map(len, shards.values())),
        "bytes_total": sum(len(encode_pair(items, version)[0]) for items in shards.values()),
        "shards": stated,
    }
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    values["seal_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return values


def write_run(
    run_dir: Path,
    *,
    shards: Mapping[int, Sequence[Record]] | None = None,
    sealed: bool = True,
    version: int = 2,
) -> Path:
    shards = {0: sample_records(6), 1: sample_records(3)} if shards is None else shards
    (run_dir / "capture").mkdir(parents=True)
    (run_dir / "universe").mkdir()
    (run_dir / "metrics").mkdir()
    universe = b'{"universe_version":0,"kind":"full","markets":[]}\n'
    universe_sha = hashlib.sha256(universe).hexdigest()
    (run_dir / "universe" / "000000.json").write_bytes(universe)
    (run_dir / "manifest.json").write_text(json.dumps(manifest(shards, universe_sha)))
    lines = runlog(shards, universe_sha=universe_sha, sealed=sealed)
    (run_dir / "runlog.ndjson").write_bytes(jsonl(lines))
    (run_dir / "metrics" / "global.ndjson").write_bytes(jsonl([{"frames_total": 1}]))
    for shard, items in shards.items():
        frames, idx = encode_pair(items, version)
        (run_dir / "capture" / f"shard_{shard:02}.frames").write_bytes(frames)
        (run_dir / "capture" / f"shard_{shard:02}.idx").write_bytes(idx)
    (run_dir / ".lock").write_bytes(b"")
    (run_dir / "capture" / "watermark").write_bytes(struct.pack("<Q", T0_MONO))
    if sealed:
        text = sums(run_dir)
        (run_dir / "SHA256SUMS").write_bytes(text)
        values = seal(shards, text, version)
        (run_dir / "seal.json").write_text(json.dumps(values, indent=2) + "\n", newline="")
    return run_dir


@pytest.fixture(scope="session")
def build_run() -> Callable[..., Path]:
    """Return the builder: (run_dir, shards=, sealed=, version=) → run_dir."""
    return write_run


@pytest.fixture(scope="session")
def build_pair() -> Callable[..., tuple[bytes, bytes]]:
    """Return the builder of the bytes of a .frames and an .idx: (records, version)."""
    return encode_pair


@pytest.fixture(scope="session")
def records() -> Callable[..., list[Record]]:
    """Return the maker of records of every shape: (count, start=)."""
    return sample_records


@pytest.fixture
def sealed_run(tmp_path: Path) -> Path:
    """A sealed bundle of two shards, nothing wrong with it."""
    return write_run(tmp_path / "golden")


@pytest.fixture
def unsealed_run(tmp_path: Path) -> Path:
    """The same bundle as a kill just before its close would leave it."""
    return write_run(tmp_path / "golden", sealed=False)


@pytest.fixture(scope="session")
def program() -> Callable[..., list[str]]:
    """Return the command line of pm-verify as another process runs it."""
    return lambda *arguments: [sys.executable, "-m", "pm_verify", *arguments]


@pytest.fixture(scope="session")
def on_a_terminal() -> Callable[..., tuple[int, str]]:
    """Return what runs a command on a pseudo-terminal: (command, cwd=, env=) → code and output."""

    def run(
        command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        ours, theirs = os.openpty()
        with subprocess.Popen(command, cwd=cwd, env=env, stdin=theirs, stdout=theirs) as process:
            os.close(theirs)
            shown = b""
            try:
                while data := os.read(ours, 65536):
                    shown += data
            except OSError:
                pass  # how Linux says that the other side has closed
            os.close(ours)
            code = process.wait(timeout=60)
        return code, shown.decode().replace("\r\n", "\n")

    return run


@pytest.fixture(scope="session")
def campaign_full() -> bool:
    """Whether the fault campaigns run at full size."""
    return os.environ.get("PM_TEST_CAMPAIGN") == "full"


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return a printer of counts that are shown whatever pytest captures."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end="", flush=True)

    return say


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Keep the long campaigns last, so that a plain failure is seen first."""
    items.sort(key=lambda item: "faults" in str(item.path))
