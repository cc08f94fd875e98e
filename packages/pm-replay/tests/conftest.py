from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from bundles import FrameSpec, Made, Maker, RecordSpec, make_at


@pytest.fixture
def make_bundle(tmp_path: Path) -> Maker:
    """Write bundles beside one another in a temporary directory."""
    count = 0

    def make(
        frames: Iterable[FrameSpec], records: Iterable[RecordSpec] | None = None, **settings: Any
    ) -> Made:
        nonlocal count
        count += 1
        return make_at(tmp_path / f"run-{count}", frames, records, **settings)

    return make
