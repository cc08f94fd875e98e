from pathlib import Path

from pm_frames.records import CONTINUITY, RECORDS, missing_fields, record_table


def test_continuity_depends_on_five_types() -> None:
    assert CONTINUITY == {
        "ws_connect",
        "subscribe_attempt",
        "unsubscribe",
        "disconnect",
        "capture_stop",
    }


def test_what_a_record_lacks_is_told() -> None:
    envelope = {"run_id": "r", "ts_mono_ns": 1, "ts_wall_ns_utc": 2}
    assert missing_fields({"record_type": "shard_open", **envelope}) == ["shard_id", "token_count"]
    whole = {"record_type": "shard_open", **envelope, "shard_id": 0, "token_count": 9}
    assert missing_fields(whole) == []
    assert missing_fields({"record_type": "of_the_future", **envelope}) == []
    assert missing_fields({}) == ["record_type", "run_id", "ts_mono_ns", "ts_wall_ns_utc"]


def test_no_field_is_named_twice_or_hides_the_envelope() -> None:
    for kind in RECORDS.values():
        assert len(set(kind.fields)) == len(kind.fields)
        assert not {"record_type", "run_id", "ts_mono_ns", "ts_wall_ns_utc"} & set(kind.fields)


def test_the_specification_holds_the_table() -> None:
    specification = Path(__file__).parents[3] / "docs" / "spec" / "run-bundle.md"
    assert record_table() in specification.read_text("utf-8")
