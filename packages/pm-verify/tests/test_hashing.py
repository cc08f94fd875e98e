import hashlib
from pathlib import Path

import pytest

from pm_verify import hashing
from pm_verify.hashing import Reader
from pm_verify.opening import open_shard_bytes


@pytest.mark.parametrize("threshold", [0, 1 << 30])
@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_digest_is_of_the_whole_file_however_far_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: int, size: int
) -> None:
    monkeypatch.setattr(hashing, "THREADED_BYTES_MIN", threshold)
    data = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "file").write_bytes(data[:size])
    for read in (0, 1, 700, 2_000_000):
        with Reader(open_shard_bytes(tmp_path / "file"), hashing=True) as reader:
            assert reader.read(read) == data[: min(read, size)]
            assert reader.read(10) == data[min(read, size) : min(read + 10, size)]
            assert reader.digest() == hashlib.sha256(data[:size]).hexdigest()


def test_nothing_is_hashed_unasked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with Reader(open_shard_bytes(tmp_path / "file"), hashing=False) as reader:
        assert reader.digest() is None
        assert reader.read(10) == b"x"
