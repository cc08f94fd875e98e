"""Errors name file, offset, expected and found, map to exit codes, and cross processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pm_frames import errors

CORRUPT = errors.CorruptFrame(
    "the payload does not match its checksum",
    kind="crc_mismatch",
    path=Path("capture/shard_00.frames"),
    offset=72,
    expected=0xCBF43926,
    found=1,
)


def test_message() -> None:
    assert str(CORRUPT) == (
        f"{Path('capture/shard_00.frames')}: offset 72: the payload does not match its checksum"
        " (expected 0xcbf43926, found 0x00000001)"
    )
    assert str(errors.BundleError("plain")) == "plain"
    assert str(errors.BundleError("m", found=b"x" * 40)) == (
        "m (found b'xxxxxxxxxxxxxxxx'… (40 bytes))"
    )
    assert str(errors.CorruptIndex("m", kind="idx_short", expected=3, found=0)) == (
        "m (expected 3, found 0)"
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.BundleError, 4),
        (errors.MissingFile, 2),
        (errors.CorruptFrame, 4),
        (errors.CorruptIndex, 4),
        (errors.UnsupportedFormat, 4),
        (errors.RunLocked, 2),
        (errors.WriteFailed, 5),
    ],
)
def test_exit_codes(kind: type[errors.BundleError], code: int) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.BundleError)


@pytest.mark.parametrize(
    "error",
    [
        CORRUPT,
        errors.UnsupportedFormat("newer", kind="bad_version", found=3),
        errors.CorruptIndex("torn", kind="idx_torn", ordinal=7, offset=224),
        errors.WriteFailed("full", frames_whole=3, entries_whole=2),
        errors.MissingFile("gone", path=Path("x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pickling_keeps_everything(error: errors.BundleError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
