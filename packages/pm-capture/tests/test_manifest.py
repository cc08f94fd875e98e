"""The manifest of a run."""

import json

from pm_capture.manifest import Anchors, build, encode
from pm_capture.settings import FIELDS, resolve
from pm_capture.universe import parse_universe

SELECTION = {"universe_mode": "active-binary", "capture_use_market_filters": True,
             "market_regex_effective": "btc.*", "max_markets": 3}  # fmt: skip
UNIVERSE = parse_universe(
    json.dumps(
        {
            "universe_version": 0,
            "kind": "full",
            "created_wall_ns_utc": 4,
            "created_mono_ns": 3,
            "selection": SELECTION,
            "markets": [
                {"market_id": "7", "condition_id": "0x7", "tokens": [{"token_id": "a"}, {"token_id": "b"}]},
                {"market_id": "8", "condition_id": "0x8", "tokens": [{"token_id": "c"}]},
            ],
        }
    ).encode(),
    "u",
)  # fmt: skip
ANCHORS = Anchors(
    run_id="r", wall_ns_utc=10, mono_ns=9, monotonic_ns_source="perf_counter_ns", boot_id=None,
    git_commit="unknown",
)  # fmt: skip


def manifest(**flags: object) -> dict[str, object]:
    return build(
        ANCHORS,
        resolved=resolve(flags=flags, environ={"PM_DATA_WS_SHARDS": "2"}),
        environment={"python": "3"},
        versions={"pm-capture": "1"},
        universe=UNIVERSE,
        universe_file="universe/000000.json",
        shards=[("a", "b"), (), ("c",)],
    )


def test_it_holds_every_key_of_the_contract() -> None:
    found = manifest()
    config, sources = found.pop("config"), found.pop("config_sources")
    assert isinstance(config, dict)
    assert isinstance(sources, dict)
    assert set(config) == set(sources) == set(FIELDS)
    assert (config["ws_shards"], sources["ws_shards"]) == (2, "env:PM_DATA_WS_SHARDS")
    assert found == {
        "manifest_version": 1, "run_id": "r", "t0_wall_ns_utc": 10, "t0_mono_ns": 9,
        "capture_schema_version": 2, "payload_source": "text", "payload_encoder": "utf-8",
        "universe_mode": "active-binary", "capture_use_market_filters": True,
        "market_regex_effective": "btc.*", "monotonic_ns_source": "perf_counter_ns",
        "git_commit": "unknown", "boot_id": None, "previous_run_id": None, "shard_range": None,
        "environment": {"python": "3"}, "versions": {"pm-capture": "1"},
        "pinned_tokens": ["a", "b", "c"],
        "pinned_markets": [{"id": "7", "token_ids": ["a", "b"]}, {"id": "8", "token_ids": ["c"]}],
        "initial_universe": {
            "universe_version": 0, "file": "universe/000000.json", "sha256": UNIVERSE.sha256,
            "market_ids": ["7", "8"], "token_ids": ["a", "b", "c"], "created_wall_ns_utc": 4,
            "created_mono_ns": 3, "selection": SELECTION, "taken_over": None,
        },
        "universe_refresh": {
            "enabled": True, "interval_seconds": 60.0, "timeout_seconds": 30.0,
            "whole_interval_seconds": 3600.0, "stagger_seconds": 0.25, "grace_seconds": 30.0,
            "min_delta_tokens": 2, "max_churn_pct": 10.0, "max_interval_seconds": 600.0,
            "churn_guard_consecutive_fatal": 5,
        },
        "shards": {
            "count": 3,
            "assignments": {
                "0": {"token_ids": ["a", "b"], "groups": [2]},
                "1": {"token_ids": [], "groups": []},
                "2": {"token_ids": ["c"], "groups": [1]},
            },
        },
        "subscribe_caps": {"max_tokens": 100, "max_bytes": 32768},
    }  # fmt: skip


def test_it_says_which_part_of_how_many_shards() -> None:
    found = manifest(shard_range="0:1", universe="u")
    assert found["shard_range"] == {"start": 0, "stop": 1, "count": 2}


def test_secrets_stay_out() -> None:
    data = encode(manifest(clob_ws_url="wss://me:hush@venue/ws"))
    assert b"hush" not in data
    assert json.loads(data)["config"]["clob_ws_url"] == "wss://***@venue/ws"
