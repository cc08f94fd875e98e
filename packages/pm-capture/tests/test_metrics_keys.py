"""The tables of keys, the page, and what a capture writes are the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pm_capture.metrics_keys import GLOBAL, SHARD, table

PAGE = Path(__file__).parents[3] / "docs" / "spec" / "metrics.md"


@pytest.mark.parametrize("keys", [SHARD, GLOBAL], ids=["shard", "global"])
def test_the_page_holds_the_table(keys: Any) -> None:
    assert table(keys) in PAGE.read_text(encoding="utf-8")


def records(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def test_a_capture_writes_these_keys(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    capture_venue: Callable[..., Any],
) -> None:
    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await capture_venue(
                venue.url, duration_seconds=0.3, capture_heartbeat_interval_seconds=0.1
            )

    done = run_in_loop(main())
    folder = done.left.path / "metrics"
    shard, run = list(records(folder / "shard_00.ndjson")), list(records(folder / "global.ndjson"))
    assert all(set(record) == set(SHARD) for record in shard)
    assert all(set(record) == set(GLOBAL) for record in run)
    for record in run:
        assert {record[name] for name, key in GLOBAL.items() if key.structural} == {0}
    last = run[-1]
    assert (last["msg_type_counts"], last["decode_errors"], last["coverage_pct"]) == (
        {"book": 2}, 0, 100.0,
    )  # fmt: skip
    assert last["disk_free_bytes"] > 0
    assert sum(record["apply_update_ms_count"] for record in run) == 1
    [stop] = done.left.of("capture_stop")
    assert stop["loss_total"] == 0
