"""Write the vectors of docs/spec/frames.md into testdata/frames, independently of pm_frames.

Bytes come from struct literals and zlib alone, and what a reader must report is written down by hand, in
the modules beside this one, so that an error in the codec cannot hide in its own test data. Each vector is
NAME.frames, NAME.idx and NAME.json. `--check` writes nothing and fails if the committed files differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from frame_vectors.invalid import damaged_files, whole_records
from frame_vectors.one_field import disagreements, headers, nested
from frame_vectors.records import Vector
from frame_vectors.torn import torn_ends, torn_frames
from frame_vectors.valid import valid

TARGET = Path(__file__).resolve().parent.parent / "testdata" / "frames"


def vectors() -> Iterator[Vector]:
    yield from valid()
    yield from nested()
    yield from whole_records()
    yield from damaged_files()
    for version in (1, 2):
        yield from headers(version)
        yield from disagreements(version)
        yield from torn_frames(version)
        yield from torn_ends(version)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args(argv)
    wanted: dict[Path, bytes] = {}
    for vector in vectors():
        for path, data in vector.files():
            if path in wanted:
                raise ValueError(f"{path} is made twice")
            wanted[path] = data
    present = {
        path.relative_to(TARGET): path.read_bytes()
        for path in TARGET.glob("*/*")
        if path.suffix in (".frames", ".idx", ".json")
    }
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
    print(f"{len(wanted)} files, {len(differing)} written or removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
