"""SHA256SUMS: the digests under which a sealed run was closed, in the format of coreutils."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pm_verify.documents import DOCUMENT_BYTES_MAX, open_file

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of SHA256SUMS that does not say what a file's digest is."""

    number: int
    offset: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sums:
    """What SHA256SUMS says, and its own digest. `problem` tells why it could not be read."""

    present: bool
    digests: Mapping[str, str] = field(default_factory=dict)
    bad_lines: tuple[BadLine, ...] = ()
    digest: str | None = None
    problem: str | None = None


def read_sums(path: Path) -> Sums:
    """Read SHA256SUMS. Never raises for what the file holds."""
    try:
        with open_file(path) as file:
            data = file.read(DOCUMENT_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Sums(present=False)
    except OSError as error:
        return Sums(present=True, problem=f"cannot be read: {error.strerror}")
    digest = hashlib.sha256(data).hexdigest()
    if len(data) > DOCUMENT_BYTES_MAX:
        return Sums(present=True, problem=f"is larger than {DOCUMENT_BYTES_MAX} bytes")
    digests: dict[str, str] = {}
    bad_lines: list[BadLine] = []
    offset = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line:
            text = line.decode("utf-8", errors="replace")
            match = _LINE.fullmatch(text)
            reason = _complaint(match, digests)
            if match and reason is None:
                digests[match[2]] = match[1]
            else:
                bad_lines.append(BadLine(number, offset, text[:200], reason or "is no sum"))
        offset += len(line) + 1
    return Sums(present=True, digests=digests, bad_lines=tuple(bad_lines), digest=digest)


def _complaint(match: re.Match[str] | None, seen: Mapping[str, str]) -> str | None:
    if match is None:
        return "is not `<64 hex digits>  <path>`"
    path = PurePosixPath(match[2])
    if path.is_absolute() or ".." in path.parts or "\\" in match[2]:
        return "names a path outside the bundle"
    if match[2] in seen:
        return "names a path for the second time"
    return None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in bounded memory. Raises OSError."""
    running = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(_BLOCK_BYTES):
            running.update(block)
    return running.hexdigest()
