"""What is wrong with a shard that is not clean: the tolerant scan of pm_frames, as findings."""

from pathlib import Path
from typing import Final

from pm_frames.damage import Damage
from pm_frames.frames import Frame
from pm_frames.layout import Version, idx_size
from pm_frames.scan import scan_shard
from pm_verify.findings import Code, Scene
from pm_verify.shard_result import ShardResult

CODE_OF_KIND: Final = {
    "bad_magic": Code.BAD_MAGIC,
    "mixed_versions": Code.MIXED_VERSIONS,
    "bad_version": Code.UNSUPPORTED_VERSION,
    "unknown_flags": Code.UNSUPPORTED_FLAGS,
    "length_over_limit": Code.LENGTH_OVER_LIMIT,
    "length_mismatch": Code.LENGTH_MISMATCH,
    "crc_mismatch": Code.CRC_MISMATCH,
    "mono_backwards": Code.STAMP_BACKWARDS,
    "truncated_header": Code.TORN_TAIL,
    "truncated_payload": Code.TORN_TAIL,
    "zero_tail": Code.ZERO_TAIL,
    "trailing_garbage": Code.TRAILING_GARBAGE,
    "idx_offset_mismatch": Code.IDX_OFFSET,
    "idx_mono_mismatch": Code.IDX_RX_MONO,
    "idx_wall_mismatch": Code.IDX_RX_WALL,
    "idx_length_mismatch": Code.IDX_PAYLOAD_LEN,
    "idx_crc_mismatch": Code.IDX_PAYLOAD_CRC,
    "frame_missing": Code.FRAME_MISSING,
    "frame_not_indexed": Code.FRAME_NOT_INDEXED,
    "idx_extra_entry": Code.IDX_EXTRA_ENTRY,
    "idx_missing": Code.IDX_MISSING,
    "idx_torn": Code.IDX_TORN,
    "idx_short": Code.IDX_SHORT,
    "idx_long": Code.IDX_LONG,
}
TRUNCATING: Final = frozenset({Code.TORN_TAIL, Code.ZERO_TAIL})

# What can follow in the file, in words for the message.
AFTERWARDS: Final = {
    "tail": "nothing readable follows",
    "hole": "readable records follow",
    "entry": "",
}


def diagnose(
    result: ShardResult, scene: Scene, frames: Path, idx: Path | None, *, growing: bool
) -> None:
    """Scan a shard from its beginning and put everything that is found into `result`.

    With `growing`, what a crash could have left at the end is only not finished yet.
    """
    for item in scan_shard(frames, idx):
        if isinstance(item, Frame):
            note_frame(result, item)
        elif not (growing and item.torn):
            note_damage(result, scene, item)
    version = result.schema_versions[0] if result.schema_versions else Version.V2
    result.idx_records = result.idx_bytes // idx_size(version)


def note_frame(result: ShardResult, frame: Frame) -> None:
    """Count a sound frame."""
    result.records += 1
    result.note_stamps(frame.rx_mono_ns, frame.rx_wall_ns_utc)
    if result.first_bad_offset is None:
        result.last_good_offset = frame.end
    if frame.version not in result.schema_versions:
        result.schema_versions.append(frame.version)


def note_damage(result: ShardResult, scene: Scene, damage: Damage) -> None:
    """Count a damage and turn it into a finding."""
    code = CODE_OF_KIND[damage.kind]
    if code is Code.IDX_MISSING:
        return  # whether an index is missing is known before the scan, and not always wrong
    name = result.frames_path if damage.file == "frames" else result.idx_path
    if damage.file == "frames":
        result.note_frames_error(damage.offset)
        result.crc_mismatch += code is Code.CRC_MISMATCH
        result.truncated |= code in TRUNCATING
    else:
        result.note_idx_error(damage.offset)
    result.add(
        scene.finding(
            code,
            name or damage.file,
            detail="; ".join(filter(None, (damage.detail, AFTERWARDS[damage.extent]))),
            ordinal=damage.ordinal,
            span=(damage.offset, damage.end),
            extent=damage.extent,
            expected=plain(damage.expected),
            found=plain(damage.found),
        )
    )


def plain(value: object) -> object:
    """Return a value of a damage as a JSON value: bytes as text, with escapes for all but ASCII."""
    if isinstance(value, bytes | bytearray):
        return value[:64].decode("ascii", errors="backslashreplace")
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
