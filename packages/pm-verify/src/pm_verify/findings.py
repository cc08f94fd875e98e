"""Findings: what is wrong with a bundle, as frozen values under stable codes.

`docs/spec/findings.md` holds the same table for readers; a test keeps the two equal. A code, once
released, keeps its meaning for ever; a finding that nobody can raise any more keeps its row.
"""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from pm_frames.command import ExitCode

LISTED_PER_CODE_MAX = 20


class Kind(NamedTuple):
    """One row of the table: what a code means and what it does to the exit code."""

    code: str
    exit_code: ExitCode
    meaning: str
    fix: str


_TOLERABLE = ExitCode.FINDINGS
_CORRUPT = ExitCode.CORRUPT
_ABSENT = ExitCode.USAGE

_RESTORE = "restore {file} from a copy; what is here is not what was written"
_KEEP = "keep both files as they are; nothing in the bundle can decide, a sealed copy could"
_NEWER = "verify with the pm-verify of the release that wrote this bundle"
_WHOLE = "everything before it is intact and readers stop there; a bundle without it: {repair}"
_RECUT = "restore {file} from a copy, or cut the slice again"
_SALVAGE = "restore {file} from a copy, or keep what can be proved: {repair}"


class Code(Enum):
    """Every finding that pm-verify can raise, in the order of its number."""

    # the run as a whole
    NO_RUN = Kind(
        "PMV001",
        _ABSENT,
        "there is no run bundle at this place",
        "name a run directory (it holds manifest.json), a run id under --data-dir, or @last",
    )
    NO_FRAMES = Kind(
        "PMV002",
        _ABSENT,
        "there is no capture/*.frames file, so there is nothing to verify",
        "check that the copy of {run} is complete, or that the capture ever started",
    )
    RUNNING = Kind(
        "PMV003",
        _TOLERABLE,
        "the capture still holds the lock: what is there was judged, what is under way was not",
        "stop the capture and run: pm-verify {run}",
    )
    UNSEALED = Kind(
        "PMV004",
        _TOLERABLE,
        "the run was not closed cleanly (no seal.json): nothing states where it ended",
        "find out why pm-capture was killed; its whole records can be used, or be sealed: {repair}",
    )
    FATAL = Kind(
        "PMV005",
        _TOLERABLE,
        "the capture ended itself with a fatal reason (fatal.json)",
        "read {run}/fatal.json; what was captured before it can be used",
    )
    UNREADABLE = Kind(
        "PMV006",
        _CORRUPT,
        "a file is there and cannot be read, so nothing vouches for it",
        "make {file} readable (permissions, disk) and run: pm-verify {run}",
    )
    NOT_EXAMINED = Kind(
        "PMV007",
        _CORRUPT,
        "the process that read this shard died, so nothing vouches for it",
        "find out what killed it (memory?) and run: pm-verify --jobs 1 {run}",
    )
    NO_FILE = Kind(
        "PMV008",
        _ABSENT,
        "there is no such file",
        "name a .frames file with --frames and its .idx with --idx, or a whole run: pm-verify RUN",
    )

    # manifest.json and universe/
    MANIFEST_MISSING = Kind(
        "PMV010", _CORRUPT, "there are frames and no manifest.json", "restore {file} from a copy"
    )
    MANIFEST_DAMAGED = Kind(
        "PMV011", _CORRUPT, "manifest.json is not the JSON object of a run", _RESTORE
    )
    MANIFEST_UNSUPPORTED = Kind(
        "PMV012", _CORRUPT, "manifest.json has a version that is not known here", _NEWER
    )
    RUN_ID_DISAGREES = Kind(
        "PMV013",
        _CORRUPT,
        "a file of the bundle belongs to another run",
        "put the {file} of this run back; files of two runs were mixed",
    )
    SHARD_MISSING = Kind(
        "PMV014",
        _CORRUPT,
        "a shard that the run announced has neither .frames nor .idx",
        "check that the copy of {run} is complete",
    )
    SHARD_NOT_OPENED = Kind(
        "PMV015",
        _TOLERABLE,
        "a shard of the manifest has no files and the runlog never saw it open",
        "nothing: the run ended before this shard connected",
    )
    SHARD_UNANNOUNCED = Kind(
        "PMV016",
        _CORRUPT,
        "files of a shard that neither manifest nor runlog announces",
        "find out which run {file} came from",
    )
    UNIVERSE_MISSING = Kind(
        "PMV017",
        _CORRUPT,
        "a universe file that the run names is not there",
        "restore {file} from a copy",
    )
    UNIVERSE_DIGEST = Kind(
        "PMV018",
        _CORRUPT,
        "a universe file has not the digest under which the run names it",
        _RESTORE,
    )

    # capture/shard_NN.frames
    FRAMES_MISSING = Kind(
        "PMV020",
        _CORRUPT,
        "there is an .idx without its .frames",
        "restore {file} from a copy: an index cannot be turned back into frames",
    )
    TORN_TAIL = Kind(
        "PMV021",
        _TOLERABLE,
        "the file ends inside a record and nothing follows it (killed while writing)",
        _WHOLE,
    )
    ZERO_TAIL = Kind(
        "PMV022", _TOLERABLE, "the file ends in zero bytes (power cut before a sync)", _WHOLE
    )
    TRAILING_GARBAGE = Kind(
        "PMV023", _CORRUPT, "bytes after the last record in which no record can be found", _SALVAGE
    )
    BAD_MAGIC = Kind("PMV024", _CORRUPT, "no record begins where one must", _SALVAGE)
    CRC_MISMATCH = Kind(
        "PMV025",
        _CORRUPT,
        "the payload does not have the CRC-32 that its header states",
        _SALVAGE,
    )
    LENGTH_MISMATCH = Kind(
        "PMV026",
        _CORRUPT,
        "payload_len of the header is wrong: checksum or index prove another",
        _SALVAGE,
    )
    LENGTH_OVER_LIMIT = Kind(
        "PMV027", _CORRUPT, "the header states a payload above the limit of the format", _SALVAGE
    )
    UNSUPPORTED_VERSION = Kind(
        "PMV028",
        _CORRUPT,
        "schema_version is not the one of the magic (a newer writer, or damage)",
        _NEWER,
    )
    UNSUPPORTED_FLAGS = Kind(
        "PMV029",
        _CORRUPT,
        "a critical flag that is not known here (a newer writer, or damage)",
        _NEWER,
    )
    MIXED_VERSIONS = Kind(
        "PMV030", _CORRUPT, "a record of another version than the first", _SALVAGE
    )
    STAMP_BACKWARDS = Kind(
        "PMV031",
        _CORRUPT,
        "rx_mono_ns is before that of the record before, which no writer makes",
        _SALVAGE,
    )
    FRAME_MISSING = Kind(
        "PMV032", _CORRUPT, "the index lists a record that is not in .frames", _SALVAGE
    )
    WATERMARK_PASSED = Kind(
        "PMV033",
        _CORRUPT,
        "a record came to light that is stamped before a watermark which was there already",
        "keep the bundle and report it: followers of this run may have missed the record",
    )

    ARCHIVE_DAMAGED = Kind(
        "PMV034",
        _CORRUPT,
        "an archived .frames cannot be read from here on; what it holds behind is not judged",
        "restore {file} from a copy, or the .frames that it was made of",
    )

    # capture/shard_NN.idx
    IDX_MISSING = Kind(
        "PMV040",
        _TOLERABLE,
        "there is no .idx, so the headers have nothing to be compared with",
        "make a bundle with one, from the frames: {repair}",
    )
    IDX_SHORT = Kind(
        "PMV041",
        _TOLERABLE,
        "whole records after the last index entry (killed between the two writes)",
        _WHOLE,
    )
    IDX_TORN = Kind(
        "PMV042",
        _TOLERABLE,
        "the index ends inside an entry (killed while writing) or in zeros (power cut)",
        _WHOLE,
    )
    IDX_LONG = Kind(
        "PMV043",
        _TOLERABLE,
        "index entries after the last record (power cut before the frames were synced)",
        _WHOLE,
    )
    IDX_OFFSET = Kind(
        "PMV044", _CORRUPT, "offset_frames of the entry is not where its record begins", _SALVAGE
    )
    IDX_RX_MONO = Kind(
        "PMV045",
        _CORRUPT,
        "rx_mono_ns differs between header and entry; which side is right cannot be told",
        _KEEP,
    )
    IDX_RX_WALL = Kind(
        "PMV046",
        _CORRUPT,
        "rx_wall_ns_utc differs between header and entry; which side is right cannot be told",
        _KEEP,
    )
    IDX_PAYLOAD_LEN = Kind(
        "PMV047",
        _CORRUPT,
        "payload_len of the entry differs; the record's is proved by its checksum",
        _SALVAGE,
    )
    IDX_PAYLOAD_CRC = Kind(
        "PMV048",
        _CORRUPT,
        "payload_crc32 of the entry differs; the record's is proved by its payload",
        _SALVAGE,
    )
    FRAME_NOT_INDEXED = Kind(
        "PMV049", _CORRUPT, "a sound record that the index does not list", _SALVAGE
    )
    IDX_EXTRA_ENTRY = Kind(
        "PMV050", _CORRUPT, "an index entry that has no record and no room for one", _SALVAGE
    )

    # runlog.ndjson
    RUNLOG_MISSING = Kind(
        "PMV060",
        _TOLERABLE,
        "there is no runlog.ndjson: nothing tells connects, gaps and counts",
        "restore {file} from a copy",
    )
    RUNLOG_TORN = Kind(
        "PMV061",
        _TOLERABLE,
        "the last line of the runlog is incomplete (killed while writing)",
        _WHOLE,
    )
    RUNLOG_DAMAGED = Kind("PMV062", _CORRUPT, "a line of the runlog is not a record", _RESTORE)
    DURABLE_FRAMES_LOST = Kind(
        "PMV063",
        _CORRUPT,
        "fewer frames are here than the runlog reported as durable",
        "restore capture/ from a copy; frames were cut out or a disk lied about a sync",
    )
    RECORDED_FRAMES_LOST = Kind(
        "PMV064",
        _TOLERABLE,
        "fewer frames are here than the runlog counted as written, but all that it called durable",
        "nothing: these frames were not yet synced when the machine stopped",
    )
    FRAMES_UNCOUNTED = Kind(
        "PMV065",
        _CORRUPT,
        "more frames are here than the runlog counted when the capture stopped",
        "restore capture/ from a copy; something was added to it after its end",
    )

    # SHA256SUMS and seal.json
    SEAL_DAMAGED = Kind("PMV070", _CORRUPT, "seal.json is not the JSON object of a seal", _RESTORE)
    SEAL_UNSUPPORTED = Kind(
        "PMV071", _CORRUPT, "seal.json has a version that is not known here", _NEWER
    )
    SEAL_SELF_DIGEST = Kind(
        "PMV072", _CORRUPT, "seal.json has not the digest that it states of itself", _RESTORE
    )
    SEAL_DISAGREES = Kind(
        "PMV074",
        _CORRUPT,
        "seal.json states another value than the files have",
        "restore the file that differs from a copy; the seal was written when the run was closed",
    )
    SUMS_MISSING = Kind("PMV075", _CORRUPT, "the run is sealed and SHA256SUMS is missing", _RESTORE)
    SUMS_DAMAGED = Kind("PMV076", _CORRUPT, "a line of SHA256SUMS is not `digest  path`", _RESTORE)
    SUMS_DIGEST = Kind(
        "PMV077", _CORRUPT, "SHA256SUMS has not the digest that seal.json states", _RESTORE
    )
    LISTED_FILE_MISSING = Kind(
        "PMV078",
        _CORRUPT,
        "SHA256SUMS lists a file that is not there",
        "restore {file} from a copy",
    )
    FILE_DIGEST = Kind("PMV079", _CORRUPT, "a file has not the digest of SHA256SUMS", _RESTORE)
    FILE_UNLISTED = Kind(
        "PMV080",
        _CORRUPT,
        "a file of the bundle is not in SHA256SUMS: it was not there when the run was closed",
        "find out where {file} came from; it is not part of what was sealed",
    )

    # repair.json, slice.json, merge.json
    REPAIR_DAMAGED = Kind(
        "PMV090", _CORRUPT, "repair.json is not the JSON object of a repair", _RESTORE
    )

    SLICE_DAMAGED = Kind(
        "PMV091",
        _CORRUPT,
        "slice.json, or a map of where the slice comes from, is not as one must be",
        _RECUT,
    )
    SLICE_DISAGREES = Kind(
        "PMV092", _CORRUPT, "slice.json states another value than the files have", _RECUT
    )
    MERGE_DAMAGED = Kind(
        "PMV093", _CORRUPT, "merge.json is not the JSON object of a merge", _RESTORE
    )
    MERGE_DISAGREES = Kind(
        "PMV094", _CORRUPT, "merge.json states another value than the files have", _RESTORE
    )

    @property
    def id(self) -> str:
        """The stable code, for example `PMV021`."""
        return self.value.code

    @property
    def exit_code(self) -> ExitCode:
        """What this finding alone makes pm-verify return."""
        return self.value.exit_code


