"""Every setting of pm-capture, once: name, type, default, range, and where each value came from.

Precedence: default < TOML (`--config`) < flag < environment. That the environment wins over an explicit
flag is what the operators of this plant expect, and it surprises everybody else; it is therefore said
aloud whenever it happens. `PM_DATA_<FIELD>` is the name; `PM_ARB_<FIELD>` is an alias.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from pm_capture import foreign
from pm_capture.limits import problems, without_effect
from pm_capture.masking import masked

PREFIXES = ("PM_DATA_", "PM_ARB_")
TRUE = frozenset({"1", "true", "yes", "y", "on"})
FALSE = frozenset({"0", "false", "no", "n", "off"})
NONE = frozenset({"", "none", "null"})


class SettingsError(Exception):
    """A value that cannot be used; the message names where it came from. Exit code 2."""


def _setting(
    default: object,
    help_text: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    schemes: tuple[str, ...] = (),
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {
        "help": help_text,
        "above": above,
        "least": least,
        "most": most,
        "schemes": schemes,
        "choices": choices,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Resolved values. Durations are seconds as the operator writes them; see `nanoseconds`."""

    run_id: str | None = _setting(None, "name of the run; default: UTC stamp and a random suffix")
    data_dir: str = _setting("./data", "runs are written to DATA_DIR/runs/RUN_ID")
    universe: str | None = _setting(
        None, "capture this universe file instead of asking Gamma through pm-universe"
    )
    duration_seconds: float | None = _setting(
        None, "stop, and seal the run, after this long", above=0
    )
    shard_range: str | None = _setting(
        None,
        "A:B: capture only shards A to before B of ws_shards, others are for other processes; "
        "with the same --ws-shards for all",
    )
    capture_rotate: str | None = _setting(
        None,
        "go on in a new run when one is this old or this large: 24h, 50GB, or 24h,50GB; default: never "
        "(--rotate is the same)",
    )
    capture_rotate_timeout_seconds: float = _setting(
        60.0,
        "how long the old run waits for first books in the new one; then it ends all the same, or, if a "
        "shard is not connected, goes on",
        above=0,
    )
    gamma_base_url: str = _setting(
        "https://gamma-api.polymarket.com",
        "where the universe is discovered",
        schemes=("http", "https"),
    )
    clob_ws_url: str = _setting(
        "wss://ws-subscriptions-clob.polymarket.com/ws/market",
        "the market channel",
        schemes=("ws", "wss"),
    )
    ws_shards: int = _setting(
        8, "connections, and file pairs; more if the tokens need more", least=1, most=10_000
    )
    ws_connect_timeout_seconds: float = _setting(
        10.0, "give up one attempt to connect after this long", above=0
    )
    ws_ping_interval_seconds: float = _setting(
        10.0, "send the text PING this often; 0 or less: never"
    )
    ws_ping_timeout_seconds: float = _setting(
        10.0, "reconnect if nothing at all arrives for this long after a PING; 0 or less: never"
    )
    ws_data_idle_reconnect_seconds: float = _setting(
        120.0, "reconnect if no data for an assigned token arrives for this long; 0 or less: never"
    )
    ws_reconnect_backoff_seconds: float = _setting(
        0.25, "ceiling of the first delay before connecting again; doubles per failure", above=0
    )
    ws_reconnect_backoff_max_seconds: float = _setting(30.0, "highest such ceiling", above=0)
    ws_reconnect_heal_seconds: float = _setting(
        60.0, "a failure is forgiven after this long", above=0
    )
    ws_reconnect_max: int = _setting(10, "failures that count towards the delay", least=1)
    ws_subscribe_max_tokens: int = _setting(100, "token ids in one subscribe message", least=1)
    ws_subscribe_max_bytes: int = _setting(32768, "bytes of one subscribe message", least=256)
    capture_confirm_timeout_seconds: float = _setting(
        45.0, "reconnect if a subscription brings too few events in this time; 0 or less: never"
    )
    capture_confirm_min_events: int = _setting(
        1, "events of assigned tokens that confirm a subscription", least=1
    )
    capture_snapshot_timeout_seconds: float = _setting(
        30.0, "ask again for tokens without a first book after this long; 0 or less: never"
    )
    capture_max_markets: int = _setting(2000, "upper bound on the discovered universe", least=1)
    # The refresh of the universe; off when a universe file is given.
    capture_universe_refresh_enable: bool = _setting(
        default=True, help_text="follow the venue's changes of the universe; not with --universe"
    )
    capture_universe_refresh_interval_seconds: float = _setting(
        60.0, "ask for changes of the universe this often; 0 or less: never"
    )
    capture_universe_refresh_timeout_seconds: float = _setting(
        30.0, "kill the discovery of a refresh after this long, and keep the universe", above=0
    )
    capture_universe_refresh_whole_interval_seconds: float = _setting(
        3600.0,
        "read the whole venue instead of what is recent this often, with a timeout of ten minutes; "
        "0 or less: never",
    )
    capture_universe_refresh_stagger_seconds: float = _setting(
        0.25, "between the changes of two shards", least=0
    )
    capture_universe_refresh_grace_seconds: float = _setting(
        30.0, "leave new tokens out of the coverage for this long", least=0
    )
    capture_universe_refresh_min_delta_tokens: int = _setting(
        2, "apply no change of fewer tokens", least=0
    )
    capture_universe_refresh_max_churn_pct: float = _setting(
        10.0, "hold back a change of more than this share of the tokens; 0 or less: none"
    )
    capture_universe_refresh_max_interval_seconds: float = _setting(
        600.0, "the interval doubles with every change held back, up to this", above=0
    )
    capture_universe_refresh_churn_guard_consecutive_fatal: int = _setting(
        5, "end the run when this many changes in a row were held back; 0: never", least=0
    )
    capture_expected_churn_enable: bool = _setting(
        default=True, help_text="let changes pass the guard that the hour or the end dates explain"
    )
    capture_expected_churn_window_seconds_5m: float = _setting(
        30.0, "how near to a full 5 minutes a market of this cadence may change", least=0
    )
    capture_expected_churn_window_seconds_15m: float = _setting(60.0, "the same for 15 m", least=0)
    capture_expected_churn_window_seconds_30m: float = _setting(90.0, "the same for 30 m", least=0)
    capture_expected_churn_window_seconds_60m: float = _setting(120.0, "the same for 1 h", least=0)
    capture_expected_churn_expiry_window_seconds: float = _setting(
        300.0, "how near to its end date any market may change", least=0
    )
    capture_expected_churn_min_ratio: float = _setting(
        0.5, "the share of the changed markets that has to be explained", least=0
    )
    capture_heartbeat_interval_seconds: float = _setting(
        1.0, "heartbeats and metrics this often", above=0
    )
    capture_frames_schema_version: int = _setting(2, "version of the frame format, 1 or 2", least=1)
    # Evidence: what is measured, and when a run gives up. 0 or less: never.
    min_free_disk_gb: float = _setting(
        5.0,
        "end the run as LOW_DISK below this (GB of 10^9 bytes), warn below twice; 0 or less: never",
    )
    capture_disk_usage_interval_seconds: float = _setting(
        10.0, "measure the disk this often, off the event loop", above=0
    )
    capture_reserve_mb: float = _setting(
        16.0, "MiB held back for what a fatal run has to write on a full disk", least=0
    )
    capture_backpressure_fatal_ms: float = _setting(
        250.0,
        "end the run as BACKPRESSURE_STALL if p99 from stamp to written is above this in three "
        "heartbeats in a row; 0 or less: never",
    )
    capture_coverage_metrics_interval_seconds: float = _setting(
        5.0, "count the coverage this often"
    )
    capture_metrics_max_samples: int = _setting(
        1024, "accepted, and bounds nothing: the histograms keep every sample", least=1
    )
    ws_reconnect_storm_max: int = _setting(
        0,
        "end the run as RECONNECT_STORM if one shard loses more connections than this, one forgiven "
        "every --ws-reconnect-heal-seconds; 0: never",
        least=0,
    )
    capture_confirm_max_failures: int = _setting(
        0,
        "end the run as SUBSCRIBE_CONFIRM_FAIL if more subscriptions of one shard than this stay "
        "unconfirmed, one forgiven every --capture-confirm-heal-seconds; 0: never",
        least=0,
    )
    capture_confirm_heal_seconds: float = _setting(
        600.0, "an unconfirmed subscription is forgiven after this long", above=0
    )
    uvloop: bool = _setting(default=True, help_text="use uvloop where it can be imported")
    ws_transport: str = _setting(
        "websockets",
        "what carries the connections: websockets, picows (pm-capture[picows]), or auto: picows where "
        "it can be imported",
        choices=("auto", "websockets", "picows"),
    )
    # Which markets, and how Gamma and the venue are asked.
    capture_use_market_filters: bool = _setting(
        default=False, help_text="capture only the markets that market_regex finds"
    )
    market_regex: str | None = _setting(
        None, "what is looked for in slug and question, in any case; only with the filters on"
    )
    rest_timeout: float = _setting(
        30.0,
        "give up on one page of Gamma, with all its retries, after this many seconds",
        above=0,
        most=1e9,
    )
    ws_user_agent: str | None = _setting(
        None, "User-Agent of the connections; default: pm-capture and its version"
    )
    # Windows. Elsewhere timers are exact enough, and both do nothing.
    capture_windows_high_res_timer_enable: bool = _setting(
        default=True, help_text="on Windows, ask for timers of 1 ms while capturing"
    )
    runtime_windows_high_res_timer_enable: bool = _setting(
        default=True, help_text="the same for all programs; false here wins over the one above"
    )
    # Captures of fixtures.
    offline: bool = _setting(
        default=False, help_text="capture fixtures instead of the venue, without any network"
    )
    fixtures_dir: str = _setting(
        "testdata/fixtures", "with --offline: where gamma_markets.json and ws_*.json are"
    )
    fixtures_multiplier: int = _setting(
        1, "with --offline: how often the fixtures are gone through", least=1
    )


