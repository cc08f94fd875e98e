"""The one place where the bytes of a shard's files are opened for reading forwards."""

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple


class ShardBytes(NamedTuple):
    """A file of a shard, read forwards from its beginning, and its size when it was opened."""

    file: BinaryIO
    size: int


def open_shard_bytes(path: Path) -> ShardBytes:
    """Open a .frames or .idx file. Raises OSError."""
    file = path.open("rb")
    return ShardBytes(file, os.fstat(file.fileno()).st_size)
