"""Put a venue together from what the command line asked for. Reads files; starts nothing."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from pm_frames.bundle import Bundle, open_bundle
from pm_mock.faultplan import Fault, read_faults
from pm_mock.faults import Faults
from pm_mock.hub import Hub
from pm_mock.pace import SECOND_NS
from pm_mock.plantplan import Plant, read_plants
from pm_mock.sources.bundle import HOLD_SECONDS, BundleSource
from pm_mock.sources.generated import GeneratedSource
from pm_mock.sources.recording import RecordingSource, read_recording
from pm_mock.venue import Source, Venue

RECORDING_SPEED = "max"
BUNDLE_SPEED = "1"


class BadOption(ValueError):
    """Flags that do not go together, or a value that is none."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `pm-mock serve` that shape the venue; None where nothing was said."""

    seed: int = 1
    markets: int = 20
    rate: float | None = None
    lifecycle_seconds: float | None = None
    recording: Path | None = None
    bundle: Path | None = None
    speed: str | None = None
    hold_seconds: float | None = None
    replay_disconnects: bool = False
    repeat: int = 1
    faults: Path | None = None
    plants: Path | None = None
    duration_seconds: float | None = None


def parse_speed(text: str) -> float | None:
    """A speed factor; None for "max" or 0, which is as fast as the reader takes it."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed <= 1e9:
        raise BadOption(f"--speed must be a positive number or max, got {text!r}")
    return speed or None


def check(options: Options, *, port: int = 0) -> None:
    """Raises `BadOption` for values that make no sense, alone or together."""
    if options.recording and options.bundle:
        raise BadOption("--recording and --bundle exclude each other")
    if (options.recording or options.bundle) and options.rate is not None:
        raise BadOption("--rate is for the generated market; use --speed")
    if not (options.recording or options.bundle) and options.speed is not None:
        raise BadOption("--speed is for --recording and --bundle; use --rate")
    if (options.recording or options.bundle) and options.plants:
        raise BadOption("--plants is for the generated market")
    if options.hold_seconds is not None and not options.bundle:
        raise BadOption("--hold-seconds is for --bundle")
    if options.replay_disconnects and not options.bundle:
        raise BadOption("--replay-disconnects is for --bundle")
    if options.repeat != 1 and not options.recording:
        raise BadOption("--repeat is for --recording")
    limits = {
        "--port": (port, 0, 65_535),
        "--markets": (options.markets, 1, 100_000),
        "--rate": (options.rate or 0, 0, 1_000_000),
        "--repeat": (options.repeat, 1, 10**9),
        "--hold-seconds": (options.hold_seconds or 0, 0, 1_000_000),
        "--lifecycle-seconds": (options.lifecycle_seconds or 0, 0, 1_000_000),
        "--duration-seconds": (options.duration_seconds or 0, 0, 10**9),
    }
    for flag, (value, lowest, highest) in limits.items():
        if not lowest <= value <= highest:
            raise BadOption(f"{flag} must be between {lowest} and {highest}, got {value}")
    parse_speed(options.speed or "1")


class Ingredients(NamedTuple):
    """What was read from files before the clock starts."""

    faults: tuple[Fault, ...]
    recording: list[bytes]
    bundle: Bundle | None
    plants: tuple[Plant, ...] = ()


def read_ingredients(options: Options) -> Ingredients:
    """Read the files that the options name. Raises `BadFaults`, `BadPlants`, `MissingRecording`,
    `BadRecording`, `BundleError`."""
    return Ingredients(
        read_faults(options.faults) if options.faults else (),
        read_recording(options.recording) if options.recording else [],
        open_bundle(options.bundle) if options.bundle else None,
        read_plants(options.plants) if options.plants else (),
    )


def compose(
    options: Options, ingredients: Ingredients, *, start_ns: int, wall_offset_ns: int
) -> Venue:
    """A venue that starts at `start_ns` on the monotonic clock."""
    hub = Hub()
    source: Source
    if ingredients.recording:
        speed = parse_speed(options.speed or RECORDING_SPEED)
        source = RecordingSource(ingredients.recording, speed=speed, repeat=options.repeat)
    elif ingredients.bundle:
        speed = parse_speed(options.speed or BUNDLE_SPEED)
        hold = HOLD_SECONDS if options.hold_seconds is None else options.hold_seconds
        source = BundleSource(
            hub,
            ingredients.bundle,
            speed=speed,
            hold_ns=round(hold * SECOND_NS),
            disconnects=options.replay_disconnects,
        )
    else:
        lifecycle = options.lifecycle_seconds
        source = GeneratedSource(
            hub,
            seed=options.seed,
            markets=options.markets,
            rate=50.0 if options.rate is None else options.rate,
            lifecycle_seconds=30.0 if lifecycle is None else lifecycle,
            start_ns=start_ns,
            wall_offset_ns=wall_offset_ns,
            plants=ingredients.plants,
        )
    duration = options.duration_seconds
    return Venue(
        source,
        hub,
        Faults(ingredients.faults, start_ns=start_ns, seed=options.seed),
        start_ns=start_ns,
        wall_offset_ns=wall_offset_ns,
        duration_ns=None if duration is None else round(duration * SECOND_NS),
    )
