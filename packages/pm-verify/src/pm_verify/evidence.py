"""Everything that the checks judge, gathered once and without judging: files, documents, claims."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pm_frames.bundle import RunState, run_state
from pm_frames.paths import (
    ARCHIVED,
    FATAL,
    MANIFEST,
    MERGE,
    REPAIR,
    RUNLOG,
    SEAL,
    SLICE,
    SUMS,
    WORKPLACE,
)
from pm_verify.documents import Document, as_integer, as_mapping, read_document
from pm_verify.findings import UNDECIDED, Scene
from pm_verify.opening import shard_bytes_size
from pm_verify.runlog_claims import RunlogClaims, read_runlog_claims
from pm_verify.shard_result import ShardResult
from pm_verify.sums import Sums, read_sums

_ARCHIVED_FRAMES = re.compile(r"capture/shard_[0-9]{2,18}\.frames\.zst")
_SHARD_FILE = re.compile(r"capture/shard_([0-9]{2,18})\.(frames|idx)")


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one shard as paths relative to the run; None for one that is not there."""

    shard: int
    frames: str | None
    idx: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run as it lies on the disk, before and after its shards were read.

    `files` has the names of `list_files`; those of `archived` are there only as archives.
    """

    run_dir: Path
    state: RunState
    files: tuple[str, ...]
    manifest: Document
    seal: Document
    fatal: Document
    runlog: RunlogClaims
    sums: Sums
    pairs: tuple[Pair, ...]
    results: Mapping[int, ShardResult]
    repair: Document
    merge: Document
    archived: frozenset[str] = frozenset()
    quick: bool = False

    @property
    def scene(self) -> Scene:
        """Return the scene for findings about the run as a whole."""
        return Scene(self.run_dir)

    @property
    def run_id(self) -> str | None:
        """Return the id of the run as the manifest states it."""
        return self.manifest.text("run_id")

    @property
    def repaired(self) -> bool:
        """Return whether this bundle is the sealed output of a repair."""
        return self.repair.usable and REPAIR in self.sums.digests

    @property
    def sliced(self) -> bool:
        """Return whether this bundle is a sealed slice, of which the runlog counts do not speak."""
        return SLICE in self.sums.digests

    @property
    def merged(self) -> bool:
        """Return whether this bundle was sealed as one made of several."""
        return MERGE in self.sums.digests

    def never_began(self) -> bool:
        """Return whether the capture ended, or still is, where it creates its files.

        The manifest is written after them, so that it is not there says nothing then.
        """
        documents = (self.manifest, self.seal, self.sums)
        if any(document.present for document in documents) or self.runlog.started:
            return False
        names = [name for pair in self.pairs for name in (pair.frames, pair.idx) if name]
        return not any(shard_bytes_size(self.run_dir / name) for name in names)

    def says_where(self, file: str) -> bool:
        """Return whether findings say which records of a file are damaged."""
        if file == RUNLOG:
            return bool(self.runlog.bad_lines)
        for result in self.results.values():
            undecided = any(code in UNDECIDED for code in result.tally.counts)
            if file == result.frames_path:
                return result.errors > 0 or undecided
            if file == result.idx_path:
                return result.idx_errors > 0 or undecided
        return False

    def assigned_tokens(self) -> dict[int, int]:
        """Return how many tokens the manifest gives to each shard; one without any never connects."""
        assignments = as_mapping(self.manifest.mapping("shards").get("assignments"))
        assigned = {}
        for key, assignment in assignments.items():
            tokens = as_mapping(assignment).get("token_ids")
            if is_number(key):
                assigned[int(key)] = len(tokens) if isinstance(tokens, list) else 0
        return assigned

    def frames_known(self, shards: Iterable[int]) -> int:
        """Return how many frames either side of the pairs of some shards knows of, damaged ones included."""
        results = (self.results[shard] for shard in shards if shard in self.results)
        return sum(max(result.records, result.idx_records) for result in results)


def list_files(run_dir: Path) -> tuple[str, ...]:
    """Return the regular files of a run as sorted posix paths relative to it.

    Frames that are archived have the name under which they were sealed; what is in the workplace of pm-archive is
    no part of the run.
    """
    found = set()
    for directory, inner, names in os.walk(run_dir):
        relative = Path(directory).relative_to(run_dir)
        if directory == str(run_dir) and WORKPLACE in inner:
            inner.remove(WORKPLACE)
        for name in names:
            if Path(directory, name).is_file():
                file = (relative / name).as_posix()
                archived = _ARCHIVED_FRAMES.fullmatch(file)
                found.add(file.removesuffix(ARCHIVED) if archived else file)
    return tuple(sorted(found))


def pair_files(files: tuple[str, ...]) -> tuple[Pair, ...]:
    """Return the shards that have files, in numeric order."""
    found: dict[int, dict[str, str]] = {}
    for name in files:
        match = _SHARD_FILE.fullmatch(name)
        # shard_007 is no name that a writer makes: an unknown file, not another shard 7.
        if match and f"{int(match[1]):02}" == match[1]:
            found.setdefault(int(match[1]), {})[match[2]] = name
    return tuple(
        Pair(shard, names.get("frames"), names.get("idx")) for shard, names in sorted(found.items())
    )


def gather(run_dir: Path) -> Evidence:
    """Read everything about a run but its shards, of which only the names.

    The runlog is read before the shards so that a bundle that still grows never seems to hold
    fewer frames than its runlog counts.
    """
    state = run_state(run_dir)
    files = list_files(run_dir)
    pairs = pair_files(files)
    frames = [pair.frames for pair in pairs if pair.frames]
    return Evidence(
        run_dir=run_dir,
        state=state,
        files=files,
        manifest=read_document(run_dir, MANIFEST),
        seal=read_document(run_dir, SEAL),
        fatal=read_document(run_dir, FATAL),
        runlog=read_runlog_claims(run_dir / RUNLOG),
        sums=read_sums(run_dir / SUMS),
        pairs=pairs,
        results={},
        repair=read_document(run_dir, REPAIR),
        merge=read_document(run_dir, MERGE),
        archived=frozenset(name for name in frames if not (run_dir / name).exists()),
    )


def seal_shards(seal: Document) -> dict[int, Mapping[str, object]]:
    """Return what a seal states of each shard."""
    shards = seal.mapping("shards")
    return {int(key): as_mapping(value) for key, value in shards.items() if is_number(key)}


def part_shards(merge: Document, part: int) -> list[int] | None:
    """Return the shards that a part of a merged bundle has become, None where merge.json does not tell."""
    parts = merge.values.get("parts")
    if not isinstance(parts, list) or part >= len(parts):
        return None
    numbers = as_mapping(as_mapping(parts[part]).get("shards")).values()
    shards = [number for number in map(as_integer, numbers) if number is not None]
    return shards if len(shards) == len(numbers) else None


def is_number(key: str) -> bool:
    """Return whether a JSON key is a shard id as a writer would write it."""
    return len(key) <= 18 and key.isascii() and key.isdecimal() and str(int(key)) == key


def total(values: Mapping[int, Mapping[str, object]], key: str) -> int:
    """Return the sum of one integer of every shard of a seal."""
    return sum(as_integer(shard.get(key)) or 0 for shard in values.values())
