"""The checksum is zlib's, whoever computes it (R110)."""

from __future__ import annotations

import random
import sys
import zlib
from types import ModuleType

import pytest

from pm_frames import checksum


def test_the_chosen_one_agrees_with_zlib() -> None:
    rng = random.Random(7)
    for size in (0, 1, 2, 63, 64, 511, 8192, 100_001):
        data = rng.randbytes(size)
        assert checksum.crc32(data) == zlib.crc32(data)
        assert checksum.crc32(data[size // 2 :], checksum.crc32(data[: size // 2])) == zlib.crc32(
            data
        )
        assert checksum.crc32(memoryview(data)) == zlib.crc32(data)
    assert checksum.IMPLEMENTATION in ("isal.isal_zlib", "zlib_ng.zlib_ng", "zlib")


@pytest.mark.parametrize("module", ["isal.isal_zlib", "zlib_ng.zlib_ng"])
def test_a_fast_library_is_used_if_it_is_there_and_right(module: str) -> None:
    pytest.importorskip(module)
    name, function = checksum.choose((module,))
    assert name == module
    assert function(checksum.CHECK_INPUT) == checksum.CHECK_VALUE


def test_without_any_it_is_zlib() -> None:
    assert checksum.choose(("no_such_module_anywhere",)) == ("zlib", zlib.crc32)


def test_a_library_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ModuleType("wrong_crc")
    wrong.crc32 = lambda data, value=0: 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wrong_crc", wrong)
    monkeypatch.setitem(sys.modules, "empty_crc", ModuleType("empty_crc"))
    assert checksum.choose(("wrong_crc", "empty_crc")) == ("zlib", zlib.crc32)