# Frame and index state different stamps, and nothing in the two files can tell which is right.
UNDECIDED: Final = frozenset({Code.IDX_RX_MONO, Code.IDX_RX_WALL})
OF_WHOLE_FILES: Final = frozenset({Code.FILE_DIGEST, Code.LISTED_FILE_MISSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, where it is, and what to type next.

    `offset` and `end` are bytes in `file` (half-open), `ordinal` counts the frames or index
    entries of the shard from 0. `extent` is what follows a damage in its file: nothing readable
    ("tail"), readable records ("hole"), or the record itself, sound ("entry"). `expected` and
    `found` are JSON values. `explained` is true where other findings say which records it is about.
    """

    code: Code
    file: str
    message: str
    fix: str
    shard: int | None = None
    ordinal: int | None = None
    offset: int | None = None
    end: int | None = None
    extent: str | None = None
    expected: object = None
    found: object = None
    explained: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What this finding alone makes pm-verify return."""
        return self.code.exit_code

    def as_json(self) -> dict[str, object]:
        """Return the finding as JSON values."""
        return {
            "code": self.code.id,
            "name": self.code.name.lower(),
            "exit_code": int(self.exit_code),
            "file": self.file,
            "shard": self.shard,
            "ordinal": self.ordinal,
            "offset": self.offset,
            "end": self.end,
            "extent": self.extent,
            "expected": self.expected,
            "found": self.found,
            "message": self.message,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """Where findings are made: the run, or the shard, that file names and hints refer to.

    `root` is None for files that belong to no run; their names are then paths.
    """

    root: Path | None
    shard: int | None = None

    def _repair(self) -> str:
        """Return the command that makes a sound bundle of this one, as a person would type it."""
        if self.root is None:
            return "pm-verify --repair OUT RUN, for the run that it belongs to"
        run = str(self.root)
        return f"pm-verify --repair {shlex.quote(f'{run}-repaired')} {shlex.quote(run)}"

    def finding(
        self,
        code: Code,
        file: str,
        *,
        detail: str = "",
        ordinal: int | None = None,
        span: tuple[int, int] | None = None,
        extent: str | None = None,
        expected: object = None,
        found: object = None,
    ) -> Finding:
        """Return a finding about `file`; `detail` follows the meaning of its code."""
        full = str(self.root / file) if self.root else file
        stem = full.removesuffix(".idx").removesuffix(".frames")
        places = {
            "run": str(self.root or "."),
            "file": full,
            "frames": f"{stem}.frames",
            "idx": f"{stem}.idx",
            "repair": self._repair(),
        }
        return Finding(
            code=code,
            file=file,
            message=f"{code.value.meaning}: {detail}" if detail else code.value.meaning,
            fix=code.value.fix.format_map(places),
            shard=self.shard,
            ordinal=ordinal,
            offset=span[0] if span else None,
            end=span[1] if span else None,
            extent=extent,
            expected=expected,
            found=found,
        )


class Tally:
    """Findings of one source in bounded memory: all are counted, the first of each code listed.

    `sorts` has one finding of every sort that weighs alike, whether it is listed or not.
    """

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.counts: Counter[Code] = Counter()
        self.sorts: dict[tuple[Code, bool, str], Finding] = {}

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while its code has not filled its part of the list."""
        self.counts[finding.code] += 1
        # A file name has its say in the weight of whole files only, of which there are few.
        file = finding.file if finding.code in OF_WHOLE_FILES else ""
        self.sorts.setdefault((finding.code, finding.explained, file.partition("/")[0]), finding)
        if self.counts[finding.code] <= LISTED_PER_CODE_MAX:
            self.listed.append(finding)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add each of `findings`."""
        for finding in findings:
            self.add(finding)
