"""Simulations of streams for tests, and strategies made of a function."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from pm_frames.events import EventReader
from pm_frames.events.event_reader import Source
from pm_sim import Context, Fill, Intent, MarketState, Portfolio, Reject, Strategy, TopOfBook
from pm_sim.engine import Engine
from pm_sim.latency import Fixed
from pm_sim.lens import Lens
from pm_sim.settings import CENTRAL, Settings


def simulate(
    data: bytes | Source,
    *strategies: tuple[str, Callable[[], Strategy]] | Callable[[], Strategy],
    latency_ns: int = 0,
    lenses: tuple[str, ...] = (CENTRAL,),
    engine: dict[str, Any] | None = None,
    **settings: Any,
) -> Engine:
    """Run strategies over a stream to its end; without an id they are s0, s1, …"""
    reader = EventReader(BytesIO(data) if isinstance(data, bytes) else data)
    made = Engine(
        reader.header,
        Settings(
            **{
                "order_latency": Fixed(latency_ns),
                "cancel_latency": Fixed(latency_ns),
                "lenses": lenses,
                **settings,
            }
        ),
        [one if isinstance(one, tuple) else (f"s{at}", one) for at, one in enumerate(strategies)],
        **(engine or {}),
    )
    made.run(reader.blocks())
    assert reader.end is not None
    made.finish(reader.end)
    return made


class Script(Strategy):
    """Yields what a list says for the number of each top; notes what it is told."""

    def __init__(self, plan: dict[int, list[Any]]) -> None:
        super().__init__()
        self.plan = plan
        self.answers: list[int | None] = []
        self.told: list[Any] = []
        self.times: list[int] = []

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent]:
        for intent in self.plan.get(event.seq, []):
            answer = yield intent
            self.answers.append(answer)

    def on_fill(self, ctx: Context, fill: Fill, portfolio: Portfolio) -> None:
        self.told.append(fill)
        self.times.append(ctx.now_ns)

    def on_reject(self, ctx: Context, reject: Reject, portfolio: Portfolio) -> None:
        self.told.append(reject)
        self.times.append(ctx.now_ns)

    def on_timer(self, ctx: Context, timer: Any, portfolio: Portfolio) -> None:
        self.told.append(timer)
        self.times.append(ctx.now_ns)


def script(engine: Engine, at: int = 0) -> Script:
    """Return the script that ran in the first lens."""
    strategy = engine.lenses[0].runs[at].strategy
    assert isinstance(strategy, Script)
    return strategy


def fills(engine: Engine) -> list[Fill]:
    """Return the fills that a script was told."""
    return [one for one in script(engine).told if isinstance(one, Fill)]


def only(engine: Engine) -> Lens:
    """Return the one lens."""
    [lens] = engine.lenses
    return lens
