"""JSON documents of a bundle, read without ever raising: what is wrong with one is evidence too."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

# A manifest of 20,000 tokens has about 4 MB; anything far above is not ours and must not fill memory.
DOCUMENT_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, or the reason why there is none.

    `problem` is None for a good document and for one that is not there (`present` is False).
    """

    name: str
    present: bool
    values: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Return whether `values` are what the file says."""
        return self.present and self.problem is None

    def integer(self, key: str) -> int | None:
        """Return an integer value, or None when the key is missing or holds something else."""
        return as_integer(self.values.get(key))

    def text(self, key: str) -> str | None:
        """Return a text value, or None when the key is missing or holds something else."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def mapping(self, key: str) -> Mapping[str, object]:
        """Return an object value, or an empty one."""
        return as_mapping(self.values.get(key))


def as_integer(value: object) -> int | None:
    """Return `value` if it is an integer; JSON's true is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_mapping(value: object) -> Mapping[str, object]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def open_file(path: Path) -> BinaryIO:
    """Open a file that was said to be data. Raises OSError, also for a pipe, which would block."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_document(run_dir: Path, name: str) -> Document:
    """Read the JSON object in `run_dir / name`. Never raises for what the file holds."""
    path = run_dir / name
    try:
        with open_file(path) as file:
            data = file.read(DOCUMENT_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Document(name, present=False)
    except OSError as error:
        return Document(name, present=True, problem=f"cannot be read: {error.strerror}")
    if len(data) > DOCUMENT_BYTES_MAX:
        return Document(name, present=True, problem=f"is larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        values = decode_object(data)
    except ValueError as error:
        return Document(name, present=True, problem=str(error))
    return Document(name, present=True, values=values)


def decode_object(data: bytes) -> dict[str, object]:
    """Decode one JSON object. Raises ValueError, also for nesting that no writer of ours makes."""
    try:
        values = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"is a JSON {type(values).__name__}, not an object")
    return values
