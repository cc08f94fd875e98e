"""Precedence, sources, warnings and refusals of settings."""

from collections.abc import Mapping

import pytest

from pm_capture.settings import FIELDS, Resolved, SettingsError, nanoseconds, resolve, shown


def resolved(
    environ: Mapping[str, str] | None = None,
    toml: Mapping[str, object] | None = None,
    **flags: object,
) -> Resolved:
    return resolve(flags=flags, environ=environ or {}, toml=toml, toml_name="x.toml")


def test_defaults_are_the_missions() -> None:
    settings = resolved().settings
    assert settings.ws_shards == 8
    assert settings.ws_ping_interval_seconds == settings.ws_ping_timeout_seconds == 10.0
    assert settings.ws_data_idle_reconnect_seconds == 120.0
    assert settings.capture_confirm_timeout_seconds == 45.0
    assert settings.capture_confirm_min_events == 1
    assert settings.capture_max_markets == 2000
    assert settings.data_dir == "./data"
    assert set(resolved().sources.values()) == {"default"}


def test_each_layer_beats_the_one_before() -> None:
    toml = {"ws_shards": 2, "capture_max_markets": 20, "data_dir": "t"}
    environ = {"PM_DATA_DATA_DIR": "e"}
    found = resolved(environ, toml, capture_max_markets="30", data_dir="f")
    assert (found.settings.ws_shards, found.sources["ws_shards"]) == (2, "toml:x.toml")
    assert found.settings.capture_max_markets == 30
    assert found.sources["capture_max_markets"] == "flag"
    assert (found.settings.data_dir, found.sources["data_dir"]) == ("e", "env:PM_DATA_DATA_DIR")


def test_the_environment_over_a_flag_is_said_aloud() -> None:
    found = resolved({"PM_DATA_WS_SHARDS": "4"}, ws_shards="6")
    assert found.settings.ws_shards == 4
    assert found.warnings == ("PM_DATA_WS_SHARDS=4 from the environment overrides --ws-shards 6",)
    assert resolved({"PM_DATA_WS_SHARDS": "6"}, ws_shards="6").warnings == ()
    assert resolved({"PM_DATA_WS_SHARDS": "4"}, {"ws_shards": 6}).warnings == ()


def test_the_alias_counts_and_a_contradiction_does_not_pass() -> None:
    found = resolved({"PM_ARB_WS_SHARDS": "3"})
    assert (found.settings.ws_shards, found.sources["ws_shards"]) == (3, "env:PM_ARB_WS_SHARDS")
    both = {"PM_ARB_WS_SHARDS": "3", "PM_DATA_WS_SHARDS": "3"}
    assert resolved(both).sources["ws_shards"] == "env:PM_DATA_WS_SHARDS"
    with pytest.raises(SettingsError, match=r"PM_DATA_WS_SHARDS=4 and PM_ARB_WS_SHARDS=3"):
        resolved({"PM_ARB_WS_SHARDS": "3", "PM_DATA_WS_SHARDS": "4"})


def test_unknown_names_are_told_with_the_nearest() -> None:
    found = resolved({"PM_DATA_WS_SHARD": "3", "PM_TEST_X": "1"}, {"data_dri": "x", "zzz": 1})
    assert found.warnings == (
        "x.toml: data_dri is not a setting; did you mean data_dir?; ignored",
        "x.toml: zzz is not a setting; ignored",
        "PM_DATA_WS_SHARD names no setting; did you mean PM_DATA_WS_SHARDS?; ignored",
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PM_DATA_WS_SHARDS": "many"}, "PM_DATA_WS_SHARDS: ws_shards must be int, found 'many'"),
        (
            {"PM_DATA_WS_SHARDS": "0"},
            "ws_shards must be at least 1, found 0 .env:PM_DATA_WS_SHARDS",
        ),
        ({"PM_DATA_UVLOOP": "maybe"}, "uvloop must be true or false, found 'maybe'"),
        ({"PM_DATA_DURATION_SECONDS": "0"}, "duration_seconds must be above 0"),
        ({"PM_DATA_DURATION_SECONDS": "nan"}, "duration_seconds must be finite"),
        ({"PM_DATA_CAPTURE_FRAMES_SCHEMA_VERSION": "3"}, "must be 1 or 2, found 3"),
        ({"PM_DATA_CLOB_WS_URL": "https://x/"}, "clob_ws_url must be a ws:// or wss:// URL"),
        ({"PM_DATA_GAMMA_BASE_URL": "http://"}, "gamma_base_url must be a http:// or https:// URL"),
        (
            {"PM_DATA_CLOB_WS_URL": "ws://127.0.0.1:99999/"},
            "clob_ws_url is no usable URL: Port out",
        ),
        ({"PM_DATA_CLOB_WS_URL": "ws://[bad/"}, "clob_ws_url is no usable URL"),
        ({"PM_DATA_CLOB_WS_URL": "ws://127.0.0.1:x/"}, "clob_ws_url is no usable URL"),
        ({"PM_DATA_CLOB_WS_URL": f"ws://{'a' * 70}/"}, "clob_ws_url is no usable URL"),
        ({"PM_DATA_CLOB_WS_URL": "ws://:80/"}, "clob_ws_url names no host and port"),
        ({"PM_DATA_CLOB_WS_URL": "ws://ho st/"}, "clob_ws_url names no host and port"),
    ],
)
def test_what_cannot_be_used_names_its_source(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        resolved(environ)


def test_toml_values_have_their_types() -> None:
    assert resolved(toml={"ws_ping_interval_seconds": 5}).settings.ws_ping_interval_seconds == 5.0
    with pytest.raises(SettingsError, match=r"toml:x.toml: ws_shards must be int, found 2.5"):
        resolved(toml={"ws_shards": 2.5})
    with pytest.raises(SettingsError, match=r"ws_shards must be int, found True"):
        resolved(toml={"ws_shards": True})


@pytest.mark.parametrize("word", ["1", "true", "YES", "y", "On"])
def test_words_for_true(word: str) -> None:
    assert resolved({"PM_DATA_UVLOOP": word}).settings.uvloop is True


def test_optional_values_can_be_taken_back_and_empty_ones_do_not_count() -> None:
    toml = {"duration_seconds": 5.0, "ws_shards": 3}
    found = resolved({"PM_DATA_DURATION_SECONDS": "none", "PM_DATA_WS_SHARDS": ""}, toml)
    assert found.settings.duration_seconds is None
    assert found.sources["ws_shards"] == "toml:x.toml"


def test_credentials_are_not_shown() -> None:
    found = resolved(clob_ws_url="wss://me:secret@venue:1/ws")
    assert found.settings.clob_ws_url == "wss://me:secret@venue:1/ws"
    assert shown(found.settings)["clob_ws_url"] == "wss://***@venue:1/ws"


def test_every_setting_says_what_it_is() -> None:
    assert all(field.metadata["help"] for field in FIELDS.values())


def test_durations_are_exact() -> None:
    assert nanoseconds(0.1) == 100_000_000
    assert nanoseconds(-1) == -1_000_000_000
