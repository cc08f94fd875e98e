"""Where caches belong on this machine: a directory that may be emptied at any time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

CACHE_DIR_VARIABLE: Final = "PM_DATA_CACHE_DIR"


def cache_dir_of(
    flag: Path | None, environment: Mapping[str, str], *, platform: str, home: Path
) -> Path:
    """Return the cache directory: the environment wins over the flag, as with `--data-dir`, that over
    the place that the platform (`sys.platform`) has for it."""
    set_to = environment.get(CACHE_DIR_VARIABLE)
    if set_to:
        return Path(set_to)
    if flag is not None:
        return flag
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "pm-replay" / "Cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "pm-replay"
    given = Path(environment.get("XDG_CACHE_HOME") or "")
    # The base directory specification: a relative path is to be ignored.
    return (given if given.is_absolute() else home / ".cache") / "pm-replay"
