import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames import BundleError, open_bundle
from pm_frames.provenance import EmitWindow, Parent, read_provenance

SLICE: dict[str, Any] = {
    "slice_version": 1,
    "slice_id": "noon",
    "emit_from_mono_ns": 100,
    "emit_before_mono_ns": 200,
    "ancestors": [
        {"run_id": "monday", "slice_id": None, "state": "ended", "seal_sha256": "ab"},
        {"run_id": "monday", "slice_id": "day", "state": "ended", "seal_sha256": None},
    ],
}


def written(path: Path, **changes: object) -> Path:
    document = {key: value for key, value in (SLICE | changes).items() if value is not ...}
    (path / "slice.json").write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_bundle_without_the_file_is_no_slice(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) is None
    assert open_bundle(tmp_path, empty_ok=True).emit_window is None


def test_what_the_file_says(tmp_path: Path) -> None:
    bundle = open_bundle(written(tmp_path), empty_ok=True)
    assert bundle.emit_window == (100, 200)
    assert bundle.provenance is not None
    assert bundle.provenance.slice_id == "noon"
    assert bundle.provenance.origin == Parent("monday", None, "ended", "ab")
    assert bundle.provenance.parent == Parent("monday", "day", "ended", None)
    assert bundle.provenance.document == SLICE


def test_a_window_holds_its_start_and_not_its_end(tmp_path: Path) -> None:
    assert [EmitWindow(100, 200).holds(at) for at in (99, 100, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]
    bundle = open_bundle(written(tmp_path, emit_before_mono_ns=None), empty_ok=True)
    assert bundle.emit_window is not None
    assert bundle.emit_window.holds(2**64 - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"slice_version": 2}, {"slice_version": ...}, {"slice_version": True}, {"slice_id": 7},
        {"emit_from_mono_ns": None}, {"emit_from_mono_ns": -1}, {"emit_from_mono_ns": 1.5},
        {"emit_before_mono_ns": "200"}, {"ancestors": []}, {"ancestors": ["monday"]},
        {"ancestors": [{"run_id": "monday"}]},
        {"ancestors": [{"run_id": "monday", "state": "ended", "seal_sha256": 3}]},
    ],
    ids=str,
)  # fmt: skip
def test_what_it_must_not_be(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(BundleError) as raised:
        read_provenance(written(tmp_path, **changes))
    assert raised.value.path == tmp_path / "slice.json"
    assert raised.value.exit_code == 4
