"""Write the vectors of docs/spec/events.md into testdata/events, independently of pm_frames.

Bytes come from struct literals, json and hashlib alone, and what a reader must say of them is written down by
hand beside them. Each vector is NAME.pmev and NAME.json: the events as a reader gives them and the event
hash, or the error with its offset. `--check` writes nothing and fails if the committed files differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TARGET = Path(__file__).resolve().parent.parent / "testdata" / "events"
NO_TOKEN = 2**32 - 1
RUNLOG = 65535
FIELDS = (
    "seq", "ts_recv_ns", "ts_event_ns", "bid_sz_e6", "ask_sz_e6", "frame", "token", "bid_px_e6",
    "ask_px_e6", "shard", "kind", "flags",
)  # fmt: skip
TOKEN_ID = "98756637703320879198441871470345384821367334051929992047845197222571333888980"


class Slot(NamedTuple):
    """One slot with its payload; the fields in the order in which they stand."""

    values: tuple[int, ...]
    payload: bytes = b""

    def packed(self) -> bytes:
        data = struct.pack("<QQqqqQIiiHBB", *self.values)
        for at in range(0, len(self.payload), 62):
            piece = self.payload[at : at + 62]
            data += piece + bytes(62 - len(piece)) + bytes([3, len(piece)])
        return data

    def told(self) -> dict[str, Any]:
        return {
            **dict(zip(FIELDS, self.values, strict=True)),
            "payload": self.payload.decode("ascii"),
        }


def header(payload: bytes = b'{"run_id":"vector"}') -> bytes:
    magic = int.from_bytes(b"PMEVv001", "little")
    wall = 1_766_448_000_000_000_000
    values = (magic, 7_000_000_000, wall, len(payload), 0, 0, NO_TOKEN, -1, -1, RUNLOG, 1, 0)
    return Slot(values, payload).packed()


def end(before: bytes, *, seq: int, state: int = 1, reason: int = 0, stamp: int = 9) -> bytes:
    digest = hashlib.sha256(before).digest()
    return struct.pack("<QQ32sIQHBB", seq, stamp, digest, state, len(before) // 64, reason, 2, 0)


def every_kind() -> list[Slot]:
    meta = b'{"condition_id":"0xaa","tokens":[{"outcome":"Yes","token":0,"token_id":"' + (
        TOKEN_ID.encode() + b'"}]}'
    )
    market = b'{"change":"resolved","market":"0xaa","outcomes":[],"timestamp":"5","token_ids":[]}'
    unknown = b'{"event_type":"surprise"}'
    return [
        Slot((0, 7, -1, 77, 0, 0, 0, -1, -1, RUNLOG, 4, 0), TOKEN_ID.encode()),
        Slot((0, 7, -1, len(meta), 0, 0, 0, -1, -1, RUNLOG, 5, 0), meta),
        Slot((0, 7, -1, 7, 1_766_448_000_000_000_000, 0, NO_TOKEN, -1, -1, RUNLOG, 6, 0)),
        Slot((1, 8, -1, 8, 0, 0, 0, -1, -1, RUNLOG, 19, 1 | 128)),
        Slot((0, 9, -1, 1, 1, 0, 0, -1, -1, 0, 32, 2)),
        Slot((0, 9, -1, 2_500_000, 0, 0, 0, 400_000, 0, 0, 33, 2)),
        Slot((0, 9, -1, 1_000_000, 0, 0, 0, 600_000, 1, 0, 33, 2)),
        Slot((2, 9, -1, 9, 1, 0, 0, -1, -1, 0, 19, 2)),
        Slot((3, 9, 10**18, 2_500_000, 1_000_000, 0, 0, 400_000, 600_000, 0, 16, 2 | 1 << 3 | 128)),
        Slot((4, 10, 10**18, 0, 1_000_000, 1, 0, -1, 600_000, 0, 16, 2 | 2 << 3 | 128)),
        Slot((5, 11, 10**18, 3_000_000, 0, 2, 0, 600_000, 0, 0, 17, 2 | 128)),
        Slot((6, 12, 10**18, 0, 0, 3, 0, 1_000, 10_000, 0, 18, 2 | 128)),
        Slot((7, 13, 5_000_000, len(market), 0, 4, NO_TOKEN, 1, -1, 7, 20, 128), market),
        Slot((8, 14, -1, len(unknown), 0, 5, NO_TOKEN, -1, -1, 7, 21, 128), unknown),
        Slot((9, 2**64 - 1, -1, 2**63 - 1, 0, 2**64 - 1, 0, 1_000_000, -1, 65534, 16, 7 | 128)),
    ]


def whole(slots: list[Slot], **how: int) -> bytes:
    data = header() + b"".join(slot.packed() for slot in slots)
    return data + end(data, seq=max((slot.values[0] for slot in slots), default=0), **how)


def told(slots: list[Slot], data: bytes) -> dict[str, Any]:
    hashed = b"".join(slot.packed() for slot in slots if slot.values[10] not in (32, 33))
    state, reason = struct.unpack_from("<I", data, len(data) - 16)[0], data[-4] + 256 * data[-3]
    return {
        "events": [slot.told() for slot in slots],
        "event_hash": hashlib.sha256(hashed).hexdigest(),
        "end": {"run_state": state, "reason": reason, "slots": len(data) // 64 - 1},
    }


def at(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def valid() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    every = every_kind()
    yield "valid/every_kind", (data := whole(every)), told(every, data)
    yield "valid/empty", (data := whole([])), told([], data)
    yield "valid/crashed", (data := whole(every[:4], state=3)), told(every[:4], data)
    yield "valid/error", (data := whole(every[:9], state=0, reason=3)), told(every[:9], data)
    deep = [slot for slot in every if slot.values[10] not in (32, 33)]
    yield "valid/without_depth", (data := whole(deep)), told(deep, data)
    for size in (1, 61, 62, 63, 124, 125):
        text = b'{"a":"' + b"x" * max(0, size - 8) + b'"}'
        text = text if len(text) == size else b"1" * size  # sizes below 8 hold no object: text only
        kind = 21 if text[:1] == b"{" else 4
        slots = [Slot((kind == 21, 1, -1, size, 0, 0, 0, -1, -1, 0, kind, 0), text)]
        yield f"valid/payload_{size}", (data := whole(slots)), told(slots, data)
    ancillary = Slot((0, 1, -1, 0, 0, 0, 0, -1, -1, 0, 200, 255)).packed()
    data = header() + ancillary + every[3].packed()
    yield (
        "valid/ancillary",
        data + end(data, seq=1),
        {
            **told([every[3]], whole([every[3]])),
            "end": {"run_state": 1, "reason": 0, "slots": len(data) // 64},
            # Whatever an ancillary slot is, it is in the hash of events.
            "event_hash": hashlib.sha256(ancillary + every[3].packed()).hexdigest(),
        },
    )


def invalid() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    every = every_kind()
    good = whole(every)
    size = len(good)
    first = len(header())
    yield "invalid/nothing", b"", error("no_header", 0)
    yield "invalid/magic", at(good, 0, b"PMEVv002"), error("bad_magic", 0)
    yield "invalid/no_header", good[first:], error("bad_magic", 0)
    yield "invalid/no_end", good[:-64], error("no_end", size - 64)
    yield "invalid/torn_end", good[:-1], error("torn_slot", size - 64)
    yield "invalid/torn_slot", good[: first + 30], error("torn_slot", first)
    yield "invalid/two_ends", good + good[-64:], error("after_end", size)
    yield "invalid/one_bit", at(good, size - 65 - 63, b"\x01"), error("bad_digest", size - 64)
    yield "invalid/payload_cut", good[: first + 64], error("no_end", first + 64)
    yield "invalid/payload_length", at(good, first + 24, b"\xff" * 8), error("bad_payload", first)
    yield (
        "invalid/payload_goes_on",
        at(good, first + 24, struct.pack("<q", 76)),
        error("bad_payload", first + 128),
    )
    yield (
        "invalid/continuation",
        at(good, first + 64 + 62, b"\x10"),
        error("bad_payload", first + 64),
    )
    tob = size - 128
    yield "invalid/kind", at(good, tob + 62, b"\x22"), error("bad_kind", tob)
    yield "invalid/header_again", at(good, tob + 62, b"\x01"), error("bad_kind", tob)
    yield "invalid/flags_state", at(good, tob + 63, b"\x06"), error("bad_flags", tob)
    yield "invalid/flags_settled", at(good, tob + 63, b"\x1a"), error("bad_flags", tob)
    yield "invalid/flags_undefined", at(good, tob + 63, b"\x22"), error("bad_flags", tob)
    yield "invalid/count", at(good, size - 12, b"\xfe"), error("bad_count", size - 64)
    yield "invalid/run_state", at(good, size - 16, b"\x09"), error("bad_kind", size - 64)


def error(kind: str, offset: int) -> dict[str, Any]:
    return {"error": {"kind": kind, "offset": offset}}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args(argv)
    wanted: dict[Path, bytes] = {}
    for name, data, facts in (*valid(), *invalid()):
        wanted[Path(f"{name}.pmev")] = data
        wanted[Path(f"{name}.json")] = (json.dumps(facts, indent=1) + "\n").encode()
    present = {path.relative_to(TARGET): path.read_bytes() for path in TARGET.glob("*/*")}
    differing = sorted(
        path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path)
    )
    if arguments.check:
        for path in differing:
            print(f"{path.as_posix()}: differs from what this program makes", file=sys.stderr)
        return 3 if differing else 0
    for path in differing:
        if path in wanted:
            (TARGET / path).parent.mkdir(parents=True, exist_ok=True)
            (TARGET / path).write_bytes(wanted[path])
        else:
            (TARGET / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
