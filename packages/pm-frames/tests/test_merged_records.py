import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pm_frames.bundle import Bundle
from pm_frames.continuity import Basis
from pm_frames.errors import BundleError
from pm_frames.merged_records import MergedRecords, basis_of
from pm_frames.records import STAMP_END

Write = Callable[..., Path]

OWN = [
    {"record_type": "run_start", "boot_id": "b", "ts_mono_ns": 1},
    {"record_type": "subscribe_attempt", "token_ids": ["1"], "ts_mono_ns": 2},
]
# As the predecessors wrote it: what was asked for is counted, and not named.
OLD = [
    {"record_type": "run_start", "ts_mono_ns": 1},
    {"record_type": "subscribe_attempt", "token_count": 2, "ts_mono_ns": 2},
    {"record_type": "heartbeat", "ts_mono_ns": 3},
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a runlog; bytes are lines as they are."""

    def write(*lines: Mapping[str, Any] | bytes) -> Path:
        path = tmp_path / "runlog.ndjson"
        path.write_bytes(
            b"".join(
                one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines
            )
        )
        return path

    return write


@pytest.mark.parametrize(
    ("lines", "basis"),
    [
        (OWN, Basis.RUNLOG),
        (OWN[:1], Basis.RUNLOG),  # a run that has only just begun
        (OWN[1:], Basis.RUNLOG),  # a slice: the run began before it
        (OLD, Basis.FLAGS),
        (OLD[1:], Basis.FLAGS),
        ([OLD[0], OWN[1]], Basis.RUNLOG),
        (
            [OLD[1], OWN[1]],
            Basis.FLAGS,
        ),  # the first that tells decides, so that a follower is right
        ([], Basis.FLAGS),
        ([b'{"record_type":"run_start","boot_id":"b"'], Basis.FLAGS),  # torn
        ([*OWN, b'{"record_ty'], Basis.RUNLOG),
        ([*OLD, b'{"record_ty'], Basis.FLAGS),
        ([b"not JSON\n", b"\xff\n", *OWN], Basis.RUNLOG),
        ([b"not JSON\n", *OLD], Basis.FLAGS),
        ([b"not JSON\n"], Basis.FLAGS),
        ([b"[1]\n", {"record_type": ["run_start"], "boot_id": "b"}], Basis.FLAGS),
    ],
)
def test_the_runlog_is_the_basis_where_it_names_tokens(
    write: Write, lines: list[Mapping[str, Any] | bytes], basis: Basis
) -> None:
    path = write(*lines)
    assert basis_of(path) is basis
    assert Bundle(path.parent, []).continuity_basis is basis


def test_the_flags_are_the_basis_where_there_is_no_runlog(tmp_path: Path) -> None:
    assert Bundle(tmp_path, []).continuity_basis is Basis.FLAGS


def chosen(records: list[dict[str, Any]], *also: str) -> tuple[list[int], MergedRecords]:
    wants = MergedRecords(also)
    return [number for number, record in enumerate(records) if wants(record)], wants


def at(stamp: object, kind: object = "heartbeat") -> dict[str, Any]:
    return {"record_type": kind, "ts_mono_ns": stamp}


def test_continuity_records_are_chosen_and_those_of_the_types_that_are_named() -> None:
    kinds = [
        "run_start",
        "ws_connect",
        "heartbeat",
        "subscribe_attempt",
        "new_type",
        "capture_stop",
    ]
    records = [at(number, kind) for number, kind in enumerate(kinds)]
    assert chosen(records)[0] == [1, 3, 5]
    assert chosen(records, "heartbeat", "new_type")[0] == [1, 2, 3, 4, 5]
    assert chosen([at(1, ["ws_connect"]), at(1, None), {}])[0] == []


IMPOSSIBLE = [STAMP_END, 2**64, 10**40, -1, None, "5", 5.0, True]


@pytest.mark.parametrize("stamp", IMPOSSIBLE)
def test_a_record_that_can_be_spared_is_left_out_and_counted(stamp: object) -> None:
    records = [at(9), at(stamp), at(8), at(stamp, "run_start"), at(9), at(STAMP_END - 1)]
    taken, wants = chosen(records, "heartbeat")
    assert taken == [0, 4, 5]
    assert (wants.unusable, wants.out_of_order) == (1, 1)


@pytest.mark.parametrize("stamp", IMPOSSIBLE)
def test_a_continuity_record_that_no_merge_can_place_is_damage(write: Write, stamp: object) -> None:
    path = write(at(5, "ws_connect"), at(stamp, "disconnect"), at(6, "capture_stop"))
    bundle = Bundle(path.parent, [])
    given = bundle.merged(bundle.records(MergedRecords()))
    assert next(given) == (-1, 0, at(5, "ws_connect"))
    with pytest.raises(BundleError, match=r"impossible stamp .*\(disconnect\)") as caught:
        next(given)
    assert caught.value.path == path
    assert caught.value.exit_code == 4
    with pytest.raises(BundleError, match="impossible stamp"):
        list(bundle.merged_blocks(bundle.records(MergedRecords())))
    with pytest.raises(BundleError, match="impossible stamp"):
        list(bundle.timeline())
