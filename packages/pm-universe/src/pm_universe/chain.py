"""Read the generations of a universe from a file or from the `universe/` of a run."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from .errors import BadGeneration, BrokenChain, MissingGeneration
from .generation import Delta, Since, decode_generation, fold
from .universe_file import UniverseFile

# At least six digits, as in a run bundle.
_NAME = re.compile(r"(?:[0-9]{6}|[1-9][0-9]{6,17})\.json\Z")


def generation_files(path: Path) -> list[Path]:
    """Return the files of a chain, oldest first: of a directory, or of a run; a file is its own.

    Raises:
        MissingGeneration: there is none, or the directory cannot be read.

    """
    # Not `Path.is_dir`: for a name that is too long, say, that raises.
    if not os.path.isdir(path):
        return [path]
    inner = path / "universe"
    directory = inner if inner.is_dir() else path
    try:
        files = [each for each in directory.iterdir() if _NAME.match(each.name)]
    except OSError as error:
        raise MissingGeneration(directory, f"cannot be read: {error.strerror or error}") from error
    if not files:
        raise MissingGeneration(directory, "holds no universe generation (000000.json, ...)")
    return sorted(files, key=lambda each: int(each.stem))


def read_generations(files: Sequence[Path]) -> Iterator[tuple[UniverseFile | Delta, str]]:
    """Yield each generation with the sha256 of its file.

    Raises:
        MissingGeneration: a file is not there or cannot be read.
        BadGeneration: a file is no generation.

    """
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MissingGeneration(path, f"cannot be read: {error.strerror or error}") from error
        try:
            generation = decode_generation(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadGeneration(path, f"is no universe generation: {error}") from None
        yield generation, hashlib.sha256(content).hexdigest()


def read_since(path: Path) -> Since:
    """Return the universe that the generations at `path` fold into.

    Raises:
        MissingGeneration: nothing is there.
        BadGeneration: what is there is no chain of generations.

    """
    files = generation_files(path)
    read = list(read_generations(files))
    try:
        universe = fold(generation for generation, _ in read)
    except BrokenChain as error:
        if files == [path]:
            raise BadGeneration(
                path, f"expected a full universe (or a directory of generations): {error}"
            ) from None
        raise BadGeneration(path, f"is no chain of generations: {error}") from None
    return Since(universe, read[-1][1])
