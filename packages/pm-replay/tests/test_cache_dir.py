"""The cache directory of each platform, and what goes before it."""

from pathlib import Path

import pytest

from pm_replay.cache_dir import cache_dir_of

HOME = Path("home").absolute()
ELSEWHERE = Path("elsewhere").absolute()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, HOME / ".cache" / "pm-replay"),
        ("linux", {"XDG_CACHE_HOME": str(ELSEWHERE)}, ELSEWHERE / "pm-replay"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, HOME / ".cache" / "pm-replay"),
        ("linux", {"XDG_CACHE_HOME": ""}, HOME / ".cache" / "pm-replay"),
        ("darwin", {"XDG_CACHE_HOME": str(ELSEWHERE)}, HOME / "Library" / "Caches" / "pm-replay"),
        ("win32", {}, HOME / "AppData" / "Local" / "pm-replay" / "Cache"),
        ("win32", {"LOCALAPPDATA": str(ELSEWHERE)}, ELSEWHERE / "pm-replay" / "Cache"),
    ],
)
def test_each_platform_has_its_place(
    platform: str, environment: dict[str, str], expected: Path
) -> None:
    assert cache_dir_of(None, environment, platform=platform, home=HOME) == expected


def test_the_flag_goes_before_the_platform_and_the_environment_before_the_flag() -> None:
    flag = Path("flag")
    assert cache_dir_of(flag, {}, platform="linux", home=HOME) == flag
    environment = {"PM_DATA_CACHE_DIR": str(ELSEWHERE)}
    assert cache_dir_of(flag, environment, platform="linux", home=HOME) == ELSEWHERE
