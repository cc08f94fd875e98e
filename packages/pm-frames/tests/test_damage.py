"""The registry of kinds is the table of docs/spec/frames.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pm_frames.damage import FIELD_KINDS, KINDS, TORN, Damage
from pm_frames.frames import MESSAGES
from pm_frames.index import IdxEntry

SPEC = Path(__file__).resolve().parents[3] / "docs" / "spec" / "frames.md"


def test_the_table_of_the_specification_is_this_registry() -> None:
    section = SPEC.read_text(encoding="utf-8").split("## 7. ")[1].split("## 8. ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (✂?) ?\| (.+) \|$", section, flags=re.MULTILINE)
    assert {kind: meaning for kind, _, meaning in rows} == KINDS
    assert [kind for kind, _, _ in rows] == list(KINDS)
    assert {kind for kind, torn, _ in rows if torn} == TORN


def test_every_kind_that_is_raised_is_registered() -> None:
    assert set(MESSAGES) | set(FIELD_KINDS) | TORN <= set(KINDS)
    assert len(FIELD_KINDS) == len(IdxEntry._fields)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_torn_is_what_a_crash_leaves_at_the_end(kind: str) -> None:
    assert Damage(kind, "frames", 0, 1, 0, "tail").torn == (kind in TORN)
    assert not Damage(kind, "frames", 0, 1, 0, "hole").torn
