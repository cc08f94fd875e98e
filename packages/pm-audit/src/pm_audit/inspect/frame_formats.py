"""A frame as text or bytes: a JSON line, its payload, a dump, a line of a table."""

import base64
import json
from collections.abc import Callable
from typing import Final

from pm_audit.inspect.chosen_frames import Chosen
from pm_audit.wall_clock import wall_text
from pm_frames.peek import peek

_ROW: Final = 16
_PRINTABLE: Final = bytes(byte if 32 <= byte < 127 else 0x2E for byte in range(256))


def as_ndjson(chosen: Chosen) -> bytes:
    """Return one JSON line; a payload that is not UTF-8 stands in `payload_base64` instead."""
    shard_id, ordinal, frame = chosen
    found = peek(frame.payload)
    record: dict[str, object] = {
        "shard": shard_id,
        "frame": ordinal,
        "offset": frame.offset,
        "rx_mono_ns": frame.rx_mono_ns,
        "rx_wall_ns_utc": frame.rx_wall_ns_utc,
        "flags": frame.flags,
        "event_types": found.event_types,
        "token_ids": found.token_ids,
    }
    try:
        record["payload"] = frame.payload.decode()
    except UnicodeDecodeError:
        record["payload_base64"] = base64.b64encode(frame.payload).decode()
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def as_raw(chosen: Chosen) -> bytes:
    """Return the payload, byte for byte, and a newline."""
    return chosen.frame.payload + b"\n"


def as_hex(chosen: Chosen) -> bytes:
    """Return a heading and the payload in rows of 16 bytes, with their offsets in the payload."""
    payload = chosen.frame.payload
    rows = [f"# {_heading(chosen)}"]
    for at in range(0, len(payload), _ROW):
        row = payload[at : at + _ROW]
        shown = row.translate(_PRINTABLE).decode("ascii")
        rows.append(f"{at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{shown}|")
    return "\n".join(rows).encode() + b"\n"


def as_line(chosen: Chosen) -> bytes:
    """Return one line for a person: where, when, what, how long; control characters never get through."""
    payload = chosen.frame.payload
    found = peek(payload)
    kinds = "keepalive" if found.keepalive else _counted(found.event_types) or "?"
    tokens = ", ".join(_short(token) for token in found.token_ids[:2])
    more = f" +{len(found.token_ids) - 2}" if len(found.token_ids) > 2 else ""
    text = f"{_heading(chosen):<44} {len(payload):>8}  {kinds:<24} {tokens}{more}"
    return "".join(c if c.isprintable() else "·" for c in text).rstrip().encode() + b"\n"


FORMATS: Final[dict[str, Callable[[Chosen], bytes]]] = {
    "ndjson": as_ndjson,
    "raw": as_raw,
    "hex": as_hex,
    "table": as_line,
}


def _heading(chosen: Chosen) -> str:
    frame = chosen.frame
    when = wall_text(frame.rx_wall_ns_utc)
    if when == "-":
        when = f"mono {frame.rx_mono_ns}"
    return f"{chosen.shard_id:02d}:{chosen.ordinal:<9} {when}"


def _counted(kinds: tuple[str, ...]) -> str:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(kind if n == 1 else f"{kind} ×{n}" for kind, n in counts.items())


def _short(token_id: str) -> str:
    return token_id if len(token_id) <= 12 else f"{token_id[:6]}…{token_id[-4:]}"
