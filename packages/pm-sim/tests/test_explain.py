"""An explanation is of the same simulation, adds up, and leads to the bytes of the frames."""

import json
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from streams import T0, WALL, walk

from pm_frames import ShardWriter, open_bundle
from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_frames.events import EventReader
from pm_sim.engine import Engine
from pm_sim.explain import Place, Witness, fee_arithmetic, page, raw
from pm_sim.fees import Dearer, FlatBps, VenueSchedule
from pm_sim.fixed import PxE6, SzE6
from pm_sim.latency import Fixed
from pm_sim.orders import Fill, Side
from pm_sim.settings import Settings
from pm_sim.strategies.controls import RandomTaker

TOPS = 240


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one shard; frame n says that it is."""
    path = tmp_path_factory.mktemp("run")
    (path / "manifest.json").write_text(json.dumps({"run_id": "r"}))
    (path / "capture").mkdir()
    writer = ShardWriter(path / "capture", 0)
    for number in range(TOPS + 1):
        payload = f"frame {number} ".encode() * (1 + number % 3)
        writer.append([(1, payload)], rx_mono_ns=T0 + number, rx_wall_ns_utc=WALL + number)
    writer.close()
    return path


def simulated(
    fill_id: int | None, *, seed: int = 3, depth: bool = True, **settings: Any
) -> tuple[Engine, list[tuple[str, Fill]], Witness]:
    reader = EventReader(BytesIO(walk(seed, TOPS // 2, depth=depth)))
    fills: list[tuple[str, Fill]] = []
    engine = Engine(
        reader.header,
        Settings(order_latency=Fixed(2_000_000), **settings),
        [("random", lambda: RandomTaker(one_in=2, size_e6=60_000_000))],
        tell_fill=lambda lens, fill: fills.append((lens.name, fill)),
    )
    witness = Witness(fill_id or 0)
    if fill_id is None:
        engine.run(reader.blocks())
    else:
        witness.attach(engine)
        engine.run(witness.blocks(reader.blocks()))
    assert reader.end is not None
    engine.finish(reader.end)
    return engine, fills, witness


@pytest.mark.parametrize("depth", [True, False])
def test_every_fill_of_every_lens_is_explained_and_adds_up(run: Path, *, depth: bool) -> None:
    plain, fills, _ = simulated(None, depth=depth)
    of_lens = {name: [one for lens, one in fills if lens == name] for name in ("worst", "central")}
    assert min(map(len, of_lens.values())) > 10
    walked = 0
    for fill_id in range(1, 1 + max(map(len, of_lens.values())), 3):
        engine, _, witness = simulated(fill_id, depth=depth)
        assert [one.fills.hexdigest() for one in engine.lenses] == [
            one.fills.hexdigest() for one in plain.lenses
        ]
        told = witness.explanation(run)["lenses"]
        assert list(told) == ["worst", "central"]
        for name, one in told.items():
            if fill_id > len(of_lens[name]):
                assert one is None
                continue
            fill = of_lens[name][fill_id - 1]
            walked += adds_up(one, fill)
            assert one["rule"]["share_bps"] == (5_000 if name == "worst" else 10_000)
    assert walked or not depth


def adds_up(one: dict[str, Any], fill: Fill) -> bool:
    """Check an explanation against its fill; say whether it is not of the best level."""
    assert one["fill"]["fill_id"] == fill.fill_id
    assert one["fee"]["fee_e6"] == fill.fee_e6
    sign = -1 if fill.side is Side.BUY else 1
    money = one["money"]
    assert money["cash_e6"] == sign * money["notional_e6"] - fill.fee_e6
    wait = one["latency"]
    assert wait["order_latency_ns"] == 2_000_000
    parts = ("decided_ns", "order_latency_ns", "venue_delay_ns", "waited_ns")
    assert sum(wait[name] for name in parts) == fill.at_ns
    assert wait["waited_ns"] >= 0
    changed = [
        (before, after)
        for before, after in zip(one["book"]["before"], one["book"]["after"], strict=True)
        if before != after
    ]
    [(before, after)] = changed
    assert before["px_e6"] == one["book"]["level_px_e6"] == fill.px_e6
    assert after["taken_e6"] - before["taken_e6"] == fill.size_e6
    assert before["can_be_had_e6"] - after["can_be_had_e6"] == fill.size_e6 >= 0
    assert after["taken_e6"] <= before["displayed_e6"] * one["rule"]["share_bps"] // 10_000
    better = one["book"]["before"][: one["book"]["before"].index(before)]
    assert not any(level["can_be_had_e6"] for level in better)
    frames = one["frames"]
    assert frames["top"]["frame"] == fill.frame
    assert frames["last_event"]["frame"] == fill.seq
    assert frames["decision"]["frame"] == one["order"]["seq"]
    assert all(frame["payload"].startswith(f"frame {frame['frame']} ") for frame in frames.values())
    return bool(better)


def test_a_frame_is_where_it_is_said_to_be(run: Path) -> None:
    told = raw(open_bundle(run), Place(0, 7))
    data = (run / told["file"]).read_bytes()[told["offset"] : told["end"]]
    assert data.endswith(told["payload"].encode())
    assert told["payload"].startswith("frame 7 ")
    assert raw(open_bundle(run), Place(0xFFFF, 5)) == {"shard": None, "runlog_record": 5}
    for place in (Place(0, TOPS + 1), Place(1, 0)):
        with pytest.raises(MissingFile, match="has no frame"):
            raw(open_bundle(run), place)


def test_a_page_names_what_it_is_of_and_a_fill_that_is_not_is_refused(run: Path) -> None:
    _, fills, witness = simulated(2)
    text = "\n".join(page(witness.explanation(run)))
    for part in ("fill 2 of run r", "worst: random", "central: random", "bytes ", "the dearer of"):
        assert part in text
    _, _, nobody = simulated(len(fills) + 1)
    with pytest.raises(UsageError, match="no lens has"):
        nobody.explanation(run)


@pytest.mark.parametrize(
    ("model", "text", "fee"),
    [
        (FlatBps(100), "5.75 x 100 / 10000, up to 0.000001: 0.0575", 57_500),
        (
            VenueSchedule(Fraction(1, 25), 1),
            "10 x 1/25 x (0.575 x 0.425)^1 = 391/4000, up to 0.00001: 0.09775",
            97_750,
        ),
        (
            Dearer(FlatBps(100), VenueSchedule(Fraction(1, 25), 1)),
            "the dearer of flat and venue: 0.09775",
            97_750,
        ),
    ],
)
def test_fees_are_reckoned_aloud(model: Any, text: str, fee: int) -> None:
    told = fee_arithmetic(model, Side.BUY, PxE6(575_000), SzE6(10_000_000))
    assert (told["arithmetic"], told["fee_e6"]) == (text, fee)
