"""An offline run: fixtures, the universe that they are about, and the dial that reaches them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pm_capture.offline.fixture_markets import Choice, universe_text
from pm_capture.offline.fixtures import ENCODER, MARKETS, Fixtures, read_fixtures
from pm_capture.offline.playback import Player
from pm_capture.settings import Settings
from pm_capture.shard_link import Dial
from pm_capture.syncer import INTERVAL_SECONDS
from pm_capture.universe import Universe, parse_universe

STOP_REASON = "fixtures"


@dataclass(frozen=True, slots=True)
class Stage:
    """What takes the place of Gamma and of the venue."""

    fixtures: Fixtures
    universe: Universe
    passes: int

    def dial(self, *, connections: int, ended: Callable[[], None]) -> Dial:
        """Return how a shard reaches the fixtures; `ended` is called when all were played."""
        player = Player(
            self.fixtures.messages,
            self.universe.token_ids,
            passes=self.passes,
            connections=connections,
            ended=ended,
        )
        url = f"fixtures:{self.fixtures.directory.as_posix()}"
        return Dial(url, open_seconds=0.0, user_agent="", open=player.open)

    def manifest(self) -> dict[str, object]:
        """Return what a manifest says otherwise, or in addition, of a run without a venue."""
        return {
            "payload_source": "decoded",
            "payload_encoder": ENCODER,
            "fixtures_dir": self.fixtures.directory.as_posix(),
            "fixtures_multiplier": self.passes,
            "fixtures_sha256": self.fixtures.sha256,
            "pinned_token_ids": self.universe.token_ids,
            "ndjson_fsync_on_close": True,
            "ndjson_fsync_interval_seconds": INTERVAL_SECONDS,
        }


def load(settings: Settings, *, mono_ns: int, wall_ns_utc: int) -> Stage:
    """Read the fixtures. Raises `FixturesError`, or `UniverseError` when no market is selected."""
    fixtures = read_fixtures(Path(settings.fixtures_dir))
    choice = Choice(
        markets_max=settings.capture_max_markets,
        market_regex=settings.market_regex if settings.capture_use_market_filters else None,
        mono_ns=mono_ns,
        wall_ns_utc=wall_ns_utc,
    )
    text = universe_text(fixtures.markets, choice)
    universe = parse_universe(text, str(fixtures.directory / MARKETS))
    return Stage(fixtures, universe, settings.fixtures_multiplier)


def untimed(settings: Settings) -> Settings:
    """Return settings under which silence means nothing: fixtures have no time of their own."""
    return dataclasses.replace(
        settings,
        ws_ping_interval_seconds=0.0,
        ws_data_idle_reconnect_seconds=0.0,
        capture_confirm_timeout_seconds=0.0,
        capture_snapshot_timeout_seconds=0.0,
    )
