"""What the values of settings must be, alone and together; every problem names its source.

Pure: values and sources come in, sentences come out, and `settings` decides what a problem means.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pm_capture.masking import masked
from pm_capture.rotate_limits import parse_limits
from pm_capture.shard_range import parse_range

# Above any run, and far below where the timers of event loops end.
SECONDS_MAX = 1e9
VERSIONS = (1, 2)
# A run id has 128 at most, and those of the runs that follow end in a number.
RUN_ID_CHARS_MAX = 118

Values = Mapping[str, object]
Sources = Mapping[str, str]


def problems(
    values: Values, sources: Sources, limits: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield what is wrong; `limits` has `above`, `least`, `most`, `schemes` and `choices` of every setting."""
    for name, value in values.items():
        yield from _alone(name, value, sources[name], limits[name])
    for check in (_filters, _backoff, _offline, _shard_range, _rotate, _user_agent):
        yield from check(values, sources)


def without_effect(values: Values, sources: Sources) -> Iterator[str]:
    """Name flags that do nothing, because the switch that they belong to is off."""
    for switch, wanted, names in (
        ("capture_use_market_filters", True, ("market_regex",)),
        ("offline", True, ("fixtures_dir", "fixtures_multiplier")),
        ("capture_rotate", True, ("capture_rotate_timeout_seconds",)),
        ("universe", False, ("capture_max_markets",)),
    ):
        for name in names:
            # A file or an environment serves many runs; a flag is meant for this one.
            if bool(values[switch]) is not wanted and sources[name] == "flag":
                word = "without" if wanted else "with"
                yield f"--{_dashed(name)} does nothing {word} --{_dashed(switch)}"


def _alone(name: str, value: object, source: str, limit: Mapping[str, Any]) -> Iterator[str]:
    if limit["schemes"]:
        yield from _url(name, str(value), limit["schemes"], source)
    if limit["choices"] and value not in limit["choices"]:
        yield f"{name} must be {' or '.join(limit['choices'])}, found {value!r} ({source})"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not math.isfinite(value):
        yield f"{name} must be finite, found {value} ({source})"
    if limit["above"] is not None and value <= limit["above"]:
        yield f"{name} must be above {limit['above']}, found {value} ({source})"
    if limit["least"] is not None and value < limit["least"]:
        yield f"{name} must be at least {limit['least']}, found {value} ({source})"
    most = SECONDS_MAX if name.endswith("_seconds") else limit["most"]
    if most is not None and value > most:
        yield f"{name} must be at most {most:g}, found {value} ({source})"
    if name == "capture_frames_schema_version" and value not in VERSIONS:
        yield f"{name} must be 1 or 2, found {value} ({source})"


def _url(name: str, value: str, schemes: tuple[str, ...], source: str) -> Iterator[str]:
    from urllib.parse import urlsplit

    shown = masked(value)
    scheme, separator, rest = value.partition("://")
    if scheme not in schemes or not separator or not rest.split("/")[0]:
        wanted = " or ".join(f"{word}://" for word in schemes)
        yield f"{name} must be a {wanted} URL, found {shown!r} ({source})"
        return
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        host.encode("idna")
        port = parts.port
    except ValueError as error:  # UnicodeError too: a label that no name may have
        yield f"{name} is no usable URL: {error}: {shown!r} ({source})"
        return
    if not host or port == 0 or any(letter.isspace() for letter in value):
        yield f"{name} names no host and port: {shown!r} ({source})"
    if name == "gamma_base_url" and ("@" in parts.netloc or parts.query or parts.fragment):
        # pm-universe is told it on its command line, which everybody on the machine can read.
        yield f"{name} must have no name, password, query or fragment, found {shown!r} ({source})"


def _filters(values: Values, sources: Sources) -> Iterator[str]:
    pattern = values["market_regex"]
    if isinstance(pattern, str):
        try:
            re.compile(pattern, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            source = sources["market_regex"]
            yield f"market_regex is no regular expression: {error}: {pattern!r} ({source})"
        if values["capture_use_market_filters"] and values["universe"] is not None:
            source = sources["capture_use_market_filters"]
            yield (
                f"universe ({sources['universe']}) and capture_use_market_filters ({source}) exclude "
                "each other: a universe file is captured as it is"
            )
    elif values["capture_use_market_filters"]:
        source = sources["capture_use_market_filters"]
        yield f"capture_use_market_filters ({source}) needs market_regex"


def _backoff(values: Values, sources: Sources) -> Iterator[str]:
    first, highest = "ws_reconnect_backoff_seconds", "ws_reconnect_backoff_max_seconds"
    lower, upper = values[first], values[highest]
    if isinstance(lower, float) and isinstance(upper, float) and upper < lower:
        yield (
            f"{highest} must be at least {first}, found {upper} ({sources[highest]}) "
            f"and {lower} ({sources[first]})"
        )


def _offline(values: Values, sources: Sources) -> Iterator[str]:
    if values["offline"] and values["universe"] is not None:
        yield (
            f"universe ({sources['universe']}) and offline ({sources['offline']}) exclude each "
            "other: the universe of fixtures is their gamma_markets.json"
        )


def _shard_range(values: Values, sources: Sources) -> Iterator[str]:
    text, shards, source = values["shard_range"], values["ws_shards"], sources["shard_range"]
    if not isinstance(text, str) or not isinstance(shards, int):
        return
    try:
        parse_range(text, shards)
    except ValueError as error:
        yield f"shard_range {error} ({source})"
    if values["offline"]:
        yield f"shard_range ({source}) and offline ({sources['offline']}) exclude each other"


def _rotate(values: Values, sources: Sources) -> Iterator[str]:
    text, source = values["capture_rotate"], sources["capture_rotate"]
    if not isinstance(text, str):
        return
    try:
        parse_limits(text)
    except ValueError as error:
        yield f"capture_rotate {error} ({source})"
    if values["offline"]:
        yield f"capture_rotate ({source}) and offline ({sources['offline']}) exclude each other"
    run_id = values["run_id"]
    if isinstance(run_id, str) and len(run_id) > RUN_ID_CHARS_MAX:
        yield (
            f"run_id must be at most {RUN_ID_CHARS_MAX} characters with capture_rotate ({source}), which "
            f"numbers the runs that follow, found {len(run_id)} ({sources['run_id']})"
        )


def _user_agent(values: Values, sources: Sources) -> Iterator[str]:
    agent = values["ws_user_agent"]
    if isinstance(agent, str) and not (agent and agent.isascii() and agent.isprintable()):
        yield f"ws_user_agent must be printable ASCII, found {agent!r} ({sources['ws_user_agent']})"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
