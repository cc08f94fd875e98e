"""SHA256SUMS: every file that it lists, and no file of the bundle that it does not."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pm_frames.paths import (
    FATAL,
    MANIFEST,
    MERGE,
    MISSING_TOKENS,
    PARENT,
    QUARANTINE,
    REPAIR,
    RUNLOG,
    SLICE,
    SOURCE,
    SUMS,
    UNSEALED,
)
from pm_verify.evidence import Evidence
from pm_verify.findings import Code, Finding
from pm_verify.sums import file_digest

BUNDLE_FILES: Final = frozenset({MANIFEST, RUNLOG, FATAL, MISSING_TOKENS, REPAIR, SLICE, MERGE})
BUNDLE_PREFIXES: Final = (
    "capture/",
    "universe/",
    "metrics/",
    "last_frames_shard_",
    f"{QUARANTINE}/",
    f"{PARENT}/",
    f"{SOURCE}/",
)


def check_sums(evidence: Evidence) -> Iterator[Finding]:
    """Check that SHA256SUMS is there for a seal, readable, and the one that was sealed."""
    scene, sums, seal = evidence.scene, evidence.sums, evidence.seal
    if seal.present and not sums.present:
        yield scene.finding(Code.SUMS_MISSING, SUMS)
    if sums.problem:
        yield scene.finding(Code.UNREADABLE, SUMS, detail=sums.problem)
    for line in sums.bad_lines:
        yield scene.finding(
            Code.SUMS_DAMAGED,
            SUMS,
            detail=f"line {line.number} {line.reason}",
            span=(line.offset, line.offset + len(line.text)),
            found=line.text,
        )
    expected = seal.text("sha256sums_sha256")
    if sums.present and expected is not None and sums.digest != expected:
        yield scene.finding(Code.SUMS_DIGEST, SUMS, expected=expected, found=sums.digest)


def check_listed_files(evidence: Evidence) -> Iterator[Finding]:
    """Check the digest of every listed file; those of shards were taken while they were read."""
    scene, digests = evidence.scene, shard_digests(evidence)
    for name, expected in sorted(evidence.sums.digests.items()):
        if name not in evidence.files:
            yield scene.finding(Code.LISTED_FILE_MISSING, name, expected=expected)
            continue
        if evidence.quick or (name in evidence.archived and name not in digests):
            continue  # an archive without a digest could not be read, which is a finding already
        try:
            found = digests.get(name) or file_digest(evidence.run_dir / name)
        except OSError as error:
            yield scene.finding(Code.UNREADABLE, name, detail=str(error.strerror))
            continue
        if found != expected:
            finding = scene.finding(Code.FILE_DIGEST, name, expected=expected, found=found)
            yield replace(finding, explained=evidence.says_where(name))


def check_unlisted_files(evidence: Evidence) -> Iterator[Finding]:
    """Find files of a sealed bundle that were not there when it was closed.

    Files that no bundle has (notes, reports made later) are nobody's business.
    """
    if not evidence.sums.digests:
        return
    for name in evidence.files:
        if name in UNSEALED or name in evidence.sums.digests:
            continue
        if name in BUNDLE_FILES or name.startswith(BUNDLE_PREFIXES):
            yield evidence.scene.finding(Code.FILE_UNLISTED, name)


def shard_digests(evidence: Evidence) -> dict[str, str]:
    """Return the digests of the shard files that were read to their ends, by path."""
    digests: dict[str, str] = {}
    for result in evidence.results.values():
        if result.frames_path and result.frames_sha256:
            digests[result.frames_path] = result.frames_sha256
        if result.idx_path and result.idx_sha256:
            digests[result.idx_path] = result.idx_sha256
    return digests
