"""What can be wrong with a run bundle, as exceptions that name the file, the offset and both values.

One root, `BundleError`; a leaf is a decision that a caller can take. Every error carries `path`, `offset`
(bytes from the start of that file), `expected` and `found`, each None where it does not apply, and
`exit_code`, what a command returns for it. Misuse by the calling code (a negative stamp, an undefined
flag) is `ValueError`, never one of these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar


def _restore(
    kind_of_error: type[BundleError], args: tuple[object, ...], state: dict[str, Any]
) -> BundleError:
    error = kind_of_error.__new__(kind_of_error)
    error.args = args
    error.__dict__.update(state)
    return error


def shown(value: object, *, hexadecimal: bool = False) -> str:
    """Return a value as an error message shows it: checksums in hexadecimal, long bytes cut."""
    if hexadecimal and isinstance(value, int):
        return f"{value:#010x}"
    if isinstance(value, bytes) and len(value) > 16:
        return f"{value[:16]!r}… ({len(value)} bytes)"
    return repr(value) if isinstance(value, bytes) else str(value)


class BundleError(Exception):
    """Root of everything that can be wrong with a bundle."""

    exit_code: ClassVar[int] = 4

    def __init__(
        self,
        message: str,
        *,
        path: Path | None = None,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        parts = []
        if self.path is not None:
            parts.append(f"{self.path}: ")
        if self.offset is not None:
            parts.append(f"offset {self.offset}: ")
        parts.append(str(self.args[0]))
        as_hex = "crc" in getattr(self, "kind", "")
        values = [
            f"{name} {shown(value, hexadecimal=as_hex)}"
            for name, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        if values:
            parts.append(f" ({', '.join(values)})")
        return "".join(parts)

    # Keyword-only attributes do not survive the default pickling of exceptions, and errors cross
    # process pools.
    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class MissingFile(BundleError):
    """A run directory, or a file that it must have, is not there."""

    exit_code = 2


class Corruption(BundleError):
    """Bytes are not as they must be; `kind` is a stable word for how."""

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        path: Path | None = None,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        super().__init__(message, path=path, offset=offset, expected=expected, found=found)
        self.kind = kind


class CorruptFrame(Corruption):
    """The bytes at `offset` of a .frames file are not a whole, sound frame."""


class UnsupportedFormat(CorruptFrame):
    """A frame of a version, or with a critical flag, that this reader does not know.

    Damage and a newer writer look alike here, so it is a `CorruptFrame` too: kind `bad_version` or
    `unknown_flags`.
    """


class CorruptIndex(Corruption):
    """An .idx file is torn, too short, too long, or disagrees with its .frames file at `ordinal`."""

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        ordinal: int | None = None,
        path: Path | None = None,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        super().__init__(
            message, kind=kind, path=path, offset=offset, expected=expected, found=found
        )
        self.ordinal = ordinal


class RunLocked(BundleError):
    """Another process holds the run, or what should be new exists already."""

    exit_code = 2


class WriteFailed(BundleError):
    """The operating system refused a write or a sync; the writer takes no more.

    `frames_whole` and `entries_whole` are the whole frames and idx entries that the files hold now
    (None where the error has nothing to do with a shard).
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        path: Path | None = None,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
        frames_whole: int | None = None,
        entries_whole: int | None = None,
    ) -> None:
        super().__init__(message, path=path, offset=offset, expected=expected, found=found)
        self.frames_whole = frames_whole
        self.entries_whole = entries_whole


class CorruptArchive(BundleError):
    """A `.frames.zst` file cannot be decompressed, or its seek table is not as it must be."""


class MissingLibrary(BundleError):
    """A library of one of the extras is needed, and not installed: zstd, or numpy for columns."""

    exit_code = 2
