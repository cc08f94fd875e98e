"""The layouts are those of docs/spec/frames.md, down to the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pm_frames.layout import (
    CRITICAL_KNOWN,
    CRITICAL_UNKNOWN,
    HEADER,
    IDX,
    MAGIC,
    PAYLOAD_MAX,
    Flag,
    Version,
    header_size,
    idx_size,
)

ROOT = Path(__file__).resolve().parents[3]
SPEC = ROOT / "docs" / "spec" / "frames.md"
WIDTHS = {"8 bytes": "8s", "u16": "H", "u32": "I", "u64": "Q"}


def section(title: str, following: str) -> str:
    return SPEC.read_text(encoding="utf-8").split(f"## {title}")[1].split(f"## {following}")[0]


@pytest.mark.parametrize(
    ("title", "following", "layouts"),
    [("1. Frame header", "2. ", HEADER), ("2. Idx entry", "3. ", IDX)],
    ids=["header", "idx"],
)
def test_tables_are_the_struct_formats(
    title: str, following: str, layouts: dict[Version, object]
) -> None:
    text = section(title, following)
    for version, part in zip(
        (2, 1), re.split(r"^Version 1, ", text, flags=re.MULTILINE), strict=True
    ):
        rows = re.findall(r"^\| (\d+)–(\d+) \| `(\w+)` \| ([\w ]+) \|", part, flags=re.MULTILINE)
        place = 0
        layout = "<"
        for first, last, _, kind in rows:
            assert int(first) == place
            place = int(last) + 1
            layout += WIDTHS[kind]
        struct = layouts[Version(version)]
        assert getattr(struct, "format", None) == layout
        assert getattr(struct, "size", None) == place


def test_sizes() -> None:
    assert [header_size(version) for version in (1, 2)] == [28, 36]
    assert [idx_size(version) for version in (1, 2)] == [24, 32]
    assert MAGIC == {Version.V1: b"PMCAPv01", Version.V2: b"PMCAPv02"}
    assert f"{PAYLOAD_MAX:,} (64 MiB)" in section("4. Limits", "5. ")


def test_flags() -> None:
    text = section("3. Flags", "4. ")
    rows = re.findall(r"^\| `(0x\w{4})` \| (\w+) \|", text, flags=re.MULTILINE)
    assert {name: int(value, 16) for value, name in rows} == {
        flag.name: flag.value for flag in Flag
    }
    critical = sum(flag for flag in Flag if flag < 0x100)
    assert critical == CRITICAL_KNOWN
    assert CRITICAL_KNOWN | CRITICAL_UNKNOWN == 0xFF


def test_the_example_is_the_vector() -> None:
    text = section("9. An example", "10. ")
    vector = ROOT / "testdata" / "frames" / "valid" / "v2-three-frames"
    dumps = re.findall(r"^\$ xxd -l (\d+) \S+\.(\w+)\n((?:\w{8}: .*\n)+)", text, re.MULTILINE)
    assert len(dumps) == 2
    for length, suffix, lines in dumps:
        shown = "".join(line[10:49].replace(" ", "") for line in lines.splitlines())
        assert bytes.fromhex(shown) == vector.with_suffix(f".{suffix}").read_bytes()[: int(length)]
    data = vector.with_suffix(".frames").read_bytes()
    for offset, content in re.findall(r"^\| (\d+) \| `([0-9a-f]+)` \|", text, re.MULTILINE):
        assert data[int(offset) :].startswith(bytes.fromhex(content))
