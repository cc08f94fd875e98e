"""What is wrong with a shard that is not clean: the tolerant scan of pm_frames, as findings."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from pm_frames.damage import Damage
from pm_frames.frames import Frame
from pm_frames.index import read_index
from pm_frames.layout import Version, header_size, idx_size
from pm_frames.scan import Start, scan_shard
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

# Findings that put no record in doubt: it is there, and its place and payload prove themselves.
NOTHING_LOST: Final = frozenset(
    {Code.IDX_SHORT, Code.IDX_TORN, Code.IDX_OFFSET, Code.IDX_PAYLOAD_LEN, Code.IDX_PAYLOAD_CRC}
)

# What can follow in the file, in words for the message.
AFTERWARDS: Final = {
    "tail": "nothing readable follows",
    "hole": "readable records follow",
    "entry": "",
}


def diagnose(
    result: ShardResult,
    scene: Scene,
    frames: Path,
    idx: Path | None,
    *,
    growing: bool,
    start: Start = Start(),  # noqa: B008 - a tuple
) -> None:
    """Scan a shard from `start` on and put everything that is found into `result`.

    With `growing`, what a crash could have left at the end is only not finished yet.
    """
    surplus: int | None = None
    of_next_frame: list[Damage] = []
    for item in scan_shard(frames, idx, start=start):
        if isinstance(item, Frame):
            for damage in of_next_frame:
                note_damage(result, scene, _as_entry(damage, item))
            of_next_frame.clear()
            note_frame(result, item)
        elif item.extent == "entry":
            of_next_frame.append(item)
        elif not (growing and item.torn):
            note_damage(result, scene, item)
            surplus = item.ordinal if item.kind == "idx_long" else surplus
    # An index has no magic, so without a frame beside it either version may be meant.
    versions = [Version(number) for number in result.schema_versions[:1]] or [*Version][::-1]
    if idx is not None and surplus is not None:
        foreign = [first_foreign_entry(idx, version, surplus) for version in versions]
        if all(foreign) and foreign[0]:
            note_damage(result, scene, foreign[0])
        else:
            versions = versions[foreign.index(None) :]
    result.idx_records = result.idx_bytes // idx_size(versions[0])


def _as_entry(damage: Damage, frame: Frame) -> Damage:
    """Point a disagreement at the entry: the scan says where its frame is, which is sound."""
    if damage.ordinal is None or not damage.kind.startswith("idx_"):
        return damage
    size = idx_size(frame.version)
    return replace(
        damage,
        file="idx",
        offset=damage.ordinal * size,
        end=(damage.ordinal + 1) * size,
        detail=damage.detail or f"its record is at offset {frame.offset} of .frames",
    )


def first_foreign_entry(idx: Path, version: Version, surplus: int) -> Damage | None:
    """Return the first entry after the last frame that no power cut can have left.

    What it can leave are entries whose frames never reached the disk: they continue the chain of
    offsets, until zeros where they did not reach it themselves.
    """
    size = idx_size(version)
    first = max(surplus - 1, 0)
    chain = 0
    ended = False
    whole = idx.stat().st_size // size
    for ordinal, entry in enumerate(read_index(idx, version, start=first, stop=whole), first):
        if ordinal >= surplus:
            zeros = ordinal > 0 and not any(entry[:1] + entry[-2:])
            if (entry.offset_frames != chain or ended) and not zeros:
                return Damage(
                    "idx_extra_entry",
                    "idx",
                    ordinal * size,
                    (ordinal + 1) * size,
                    ordinal,
                    "tail",
                    expected=chain,
                    found=entry.offset_frames,
                    detail="after the last record, and not the entry of a next one",
                )
            ended = ended or zeros
        chain = entry.offset_frames + header_size(version) + entry.payload_len
    return None


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
    if code is Code.TORN_TAIL and not damage.torn:
        code = Code.LENGTH_MISMATCH  # records follow: it is the length that is wrong, not the end
    if code is Code.IDX_MISSING:
        return  # whether an index is missing is known before the scan, and not always wrong
    if result.sound_until_mono_ns is None and code not in NOTHING_LOST:
        result.sound_until_mono_ns = result.rx_mono_ns_last or 0
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
