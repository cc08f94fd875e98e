"""The writer of one shard: frames first, then their idx entries, nothing in between and nothing buffered.

`append` belongs to one thread (the event loop), `sync` may run in another. When `append` has returned, its
frames are in the kernel; when `sync` has returned n, the first n frames are on the device.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Sequence
from errno import EIO
from hashlib import sha256
from pathlib import Path
from typing import Final

from pm_frames.checksum import crc32
from pm_frames.errors import MissingFile, RunLocked, WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.frames import check_flags, check_stamps
from pm_frames.layout import CRITICAL_KNOWN, HEADER, IDX, MAGIC, PAYLOAD_MAX, Version

# Bytes that wait for `sync` to hash them; above this `append` hashes as fast as it adds.
UNHASHED_MAX: Final = 64 * 1024 * 1024
HASHED_AT_ONCE: Final = 1024 * 1024
_ENTRY_REST: Final = 8 + 4 + 4  # of an entry, what is no stamp: offset, length, crc
FLAGS_REFUSED: Final = ~(0xFF00 | CRITICAL_KNOWN)


class ShardWriter:
    """Appends frames to a new `shard_NN.frames` and entries to its `shard_NN.idx`."""

    def __init__(
        self,
        capture_dir: Path,
        shard_id: int,
        *,
        version: int = Version.V2,
        files: Files | None = None,
        payload_max: int = PAYLOAD_MAX,
    ) -> None:
        """Create both files durably in `capture_dir`, which exists.

        Raises `RunLocked` if either file exists (a shard is never appended to again), `MissingFile` if
        the directory does not, `WriteFailed` for any other refusal.
        """
        self.shard_id = shard_id
        self.version = Version(version)
        # What all frames of a read share, the head (magic, version) and the stamps, is packed once and put
        # into each as bytes: every value that need not be packed again is a tenth of what a frame costs.
        header, entry = HEADER[self.version], IDX[self.version]
        stamps_bytes = entry.size - _ENTRY_REST
        self._stamps = struct.Struct("<" + "Q" * (stamps_bytes // 8)).pack
        self._layout = (
            struct.Struct(f"<10sH{stamps_bytes}sII").pack,
            struct.Struct(f"<Q{stamps_bytes}sII").pack,
            struct.pack("<8sH", MAGIC[self.version], self.version),
            header.size,
        )
        self.frames_path = capture_dir / f"shard_{shard_id:02d}.frames"
        self.idx_path = capture_dir / f"shard_{shard_id:02d}.idx"
        self.payload_max = payload_max
        self.rx_mono_ns_first: int | None = None
        self.rx_mono_ns_last: int | None = None
        self.rx_wall_ns_utc_first: int | None = None
        self.rx_wall_ns_utc_last: int | None = None
        self._files: Files = OsFiles() if files is None else files
        self._written = (0, 0, 0)  # whole frames, bytes of .frames, bytes of .idx: one snapshot
        self._failure: WriteFailed | None = None
        self._owed = b""  # entries of whole frames that the system would not take
        self._closed = False
        self._durable = 0
        self._sync_failure: WriteFailed | None = None
        self._sync_lock = threading.Lock()
        self._hash_lock = threading.Lock()
        self._frames_digest = sha256()
        self._idx_digest = sha256()
        self._unhashed: deque[tuple[bytes, bytes]] = deque()
        self._hashed_bytes = 0
        self._create(capture_dir)

    @property
    def frames(self) -> int:
        """Whole frames in the .frames file."""
        return self._written[0]

    @property
    def frames_bytes(self) -> int:
        """Bytes of the whole frames in the .frames file."""
        return self._written[1]

    @property
    def idx_bytes(self) -> int:
        """Bytes of the whole entries in the .idx file."""
        return self._written[2]

    @property
    def durable_frames(self) -> int:
        """Frames that the last successful `sync` made durable."""
        return self._durable

    def append(
        self,
        frames: Sequence[tuple[int, bytes]],
        *,
        rx_mono_ns: int,
        rx_wall_ns_utc: int | None,
    ) -> None:
        """Write the (flags, payload) pairs that one socket read completed, all with the same stamps.

        One write of all frames, then one of all entries. Version 1 drops `rx_wall_ns_utc`. Raises
        ValueError, with nothing written, for a stamp below the last one or outside u64, or an undefined
        critical flag; `WriteFailed`, with nothing written, for a payload over the limit; and `WriteFailed`
        when the system refuses bytes: then the files have been cut back to whole frames and entries
        (as many as had been taken), and the writer takes no more.
        """
        data, index, end = self._encode(frames, rx_mono_ns, rx_wall_ns_utc)
        if not data:
            return
        count, _, idx_bytes = self._written
        taken, refusal = self._push(self._frames_fd, data)
        entries_taken = 0
        if refusal is None:
            entries_taken, refusal = self._push(self._idx_fd, index)
        if refusal is None:
            self._written = (count + len(frames), end, idx_bytes + len(index))
            self._unhashed.append((data, index))
        else:
            self._roll_back(frames, (data, taken), (index, entries_taken), refusal)
        if self._written[0] > count:
            if not count:
                self.rx_mono_ns_first = rx_mono_ns
                self.rx_wall_ns_utc_first = rx_wall_ns_utc
            self.rx_mono_ns_last = rx_mono_ns
            self.rx_wall_ns_utc_last = rx_wall_ns_utc
        if self._failure is not None:
            raise self._failure
        if end - self._hashed_bytes > UNHASHED_MAX:
            self._hash_some(2 * len(data))

    def sync(self) -> int:
        """Make what has been appended durable and return how many frames that is; any thread.

        Frames before idx, so that the idx is never ahead of them on the device. Raises `WriteFailed` at
        the first refusal and ever after: a failed sync must not be tried again, because the kernel
        forgets which pages it could not write.
        """
        with self._sync_lock:
            if self._sync_failure is not None:
                raise self._sync_failure
            if self._closed:
                return self._durable
            count = self._written[0]
            self._sync_file(self._frames_fd, self.frames_path)
            self._sync_file(self._idx_fd, self.idx_path)
            self._durable = count
        self._hash_some(None)
        return count

    def close(self) -> None:
        """Sync and close both files; `WriteFailed` if either is refused. Closing twice does nothing.

        Entries that a full disk has refused are tried once more: there may be room by now. After a failed
        sync nothing is synced, without another word: that failure has been raised.
        """
        if self._closed:
            return
        try:
            self._pay_owed()
            if self._sync_failure is None:
                self.sync()
        finally:
            self._close_files()

    def _close_files(self) -> None:
        refusals = []
        with self._sync_lock:
            self._closed = True
            for fd, path in ((self._frames_fd, self.frames_path), (self._idx_fd, self.idx_path)):
                try:
                    self._files.close(fd)
                except OSError as error:
                    refusals.append(self._failed(f"close failed: {error.strerror}", path))
        if refusals:
            self._failure = self._failure or refusals[0]
            raise refusals[0]

    def digests(self) -> tuple[str, str]:
        """Return the SHA-256 of both files in hexadecimal, without reading them again; after `close`."""
        if not self._closed:
            raise ValueError("digests are known after close()")
        self._hash_some(None)
        return self._frames_digest.hexdigest(), self._idx_digest.hexdigest()

    def _create(self, capture_dir: Path) -> None:
        for path in (self.frames_path, self.idx_path):
            if path.exists():
                raise RunLocked("exists; a shard is never appended to again", path=path)
        opened: list[int] = []
        try:
            for path in (self.frames_path, self.idx_path):
                opened.append(self._files.open_append(path))
                self._files.sync(opened[-1])
            self._files.sync_directory(capture_dir)
        except OSError as error:
            for fd in opened:
                self._files.close(fd)
            if isinstance(error, FileExistsError):
                raise RunLocked("exists; a shard is never appended to again", path=path) from error
            if isinstance(error, FileNotFoundError):
                raise MissingFile("no such directory", path=capture_dir) from error
            raise WriteFailed(
                f"cannot create: {error.strerror}", path=path, frames_whole=0, entries_whole=0
            ) from error
        self._frames_fd, self._idx_fd = opened

    def _encode(
        self, frames: Sequence[tuple[int, bytes]], mono: int, wall: int | None
    ) -> tuple[bytes, bytes, int]:
        """Return the frames and the entries as bytes, and the end of the file after them."""
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise ValueError(f"{self.frames_path}: the writer is closed")
        if self.rx_mono_ns_last is not None and mono < self.rx_mono_ns_last:
            raise ValueError(f"rx_mono_ns {mono} is before the last one, {self.rx_mono_ns_last}")
        pack_header, pack_entry, head, header_bytes = self._layout
        stamps = self._stamps(*check_stamps(self.version, mono, wall))
        payload_max = self.payload_max
        offset = self._written[1]
        parts: list[bytes] = []
        entries: list[bytes] = []
        for flags, payload in frames:
            length = len(payload)
            if flags & FLAGS_REFUSED or length > payload_max:
                self._check(flags, length, offset)
            crc = crc32(payload)
            parts += (pack_header(head, flags, stamps, length, crc), payload)
            entries.append(pack_entry(offset, stamps, length, crc))
            offset += header_bytes + length
        return b"".join(parts), b"".join(entries), offset

    def _check(self, flags: int, length: int, offset: int) -> None:
        check_flags(flags)
        refused = self._failed(
            "the payload is over the limit; nothing was written", self.frames_path
        )
        refused.offset, refused.expected, refused.found = offset, self.payload_max, length
        raise refused

    def _failed(self, message: str, path: Path) -> WriteFailed:
        frames, _, idx_bytes = self._written
        return WriteFailed(
            message,
            path=path,
            frames_whole=frames,
            entries_whole=idx_bytes // IDX[self.version].size,
        )

    def _push(self, fd: int, data: bytes) -> tuple[int, OSError | None]:
        """Write all of `data`; return the bytes that were taken and what stopped it, if anything did."""
        done = 0
        while done < len(data):
            try:
                taken = self._files.write(fd, memoryview(data)[done:] if done else data)
            except InterruptedError:
                continue
            except OSError as error:
                return done, error
            if taken <= 0:
                return done, OSError(EIO, "the system takes no bytes")
            done += taken
        return done, None

    def _roll_back(
        self,
        frames: Sequence[tuple[int, bytes]],
        data: tuple[bytes, int],
        index: tuple[bytes, int],
        refusal: OSError,
    ) -> None:
        """Cut both files to whole records; `data` and `index` come with the bytes that were taken.

        Whole frames are never thrown away, not even when their entries cannot be written: an idx can be
        rebuilt from frames, a frame from nothing.
        """
        count, start, idx_start = self._written
        entry_bytes = IDX[self.version].size
        kept, kept_bytes = whole_frames(frames, data[1], HEADER[self.version].size)
        entries_taken = index[1]
        torn = data[1] < len(data[0])
        path = self.frames_path if torn else self.idx_path
        refused_at = start + data[1] if torn else idx_start + entries_taken
        troubles = [refusal.strerror or str(refusal)]
        if torn:
            self._cut(self._frames_fd, start + kept_bytes, troubles)
            entries_taken, again = self._push(self._idx_fd, index[0][: kept * entry_bytes])
            if again is not None:
                troubles.append(f"idx: {again.strerror}")
        whole_idx = entries_taken - entries_taken % entry_bytes
        if whole_idx == entries_taken or self._cut(self._idx_fd, idx_start + whole_idx, troubles):
            self._owed = index[0][whole_idx : kept * entry_bytes]
        self._written = (count + kept, start + kept_bytes, idx_start + whole_idx)
        self._unhashed.append((data[0][:kept_bytes], index[0][:whole_idx]))
        failure = self._failed(
            f"write failed: {'; '.join(troubles)}; {count + kept} whole frames remain", path
        )
        failure.offset = refused_at
        failure.__cause__ = refusal
        self._failure = failure

    def _pay_owed(self) -> None:
        owed, self._owed = self._owed, b""
        if not owed:
            return
        taken, _ = self._push(self._idx_fd, owed)
        frames, frames_bytes, idx_bytes = self._written
        whole = taken - taken % IDX[self.version].size
        if whole < taken:
            self._cut(self._idx_fd, idx_bytes + whole, [])
        self._written = (frames, frames_bytes, idx_bytes + whole)
        self._unhashed.append((b"", owed[:whole]))

    def _cut(self, fd: int, size: int, troubles: list[str]) -> bool:
        try:
            self._files.truncate(fd, size)
        except OSError as error:
            troubles.append(f"torn bytes after {size} could not be cut off: {error.strerror}")
            return False
        return True

    def _sync_file(self, fd: int, path: Path) -> None:
        try:
            self._files.sync(fd)
        except OSError as error:
            self._sync_failure = self._failed(
                f"sync failed: {error.strerror}; {self._durable} frames are durable", path
            )
            self._failure = self._failure or self._sync_failure
            raise self._sync_failure from error

    def _hash_some(self, limit: int | None) -> None:
        """Fold waiting bytes into the digests, about `limit` of them, or all."""
        if not self._hash_lock.acquire(blocking=limit is None):
            return  # the other thread is at it
        try:
            waiting = self._unhashed
            hashed = 0
            while waiting and (limit is None or hashed < limit):
                batch = [waiting.popleft()]
                size = len(batch[0][0])
                # A large update releases the interpreter lock, small ones do not.
                while waiting and size < HASHED_AT_ONCE:
                    batch.append(waiting.popleft())
                    size += len(batch[-1][0])
                self._frames_digest.update(b"".join([data for data, _ in batch]))
                self._idx_digest.update(b"".join([index for _, index in batch]))
                hashed += size
                self._hashed_bytes += size
        finally:
            self._hash_lock.release()


def whole_frames(
    frames: Sequence[tuple[int, bytes]], taken: int, header_bytes: int
) -> tuple[int, int]:
    """Return how many of the frames the first `taken` bytes hold whole, and the bytes of those."""
    whole = 0
    for count, (_, payload) in enumerate(frames):
        if whole + header_bytes + len(payload) > taken:
            return count, whole
        whole += header_bytes + len(payload)
    return len(frames), whole
