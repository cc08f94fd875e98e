"""What `--rotate` takes."""

import pytest

from pm_capture.rotate_limits import RotateLimits, parse_limits
from pm_capture.settings import SettingsError, resolve

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("24h", RotateLimits(24 * 3600 * S)),
        ("90m", RotateLimits(5400 * S)),
        ("3s", RotateLimits(3 * S)),
        ("1.5h", RotateLimits(5400 * S)),
        ("50GB", RotateLimits(None, 50 * 10**9)),
        ("0.1 TiB", RotateLimits(None, 109_951_162_777)),
        ("512MiB", RotateLimits(None, 512 << 20)),
        ("2000000b", RotateLimits(None, 2_000_000)),
        ("24h,50GB", RotateLimits(24 * 3600 * S, 50 * 10**9)),
        (" 50gb , 24H ", RotateLimits(24 * 3600 * S, 50 * 10**9)),
    ],
)
def test_reads_durations_and_sizes(text: str, limits: RotateLimits) -> None:
    assert parse_limits(text) == limits


@pytest.mark.parametrize(
    "text",
    ["", ",", "24", "h", "-1h", "1e3s", "24h,", "1d", "1h30m", "5G", "\u0663h", "inf s", "1h;2GB"],
)
def test_refuses_what_is_neither(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 24h"):
        parse_limits(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1h,2h", "one duration and one size"),
        ("1GB,2GB", "one duration and one size"),
        ("0.5s", "must be 1s or more"),
        ("0s,5GB", "must be 1s or more"),
        ("999999B", "must be 1MB or more"),
    ],
)
def test_refuses_what_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_limits(text)


def test_the_setting_is_judged_with_the_others() -> None:
    resolved = resolve(flags={}, environ={"PM_DATA_CAPTURE_ROTATE": "24h,50GB"})
    assert resolved.settings.capture_rotate == "24h,50GB"
    for flags, words in (
        ({"capture_rotate": "soon"}, r"capture_rotate must be a duration .* found 'soon' \(flag\)"),
        ({"capture_rotate": "1h", "offline": "true"}, "exclude each other"),
        ({"capture_rotate": "1h", "run_id": "x" * 119}, "run_id must be at most 118 characters"),
    ):
        with pytest.raises(SettingsError, match=words):
            resolve(flags=flags, environ={})
