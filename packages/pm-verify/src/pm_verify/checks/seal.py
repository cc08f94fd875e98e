"""seal.json: is it whole, and does it state what the files hold?"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pm_frames.paths import SEAL
from pm_verify.documents import as_integer
from pm_verify.evidence import Evidence, is_number, seal_shards, total
from pm_verify.findings import Code, Finding, Scene
from pm_verify.shard_result import ShardResult

SEAL_VERSION_MAX: Final = 1
SELF_DIGEST: Final = "seal_sha256"
INTEGERS: Final = (
    "seal_version",
    "closed_wall_ns_utc",
    "closed_mono_ns",
    "frames_total",
    "bytes_total",
)
TEXTS: Final = ("run_id", "stop_reason", "sha256sums_sha256", SELF_DIGEST)
COUNTS: Final = ("frames", "frames_bytes", "idx_bytes")
STAMPS: Final = (
    "rx_mono_ns_first",
    "rx_mono_ns_last",
    "rx_wall_ns_utc_first",
    "rx_wall_ns_utc_last",
)


def check_seal(evidence: Evidence) -> Iterator[Finding]:
    """Check that the seal is whole in itself."""
    scene, seal = evidence.scene, evidence.seal
    if not seal.present:
        return
    if seal.problem:
        yield scene.finding(Code.SEAL_DAMAGED, SEAL, detail=seal.problem)
        return
    version = seal.integer("seal_version")
    if version is not None and version > SEAL_VERSION_MAX:
        yield scene.finding(Code.SEAL_UNSUPPORTED, SEAL, expected=SEAL_VERSION_MAX, found=version)
    problems = [f"has no integer {key}" for key in INTEGERS if seal.integer(key) is None]
    problems += [f"has no text {key}" for key in TEXTS if seal.text(key) is None]
    if version is not None and version < 1:
        problems.append(f"has the seal_version {version}")
    problems += _shard_problems(evidence)
    for problem in problems:
        yield scene.finding(Code.SEAL_DAMAGED, SEAL, detail=problem)
    yield from _check_self_digest(evidence)


def _shard_problems(evidence: Evidence) -> Iterator[str]:
    shards = evidence.seal.values.get("shards")
    if not isinstance(shards, dict):
        yield "has no object shards"
        return
    for key, shard in shards.items():
        if not is_number(key) or not isinstance(shard, dict):
            yield f"has a shard {key!r} that is none"
            continue
        for name in COUNTS:
            if as_integer(shard.get(name)) is None:
                yield f"has no integer {name} for shard {key}"
        for name in (*COUNTS, *STAMPS):
            if name not in shard:
                yield f"has no {name} for shard {key}"
        for name in sorted(shard.keys() - {*COUNTS, *STAMPS}):
            yield f"has an unknown {name!r} for shard {key}"


def _check_self_digest(evidence: Evidence) -> Iterator[Finding]:
    """Check the digest over the seal's own content."""
    seal = evidence.seal
    stated = seal.text(SELF_DIGEST)
    if stated is not None and (found := self_digest(seal.values)) != stated:
        yield evidence.scene.finding(Code.SEAL_SELF_DIGEST, SEAL, expected=stated, found=found)


def self_digest(values: object) -> str:
    """Return the SHA-256 of a seal's canonical JSON without its digest of itself."""
    content = {key: value for key, value in dict(values).items() if key != SELF_DIGEST}  # type: ignore[call-overload]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def check_seal_counts(evidence: Evidence) -> Iterator[Finding]:
    """Compare every count and stamp of the seal with the files."""
    seal = evidence.seal
    if not seal.usable:
        return
    shards = seal_shards(seal)
    for shard in sorted(shards.keys() | evidence.results.keys()):
        result = evidence.results.get(shard)
        if result is None or shard not in shards:
            yield Scene(evidence.run_dir, shard).finding(
                Code.SEAL_DISAGREES,
                SEAL,
                detail=f"shard {shard}",
                expected="in the seal" if shard in shards else "not in the seal",
                found="not there" if result is None else "there",
            )
            continue
        for name, expected, found in _differences(shards[shard], result):
            finding = Scene(evidence.run_dir, shard).finding(
                Code.SEAL_DISAGREES,
                SEAL,
                detail=f"{name} of shard {shard}",
                expected=expected,
                found=found,
            )
            yield replace(finding, explained=result.errors + result.idx_errors > 0)
    for name, found in (
        ("frames_total", total(shards, "frames")),
        ("bytes_total", total(shards, "frames_bytes")),
        ("stop_reason", evidence.runlog.stop_reason),
    ):
        if found is not None and seal.values.get(name) != found:
            yield evidence.scene.finding(
                Code.SEAL_DISAGREES,
                SEAL,
                detail=name,
                expected=seal.values.get(name),
                found=found,
            )


def _differences(stated: object, result: ShardResult) -> Iterator[tuple[str, object, object]]:
    facts = {
        "frames": result.records,
        "frames_bytes": result.frames_bytes,
        "idx_bytes": result.idx_bytes,
        "rx_mono_ns_first": result.rx_mono_ns_first,
        "rx_mono_ns_last": result.rx_mono_ns_last,
        "rx_wall_ns_utc_first": result.rx_wall_ns_utc_first,
        "rx_wall_ns_utc_last": result.rx_wall_ns_utc_last,
    }
    values = stated if isinstance(stated, dict) else {}
    for name, found in facts.items():
        if values.get(name) != found:
            yield name, values.get(name), found
