"""manifest.json and the universe files that it and the runlog name."""

from collections.abc import Iterator
from typing import Final

from pm_frames.paths import MANIFEST, RUNLOG, SEAL
from pm_verify.evidence import Evidence
from pm_verify.findings import Code, Finding
from pm_verify.sums import file_digest

MANIFEST_VERSION_MAX: Final = 1


def check_manifest(evidence: Evidence) -> Iterator[Finding]:
    """Check that the manifest is there, is one, and is of the same run as the other files."""
    scene, manifest = evidence.scene, evidence.manifest
    if not manifest.present:
        if not evidence.never_began():
            yield scene.finding(Code.MANIFEST_MISSING, MANIFEST)
        return
    if manifest.problem:
        yield scene.finding(Code.MANIFEST_DAMAGED, MANIFEST, detail=manifest.problem)
        return
    if evidence.run_id is None:
        yield scene.finding(Code.MANIFEST_DAMAGED, MANIFEST, detail="has no run_id")
        return
    version = manifest.integer("manifest_version")
    if version is not None and version > MANIFEST_VERSION_MAX:
        yield scene.finding(
            Code.MANIFEST_UNSUPPORTED, MANIFEST, expected=MANIFEST_VERSION_MAX, found=version
        )
    yield from _check_run_ids(evidence, evidence.run_id)


def _check_run_ids(evidence: Evidence, run_id: str) -> Iterator[Finding]:
    sealed = evidence.seal.text("run_id")
    if sealed is not None and sealed != run_id:
        yield evidence.scene.finding(Code.RUN_ID_DISAGREES, SEAL, expected=run_id, found=sealed)
    for other, offset in evidence.runlog.run_ids.items():
        if other != run_id:
            yield evidence.scene.finding(
                Code.RUN_ID_DISAGREES, RUNLOG, span=(offset, offset), expected=run_id, found=other
            )


def check_universe(evidence: Evidence) -> Iterator[Finding]:
    """Check every universe file that is named with its digest."""
    named = dict(evidence.runlog.universe)
    initial = evidence.manifest.mapping("initial_universe")
    file, digest = initial.get("file"), initial.get("sha256")
    if isinstance(file, str) and isinstance(digest, str):
        named[file] = digest
    for file, expected in sorted(named.items()):
        if file not in evidence.files:
            yield evidence.scene.finding(Code.UNIVERSE_MISSING, file, expected=expected)
            continue
        try:
            found = file_digest(evidence.run_dir / file)
        except OSError as error:
            yield evidence.scene.finding(Code.UNREADABLE, file, detail=str(error.strerror))
            continue
        if found != expected:
            yield evidence.scene.finding(Code.UNIVERSE_DIGEST, file, expected=expected, found=found)
