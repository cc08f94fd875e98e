"""Reading a file forwards, and taking its SHA-256 on the way."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from pm_frames.errors import CorruptArchive
from pm_verify.opening import ShardBytes

DRAIN_BYTES: Final = 1 << 20
# SHA-256 takes longer than everything else that is done with a byte, and runs beside it: the digest of
# one block is taken while the next is read and judged. Small files are not worth a thread.
THREADED_BYTES_MIN: Final = 8 << 20


class Reader:
    """A file read forwards once, hashed if asked; `read` is that of a binary file.

    `tell` is told how many bytes each read has brought, for whoever shows progress. An archive that cannot be
    read any further ends there, and `damage` says why; there is no digest then.
    """

    def __init__(
        self, source: ShardBytes, *, hashing: bool, tell: Callable[[int], None] | None = None
    ) -> None:
        self._file = source.file
        self._tell = tell
        self._running = hashlib.sha256() if hashing else None
        large = hashing and source.size >= THREADED_BYTES_MIN
        self._thread = ThreadPoolExecutor(max_workers=1) if large else None
        self._under_way: Future[None] | None = None
        self.damage: CorruptArchive | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        self._file.close()

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer than `size` only at the end of the file."""
        if self.damage is not None:
            return b""
        try:
            data = self._file.read(size)
        except CorruptArchive as error:
            self.damage = error
            return b""
        if self._tell is not None:
            self._tell(len(data))
        if self._running is None:
            return data
        if self._thread is None:
            self._running.update(data)
            return data
        # Never more than one block waits, so memory stays bounded.
        self._finish()
        self._under_way = self._thread.submit(self._running.update, data)
        return data

    def digest(self) -> str | None:
        """Read what is left and return the digest of the whole file, None if it was not asked for."""
        if self._running is None:
            return None
        while self.read(DRAIN_BYTES):
            pass
        self._finish()
        return None if self.damage else self._running.hexdigest()

    def _finish(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None
