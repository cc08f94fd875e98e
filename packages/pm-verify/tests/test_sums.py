import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_verify.findings import Code
from pm_verify.sums import file_digest, read_sums
from pm_verify.verify import verify_run

DIGEST = "a" * 64


def test_lines_of_coreutils_are_read(tmp_path: Path) -> None:
    text = f"{DIGEST}  manifest.json\n{'b' * 64} *capture/shard_00.idx\n".encode()
    (tmp_path / "SHA256SUMS").write_bytes(text)
    sums = read_sums(tmp_path / "SHA256SUMS")
    assert sums.digests == {"manifest.json": DIGEST, "capture/shard_00.idx": "b" * 64}
    assert sums.bad_lines == ()
    assert sums.digest == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{DIGEST} manifest.json", "is not"),
        (f"{DIGEST.upper()}  manifest.json", "is not"),
        (f"{DIGEST[:-1]}  manifest.json", "is not"),
        (f"{DIGEST}  /etc/passwd", "outside"),
        (f"{DIGEST}  ../manifest.json", "outside"),
        (f"{DIGEST}  capture\\shard_00.idx", "outside"),
        (f"{DIGEST}  runlog.ndjson", "second time"),
    ],
)
def test_bad_line_is_told_with_its_offset(tmp_path: Path, line: str, reason: str) -> None:
    good = f"{DIGEST}  runlog.ndjson\n"
    (tmp_path / "SHA256SUMS").write_text(good + line + "\n", newline="")
    sums = read_sums(tmp_path / "SHA256SUMS")
    (bad,) = sums.bad_lines
    assert (bad.number, bad.offset) == (2, len(good))
    assert reason in bad.reason
    assert sums.digests == {"runlog.ndjson": DIGEST}


def test_file_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert file_digest(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_removed_and_added_files_are_found(sealed_run: Path) -> None:
    (sealed_run / "metrics" / "global.ndjson").rename(sealed_run / "metrics" / "shard_00.ndjson")
    report = verify_run(sealed_run)
    found = {(finding.code, finding.file) for finding in report.findings}
    assert found == {
        (Code.LISTED_FILE_MISSING, "metrics/global.ndjson"),
        (Code.FILE_UNLISTED, "metrics/shard_00.ndjson"),
    }
    assert report.exit_code == 4


def test_later_reports_and_notes_are_nobodys_business(sealed_run: Path) -> None:
    for name in ("latency_report.json", "latency_report.txt", "notes.txt"):
        (sealed_run / name).write_text("later")
    assert verify_run(sealed_run).ok


def test_sums_of_a_run_that_was_killed_before_its_seal_are_used(
    build_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "run")
    (run / "seal.json").unlink()
    assert set(verify_run(run).counts) == {Code.UNSEALED}
    with (run / "metrics" / "global.ndjson").open("ab") as file:
        file.write(b"{}\n")
    assert set(verify_run(run).counts) == {Code.UNSEALED, Code.FILE_DIGEST}


def test_sealed_run_without_sums(sealed_run: Path) -> None:
    (sealed_run / "SHA256SUMS").unlink()
    report = verify_run(sealed_run)
    assert set(report.counts) == {Code.SUMS_MISSING}
    assert report.exit_code == 4