FIELDS: Mapping[str, "dataclasses.Field[Any]"] = {
    field.name: field for field in dataclasses.fields(Settings)
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The effective settings, the source of each (`default`, `toml:FILE`, `flag`, `env:NAME`), and warnings."""

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]


def nanoseconds(seconds: float) -> int:
    """Return a duration in ns, exact to the ns; non-positive durations stay non-positive."""
    return round(seconds * 1_000_000_000)


def resolve(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    toml: Mapping[str, object] | None = None,
    toml_name: str = "",
) -> Resolved:
    """Apply every layer in order of precedence.

    `flags` holds only what was given explicitly. Raises `SettingsError` for a value that does not parse
    or is out of range, and for two environment names of one field that disagree.
    """
    values: dict[str, object] = {name: field.default for name, field in FIELDS.items()}
    sources = dict.fromkeys(FIELDS, "default")
    warnings: list[str] = []
    for name, value in (toml or {}).items():
        if name not in FIELDS:
            if name not in foreign.ELSEWHERE:
                warnings.append(f"{toml_name}: {name} is not a setting{_hint(name)}; ignored")
            continue
        source = f"toml:{toml_name}"
        values[name], sources[name] = _typed(name, value, source), source
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        values[name], sources[name] = _typed(name, value, flag), "flag"
    for name, variable, value in _from_environment(environ, warnings):
        if sources[name] == "flag" and values[name] != value:
            flag = f"--{name.replace('_', '-')}"
            warnings.append(
                f"{variable}={masked(environ[variable])} from the environment overrides "
                f"{flag} {masked(values[name])}"
            )
        values[name], sources[name] = value, f"env:{variable}"
    limits = {name: field.metadata for name, field in FIELDS.items()}
    for problem in problems(values, sources, limits):
        raise SettingsError(problem)
    warnings += without_effect(values, sources)
    return Resolved(Settings(**values), sources, tuple(warnings))  # type: ignore[arg-type]


def shown(settings: Settings) -> dict[str, object]:
    """Return every value as it may be printed or stored: credentials in URLs are masked."""
    return {name: masked(getattr(settings, name)) for name in FIELDS}


def kind_of(name: str) -> tuple[type, bool]:
    """Return the type of a field and whether it may be None."""
    declared: Any = FIELDS[name].type
    members: tuple[type, ...] = get_args(declared) or (declared,)
    return members[0], NoneType in members


def _from_environment(
    environ: Mapping[str, str], warnings: list[str]
) -> Iterator[tuple[str, str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for variable in sorted(environ, reverse=True):  # PM_DATA_ before PM_ARB_
        if not variable.startswith(PREFIXES):
            continue
        name = variable.split("_", 2)[2].lower()
        if name not in FIELDS:
            if name not in foreign.ELSEWHERE:
                warnings.append(f"{variable} names no setting{_hint(name, variable)}; ignored")
            continue
        if not environ[variable] and not kind_of(name)[1]:
            continue  # an empty variable is one that somebody meant to unset
        value = _typed(name, environ[variable], variable)
        if name not in found:
            found[name] = (variable, value)
        elif found[name][1] != value:
            other = found[name][0]
            raise SettingsError(
                f"{other}={masked(environ[other])} and {variable}={masked(environ[variable])} "
                "set the same thing to different values; unset one of them"
            )
    for name, (variable, value) in found.items():
        yield name, variable, value


def _hint(name: str, variable: str = "") -> str:
    """Say why a name is none of ours, or which of ours is nearest to it."""
    import difflib

    if (reason := foreign.answer(name)) is not None:
        return f" of pm-capture: {reason}"
    near = difflib.get_close_matches(name, FIELDS, n=1)
    if not near:
        return ""
    prefix = variable[: variable.index("_", 3) + 1] if variable else ""
    return f"; did you mean {prefix + near[0].upper() if prefix else near[0]}?"


def _typed(name: str, value: object, source: str) -> object:
    """Turn text, or a TOML value, into the type of the field."""
    kind, optional = kind_of(name)
    if isinstance(value, str):
        return _parsed(kind, value, f"{source}: {name}", optional=optional)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise SettingsError(f"{source}: {name} must be {kind.__name__}, found {value!r}")
    return value


def _parsed(kind: type, text: str, where: str, *, optional: bool) -> object:
    if optional and text.strip().lower() in NONE:
        return None
    if kind is str:
        return text
    if kind is bool:
        word = text.strip().lower()
        if word not in TRUE | FALSE:
            raise SettingsError(f"{where} must be true or false, found {text!r}")
        return word in TRUE
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise SettingsError(f"{where} must be {kind.__name__}, found {text!r}") from None
