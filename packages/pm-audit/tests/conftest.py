"""Run bundles made by hand: a clean one, and every way to take something away from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from pm_audit.evidence import Evidence, gather
from pm_audit.gates import DEFAULT_THRESHOLD_NS, Gate, Limits, Profile, judge
from pm_audit.verification import Verification
from pm_frames.bundle import open_bundle
from pm_frames.frames import encode_frame, read_frames
from pm_frames.index import encode_entry, entry_of

S = 10**9
T0 = 1_000 * S
WALL = 1_760_000_000 * S
OFFSET = WALL - T0
RUN_ID = "golden"

Record = dict[str, Any]
Sent = tuple[int, bytes]  # mono ns, payload


def record(kind: str, at: int, **fields: Any) -> Record:
    """A runlog record."""
    stamps = {"ts_mono_ns": at, "ts_wall_ns_utc": at + OFFSET}
    return {"record_type": kind, "run_id": RUN_ID, **stamps, **fields}


def heartbeat(at: int) -> Record:
    return record("heartbeat", at, hb_mono_ns=at, hb_wall_ns_utc=at + OFFSET)


def connect(at: int, shard: int = 0, number: int = 1) -> Record:
    return record("ws_connect", at, shard_id=shard, connection=number)


def subscribe(at: int, *tokens: str, shard: int = 0, number: int = 1) -> Record:
    fields = {"shard_id": shard, "connection": number, "variant": "initial"}
    return record("subscribe_attempt", at, token_ids=list(tokens), **fields)


def disconnect(
    at: int, since: int, *, planned: bool = False, shard: int = 0, number: int = 1
) -> Record:
    fields = {"shard_id": shard, "connection": number, "since_mono_ns": since}
    trigger = "universe_refresh" if planned else "peer_closed"
    return record("disconnect", at, planned=planned, trigger=trigger, **fields)


def reconnect(at: int, shard: int = 0) -> Record:
    return record("reconnect", at, shard_id=shard, trigger="peer_closed", reason="it left")


def book(token: str) -> bytes:
    return b'[{"event_type":"book","asset_id":"%s","bids":[],"asks":[]}]' % token.encode()


def change(*tokens: str) -> bytes:
    changes = [{"asset_id": token, "price": "0.5"} for token in tokens]
    return json.dumps({"event_type": "price_change", "price_changes": changes}).encode()


def metrics(at: int, **more: Any) -> Record:
    """A record of metrics/global.ndjson for the second before `at`, with all that the gates look at."""
    families = ("ws_rx_to_parsed_ms", "ws_rx_to_applied_ms")
    return {
        "record_type": "global_metrics",
        "run_id": RUN_ID,
        "hb_mono_ns": at,
        "elapsed_ns": S,
        "loop_lag_ms_max_last_interval": 1.5,
        "dropped_messages_count": 0,
        "dropped_messages_total": 0,
        "backpressure_ns_p99": 90_000,
        "backpressure_ns_count": 7,
        **{f"{name}_p99": 0.25 for name in families},
        **{f"{name}_count": 7 for name in families},
        **{f"{name}_max": 0 for name in ("ws_in_q_depth", "parse_q_depth", "write_q_depth")},
        **more,
    }


@dataclass
class Run:
    """The parts of a run, to be changed before it is written."""

    runlog: list[Record]
    metrics: list[Record]
    frames: dict[int, list[Sent]]
    manifest: Record


def clean_run(seconds: int = 8) -> Run:
    """A run of so many seconds with a heartbeat each, two shards, and nothing wrong."""
    stop = T0 + seconds * S
    beats = [T0 + n * S for n in range(1, seconds)]
    return Run(
        runlog=[
            record("run_start", T0, boot_id="boot"),
            connect(T0 + 10),
            subscribe(T0 + 11, "a", "b"),
            connect(T0 + 12, 1),
            subscribe(T0 + 13, "c", shard=1),
            *map(heartbeat, beats),
            disconnect(stop - 2, stop - 5, planned=True),
            disconnect(stop - 1, stop - 4, planned=True, shard=1),
            record("capture_stop", stop, reason="sigint"),
        ],
        metrics=[metrics(at) for at in [*beats, stop]],
        frames={
            0: [(T0 + 20, book("a")), (T0 + 21, book("b")), (stop - 5, change("a", "b"))],
            1: [(T0 + 22, book("c")), (stop - 4, change("c"))],
        },
        manifest={
            "manifest_version": 1,
            "run_id": RUN_ID,
            "t0_mono_ns": T0,
            "t0_wall_ns_utc": WALL,
        },
    )


def of_old(run: Run) -> Run:
    """A run as the predecessors wrote it: subscriptions are counted, and name no token."""
    for one in run.runlog:
        one.pop("boot_id", None)
        if tokens := one.pop("token_ids", None):
            one["token_count"] = len(tokens)
    return run


def ndjson(records: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in records)


def write_shard(
    run_dir: Path, shard: int, sent: Sequence[Sent], *, first_flags: bool = True
) -> None:
    frames = b"".join(
        encode_frame(
            payload, rx_mono_ns=at, rx_wall_ns_utc=at + OFFSET,
            flags=0x0101 if first_flags and not n else 0x0001, version=2,
        )
        for n, (at, payload) in enumerate(sent)
    )  # fmt: skip
    path = run_dir / "capture" / f"shard_{shard:02d}.frames"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frames)
    entries = [encode_entry(entry_of(frame), 2) for frame in read_frames(path)] if frames else []
    path.with_suffix(".idx").write_bytes(b"".join(entries))


def write_run(run_dir: Path, run: Run, *, sealed: bool = True) -> Path:
    """Write the bundle; the runlog in the order of its stamps."""
    run_dir.mkdir(parents=True)
    for shard, sent in run.frames.items():
        write_shard(run_dir, shard, sent)
    ordered = sorted(run.runlog, key=lambda one: one.get("ts_mono_ns", 0))
    (run_dir / "runlog.ndjson").write_bytes(ndjson(ordered))
    (run_dir / "manifest.json").write_text(json.dumps(run.manifest), encoding="utf-8")
    (run_dir / "metrics").mkdir()
    (run_dir / "metrics" / "global.ndjson").write_bytes(ndjson(run.metrics))
    if sealed:
        seal = {"seal_version": 1, "run_id": RUN_ID, "seal_sha256": "5e" * 32}
        (run_dir / "seal.json").write_text(json.dumps(seal), encoding="utf-8")
    return run_dir


def cut(run_dir: Path, start: int, stop: int | None) -> Path:
    """Make a bundle a slice: only from `start` to before `stop` counts."""
    parent = {"run_id": RUN_ID, "slice_id": None, "state": "ended", "seal_sha256": "5e" * 32}
    document = {
        "slice_version": 1, "slice_id": "part", "ancestors": [parent],
        "emit_from_mono_ns": start, "emit_before_mono_ns": stop,
    }  # fmt: skip
    (run_dir / "slice.json").write_text(json.dumps(document), encoding="utf-8")
    return run_dir


def verified(**more: Any) -> Record:
    """A report of pm-verify about a run without findings."""
    totals = {"records": 5, "crc_mismatch": more.pop("crc_mismatch", 0)}
    return {"ok": True, "run_id": RUN_ID, "exit_code": 0, "totals": totals, **more}


def shown_on_terminal(module: str, arguments: str, home: Path) -> str:
    """What a command prints on a terminal, run in the directory `home`."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", module, *arguments.split()]
    with subprocess.Popen(command, cwd=home, stdin=theirs, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            pass  # how Linux says that the other side has closed
        os.close(ours)
        process.wait(timeout=60)
    return shown.decode().replace("\r\n", "\n")


class Judged(NamedTuple):
    """The gates of a run by name."""

    evidence: Evidence
    gates: dict[str, Gate]

    def codes(self, name: str) -> list[str]:
        return [reason.code for reason in self.gates[name].reasons]

    def failed(self) -> list[str]:
        return [name for name, gate in self.gates.items() if gate.status == "failed"]


JudgeRun = Callable[..., Judged]


@pytest.fixture
def judge_run(tmp_path: Path) -> JudgeRun:
    """Write a run and judge it: (run, report=, profile=, limits=, spoil=what to do to the directory)."""

    def do(
        run: Run,
        *,
        report: Record | None = None,
        profile: Profile = Profile.STRICT,
        limits: Limits | None = None,
        sealed: bool = True,
        spoil: Callable[[Path], object] | None = None,
    ) -> Judged:
        run_dir = write_run(tmp_path / "run", run, sealed=sealed)
        if spoil is not None:
            spoil(run_dir)
        verification = Verification(verified() if report is None else report)
        threshold_ns = limits.heartbeat_gap_ns if limits else DEFAULT_THRESHOLD_NS
        evidence = gather(open_bundle(run_dir), verification, threshold_ns=threshold_ns)
        gates = judge(evidence, limits or Limits(), profile=profile)
        return Judged(evidence, {gate.name: gate for gate in gates})

    return do


@pytest.fixture(scope="session")
def made() -> Any:
    """The makers of this file, which tests cannot import."""
    return SimpleNamespace(**{name: one for name, one in globals().items() if name[0] != "_"})
