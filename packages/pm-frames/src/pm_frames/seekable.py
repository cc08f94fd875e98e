"""The seekable zstd format: independent frames, and at the end of the file a table of their sizes.

Any zstd tool reads such a file as a whole; this reads it at any offset. The table is a skippable frame that
other readers pass over (zstd, contrib/seekable_format/zstd_seekable_compression_format.md). zstd comes from
Python 3.14's standard library or from `zstandard`, and is looked for only when something is compressed.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from importlib import import_module
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from pm_frames.errors import CorruptArchive, MissingFile, MissingLibrary

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_MAX: Final = 128 << 20  # bytes that one frame may decompress to; more is refused unread
LEVEL: Final = 9
SKIPPABLE: Final = 0x184D2A5E
TABLE_MAGIC: Final = 0x8F92EAB1
CHECKSUMS: Final = 0x80  # bit of the descriptor: entries have a checksum too
RESERVED: Final = 0x7C

_HEADER: Final = Struct("<II")
_ENTRY: Final = Struct("<II")
_FOOTER: Final = Struct("<IBI")


class Codec(Protocol):
    """Compression of one frame; frames carry a checksum of their content."""

    def compress(self, data: bytes, level: int) -> bytes: ...

    def decompress(self, data: bytes, size: int) -> bytes:
        """Return exactly `size` bytes, or raise ValueError, never holding more."""


class _Standard:
    """`compression.zstd` of Python 3.14."""

    def __init__(self) -> None:
        self._zstd: Any = import_module("compression.zstd")

    def compress(self, data: bytes, level: int) -> bytes:
        names = self._zstd.CompressionParameter
        options = {names.compression_level: level, names.checksum_flag: 1}
        return bytes(self._zstd.compress(data, options=options))

    def decompress(self, data: bytes, size: int) -> bytes:
        try:
            found = bytes(self._zstd.ZstdDecompressor().decompress(data, max_length=size + 1))
        except self._zstd.ZstdError as error:
            raise ValueError(str(error)) from error
        return _exactly(found, size)


class _Zstandard:
    """The library `zstandard`."""

    def __init__(self) -> None:
        self._zstd: Any = import_module("zstandard")

    def compress(self, data: bytes, level: int) -> bytes:
        return bytes(self._zstd.ZstdCompressor(level=level, write_checksum=True).compress(data))

    def decompress(self, data: bytes, size: int) -> bytes:
        # Read as a stream: what a damaged frame states of its own size is never allocated.
        with self._zstd.ZstdDecompressor().stream_reader(data) as reader:
            try:
                found = bytes(reader.read(size + 1))
            except self._zstd.ZstdError as error:
                raise ValueError(str(error)) from error
        return _exactly(found, size)


def _exactly(found: bytes, size: int) -> bytes:
    if len(found) != size:
        raise ValueError(f"does not hold {size} bytes")
    return found


def codec() -> Codec:
    """Return the first library that is there; raise `MissingLibrary` if none is."""
    for kind in (_Standard, _Zstandard):
        try:
            return kind()
        except ImportError:
            continue
    raise MissingLibrary("zstd is missing: pip install 'pm-frames[zstd]' (or use Python 3.14)")


def table(sizes: list[tuple[int, int]]) -> bytes:
    """Return the seek table for frames of (compressed, decompressed) bytes, in order."""
    entries = b"".join([_ENTRY.pack(*pair) for pair in sizes])
    footer = _FOOTER.pack(len(sizes), 0, TABLE_MAGIC)
    return _HEADER.pack(SKIPPABLE, len(entries) + len(footer)) + entries + footer


class SeekableReader(RawIOBase):
    """What was compressed, as a file that can be read anywhere; one frame of it is held.

    Raises `MissingFile`, `MissingLibrary`, and `CorruptArchive` with the offset in the compressed file,
    at once for the table, when it is read for a frame.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` and read its table; 16 bytes of memory for each frame."""
        super().__init__()
        self._path = path
        self._codec = codec()
        try:
            self._file = open(path, "rb", buffering=0)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise MissingFile("no such file", path=path) from error
        # Where each frame begins, and after the last one where it ends, on both sides.
        self._there, self._here = array("Q", [0]), array("Q", [0])
        try:
            self._read_table()
        except BaseException:
            self._file.close()
            raise
        self._chunk = -1
        self._data = b""
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes of what was compressed."""
        return self._here[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill from one frame; fewer bytes than asked for where that ends."""
        if self._position >= self.size:
            return 0
        chunk = bisect_right(self._here, self._position) - 1
        if chunk != self._chunk:
            self._data = self._decompressed(chunk)
            self._chunk = chunk
        with memoryview(buffer).cast("B") as target:
            start = self._position - self._here[chunk]
            part = self._data[start : start + len(target)]
            target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        super().close()

    def _decompressed(self, chunk: int) -> bytes:
        start, end = self._there[chunk], self._there[chunk + 1]
        data = self._bytes(start, end - start)
        try:
            return self._codec.decompress(data, self._here[chunk + 1] - self._here[chunk])
        except ValueError as error:
            raise CorruptArchive(
                f"frame {chunk}: {error}", path=self._path, offset=start
            ) from error

    def _bytes(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        parts = []
        while length:
            part = self._file.read(length)
            if not part:
                raise CorruptArchive("the file ends too early", path=self._path, offset=offset)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _read_table(self) -> None:
        whole = self._file.seek(0, SEEK_END)
        footer_at = whole - _FOOTER.size
        if footer_at < _HEADER.size:
            raise CorruptArchive("too short for a seek table", path=self._path, offset=0)
        count, descriptor, magic = _FOOTER.unpack(self._bytes(footer_at, _FOOTER.size))
        if magic != TABLE_MAGIC or descriptor & RESERVED:
            raise CorruptArchive(
                "no seek table at the end", path=self._path, offset=footer_at,
                expected=f"{TABLE_MAGIC:#010x}", found=f"{magic:#010x}",
            )  # fmt: skip
        size = _ENTRY.size + (4 if descriptor & CHECKSUMS else 0)
        start = footer_at - count * size - _HEADER.size
        header = _HEADER.unpack(self._bytes(start, _HEADER.size)) if start >= 0 else ()
        if header != (SKIPPABLE, count * size + _FOOTER.size):
            raise CorruptArchive(
                "the seek table is not the skippable frame that it must be",
                path=self._path,
                offset=max(start, 0),
            )
        entries = self._bytes(start + _HEADER.size, count * size)
        for at in range(0, len(entries), size):
            compressed, decompressed = _ENTRY.unpack_from(entries, at)
            if decompressed > CHUNK_MAX:
                raise CorruptArchive(
                    "a frame is too large", path=self._path, offset=start + _HEADER.size + at,
                    expected=CHUNK_MAX, found=decompressed,
                )  # fmt: skip
            self._there.append(self._there[-1] + compressed)
            self._here.append(self._here[-1] + decompressed)
        if self._there[-1] != start:
            raise CorruptArchive(
                "the frames of the seek table do not end where it begins",
                path=self._path,
                offset=start,
                expected=start,
                found=self._there[-1],
            )
