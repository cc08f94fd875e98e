"""SHA256SUMS and seal.json."""

import hashlib
import json
from pathlib import Path

import pytest

from pm_capture.seal import seal, sums
from pm_frames import ShardWriter
from pm_frames.files import OsFiles


def test_sums_are_in_coreutils_form_and_sorted() -> None:
    assert sums({"b/x": "2" * 64, "a": "1" * 64}) == (f"{'1' * 64}  a\n{'2' * 64}  b/x\n".encode())


def shard(capture_dir: Path) -> ShardWriter:
    writer = ShardWriter(capture_dir, 0)
    writer.append([(1, b"x"), (1, b"yz")], rx_mono_ns=5, rx_wall_ns_utc=50)
    writer.append([(1, b"")], rx_mono_ns=7, rx_wall_ns_utc=49)
    writer.close()
    return writer


def test_the_seal_counts_and_binds_the_sums(tmp_path: Path) -> None:
    seal(
        tmp_path,
        run_id="r",
        stop_reason="SIGINT",
        closed=(9, 90),
        digests={"manifest.json": "0" * 64},
        shards=[shard(tmp_path)],
    )
    text = (tmp_path / "SHA256SUMS").read_bytes()
    sealed = json.loads((tmp_path / "seal.json").read_text())
    # Nothing else states the closing stamps: a digest of the seal's own content protects them.
    stated = sealed.pop("seal_sha256")
    canonical = json.dumps(sealed, sort_keys=True, separators=(",", ":"))
    assert stated == hashlib.sha256(canonical.encode()).hexdigest()
    assert sealed == {
        "seal_version": 1,
        "run_id": "r",
        "stop_reason": "SIGINT",
        "closed_wall_ns_utc": 90,
        "closed_mono_ns": 9,
        "sha256sums_sha256": hashlib.sha256(text).hexdigest(),
        "frames_total": 3,
        "bytes_total": 111,
        "shards": {
            "0": {
                "frames": 3,
                "frames_bytes": 111,
                "idx_bytes": 96,
                "rx_mono_ns_first": 5,
                "rx_mono_ns_last": 7,
                "rx_wall_ns_utc_first": 50,
                "rx_wall_ns_utc_last": 49,
            }
        },
    }


class NoSeal(OsFiles):
    def replace(self, source: Path, target: Path) -> None:
        if target.name == "seal.json":
            raise OSError(28, "No space left on device")
        super().replace(source, target)


def test_a_seal_that_cannot_be_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        seal(
            tmp_path, run_id="r", stop_reason="x", closed=(1, 1), digests={}, shards=[],
            files=NoSeal(),
        )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"SHA256SUMS"}
