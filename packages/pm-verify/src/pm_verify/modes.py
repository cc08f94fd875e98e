"""What a reader is going to do with a bundle, and so what stands in its way.

The modes are those of a write-ahead log's recovery. They change no finding, only its weight: 0 where the
reader loses nothing by it, 3 where it loses something that is told, and the code of the table where it
cannot use the bundle. `pm-verify --repair` with the same mode succeeds wherever the weight is not 4.
"""

from enum import StrEnum
from typing import Final

from pm_frames.command import ExitCode
from pm_frames.paths import MANIFEST, UNIVERSE
from pm_verify.findings import Code, Finding


class Mode(StrEnum):
    """How much is forgiven; see docs/spec/findings.md."""

    STRICT = "strict"
    TOLERATE_TAIL = "tolerate-tail"
    POINT_IN_TIME = "point-in-time"
    SALVAGE = "salvage"


# What a kill, a power cut or a fatal end leaves behind, and nothing else.
TAIL: Final = frozenset(
    {
        Code.UNSEALED,
        Code.FATAL,
        Code.SHARD_NOT_OPENED,
        Code.TORN_TAIL,
        Code.ZERO_TAIL,
        Code.IDX_SHORT,
        Code.IDX_TORN,
        Code.IDX_LONG,
        Code.RUNLOG_TORN,
        Code.RECORDED_FRAMES_LOST,
    }
)

# Without these nobody knows what the frames are about; only a copy can bring them back.
IRREPLACEABLE: Final = frozenset(
    {
        Code.NO_RUN,
        Code.NO_FRAMES,
        Code.RUNNING,
        Code.UNREADABLE,
        Code.NOT_EXAMINED,
        Code.NO_FILE,
        Code.ARCHIVE_DAMAGED,
        Code.MANIFEST_MISSING,
        Code.MANIFEST_DAMAGED,
        Code.MANIFEST_UNSUPPORTED,
        Code.RUN_ID_DISAGREES,
        Code.SHARD_MISSING,
        Code.SHARD_UNANNOUNCED,
        Code.UNIVERSE_MISSING,
        Code.UNIVERSE_DIGEST,
        Code.SEAL_UNSUPPORTED,
        Code.REPAIR_DAMAGED,
        Code.SLICE_DAMAGED,
        Code.MERGE_DAMAGED,
    }
)

# Something is wrong, and nothing says where: no instant can be named up to which all is right.
UNLOCATED: Final = frozenset(
    {
        Code.FRAMES_MISSING,
        Code.DURABLE_FRAMES_LOST,
        Code.FRAMES_UNCOUNTED,
        Code.SEAL_DAMAGED,
        Code.SEAL_SELF_DIGEST,
        Code.SEAL_DISAGREES,
        Code.SUMS_MISSING,
        Code.SUMS_DAMAGED,
        Code.SUMS_DIGEST,
        Code.LISTED_FILE_MISSING,
        Code.FILE_DIGEST,
        Code.FILE_UNLISTED,
        Code.SLICE_DISAGREES,
        Code.MERGE_DISAGREES,
        Code.WATERMARK_PASSED,
    }
)


def weigh(finding: Finding, mode: Mode) -> ExitCode:
    """Return what a finding means to a reader in this mode, as the exit code that it asks for."""
    code = finding.code
    if mode is Mode.STRICT or code in IRREPLACEABLE or _of_a_document(finding):
        return code.exit_code
    if mode is Mode.TOLERATE_TAIL:
        return ExitCode.OK if code in TAIL else code.exit_code
    if mode is Mode.POINT_IN_TIME and code in UNLOCATED and not finding.explained:
        return code.exit_code
    return ExitCode.FINDINGS


def _of_a_document(finding: Finding) -> bool:
    """Return whether the digest that is missed is that of a file which nothing can replace."""
    named = finding.file == MANIFEST or finding.file.startswith(f"{UNIVERSE}/")
    return named and finding.code in (Code.FILE_DIGEST, Code.LISTED_FILE_MISSING)
