import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_verify.checks.seal import self_digest
from pm_verify.findings import Code
from pm_verify.verify import verify_run


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a seal and give it the digest of what it says now, as a wrong writer would."""
    path = run / "seal.json"
    values = json.loads(path.read_text())
    change(values)
    values["seal_sha256"] = self_digest(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("key", ["frames", "frames_bytes", "idx_bytes", "rx_mono_ns_last"])
def test_wrong_count_of_a_shard(sealed_run: Path, key: str) -> None:
    def change(values: dict[str, Any]) -> None:
        values["shards"]["0"][key] += 1

    rewrite(sealed_run, change)
    report = verify_run(sealed_run)
    assert set(report.counts) == {Code.SEAL_DISAGREES}
    finding = report.findings[0]
    assert (finding.shard, finding.file) == (0, "seal.json")
    assert f"{key} of shard 0" in finding.message
    assert isinstance(finding.found, int)
    assert finding.expected == finding.found + 1


@pytest.mark.parametrize(
    ("key", "value"), [("frames_total", 3), ("bytes_total", 3), ("stop_reason", "other")]
)
def test_wrong_total(sealed_run: Path, key: str, value: object) -> None:
    rewrite(sealed_run, lambda values: values.update({key: value}))
    report = verify_run(sealed_run)
    assert [finding.code for finding in report.findings] == [Code.SEAL_DISAGREES]
    assert report.findings[0].expected == value


def test_shard_that_the_seal_does_not_know(sealed_run: Path) -> None:
    rewrite(sealed_run, lambda values: values["shards"].pop("1"))
    counts = verify_run(sealed_run).counts
    assert counts == {Code.SEAL_DISAGREES: 3}  # the shard, and both totals


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("closed_mono_ns"),
        lambda values: values.update(frames_total="9"),
        lambda values: values.update(run_id=None),
        lambda values: values.update(shards=[]),
        lambda values: values["shards"].update({"01": {}}),
        lambda values: values["shards"].update({"9" * 5000: {}}),
        lambda values: values["shards"]["0"].pop("rx_mono_ns_first"),
        lambda values: values["shards"]["0"].update(more=1),
    ],
)
def test_seal_of_another_shape_is_damaged(
    sealed_run: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    rewrite(sealed_run, change)
    report = verify_run(sealed_run)
    assert Code.SEAL_DAMAGED in report.counts
    assert report.exit_code == 4


def test_newer_seal_is_refused(sealed_run: Path) -> None:
    rewrite(sealed_run, lambda values: values.update(seal_version=2))
    assert set(verify_run(sealed_run).counts) == {Code.SEAL_UNSUPPORTED}


def test_seal_of_another_run(sealed_run: Path) -> None:
    rewrite(sealed_run, lambda values: values.update(run_id="other"))
    assert set(verify_run(sealed_run).counts) == {Code.RUN_ID_DISAGREES}


def test_own_digest_protects_what_nothing_else_states(sealed_run: Path) -> None:
    path = sealed_run / "seal.json"
    values = json.loads(path.read_text())
    values["closed_wall_ns_utc"] += 1
    path.write_text(json.dumps(values))
    assert set(verify_run(sealed_run).counts) == {Code.SEAL_SELF_DIGEST}


def test_without_own_digest_nothing_protects_a_seal(sealed_run: Path) -> None:
    path = sealed_run / "seal.json"
    values = json.loads(path.read_text())
    del values["seal_sha256"]
    path.write_text(json.dumps(values))
    report = verify_run(sealed_run)
    assert set(report.counts) == {Code.SEAL_DAMAGED}
    assert report.exit_code == 4


def test_a_key_of_a_newer_writer_is_protected_and_allowed(sealed_run: Path) -> None:
    rewrite(sealed_run, lambda values: values.update(future=1))
    assert verify_run(sealed_run).ok


def test_seal_says_another_digest_of_the_sums(sealed_run: Path) -> None:
    with (sealed_run / "SHA256SUMS").open("ab") as file:
        file.write(b"\n")
    report = verify_run(sealed_run)
    assert set(report.counts) == {Code.SUMS_DIGEST}
    assert report.exit_code == 4
