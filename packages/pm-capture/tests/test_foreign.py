"""Names that are settings of others, or were."""

from pm_capture import foreign
from pm_capture.settings import FIELDS, resolve


def test_a_name_of_another_program_is_passed_over() -> None:
    environ = {"PM_ARB_SIZES": "10,50,100", "PM_ARB_BUFFER_PER_SHARE": "0.004"}
    assert resolve(flags={}, environ=environ, toml={"sizes": [10]}).warnings == ()


def test_a_name_without_effect_is_answered_with_the_reason() -> None:
    found = resolve(
        flags={},
        environ={"PM_DATA_GAMMA_LIMIT": "50", "PM_ARB_POLICY_DEFAULT_ID": "default"},
        toml={"capture_ndjson_fsync_on_close": True},
        toml_name="c.toml",
    )
    assert found.warnings == (
        "c.toml: capture_ndjson_fsync_on_close is not a setting of pm-capture: "
        "every file is always synced at the end; ignored",
        "PM_DATA_GAMMA_LIMIT names no setting of pm-capture: "
        "a page of Gamma always holds 100 markets, the most that it gives; ignored",
        "PM_ARB_POLICY_DEFAULT_ID names no setting of pm-capture: "
        "a capture records, and fees and policies are applied by who reads it; ignored",
    )


def test_no_setting_of_ours_is_called_foreign() -> None:
    assert not FIELDS.keys() & (foreign.ELSEWHERE | foreign.INSTEAD.keys())
