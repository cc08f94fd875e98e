"""The judges of the trials must be able to say no."""

import dataclasses
from pathlib import Path

import pytest
import witness
from trials import chaos_laws, chaos_script, survivors

from pm_frames import ShardWriter

S = 1_000_000_000
LIMITS = chaos_laws.Limits(idle_ns=2 * S, ping_timeout_ns=S)


def trial(trigger: str, kind: str, how: str = "lost") -> chaos_laws.Trial:
    """A connection that was opened at 10 s, brought its last data at 14 s and ended at 16 s."""
    connection = witness.Connection(
        shard_id=0,
        number=1,
        local_address="127.0.0.1:5",
        opened_mono_ns=10 * S,
        ended_mono_ns=16 * S,
        ended_planned=False,
        opened_wall_ns=10 * S,
        since_mono_ns=14 * S,
        trigger=trigger,
        next_opened_wall_ns=17 * S,
    )
    return chaos_laws.Trial(
        witness.Verdict(connection),
        number=2,
        how=how,
        fate=chaos_script.Fate(kind, 4.0),
        opened_ns=10 * S,
        closed_ns=16 * S if how == "lost" else 14 * S,
        last_sent_ns=14 * S,
        last_data_ns=14 * S,
        last_rx_ns=14 * S,
        last_data_rx_ns=14 * S,
    )


def test_gaps_with_a_cause() -> None:
    for one in (
        trial("data_idle_timeout", "freeze"),
        trial("ping_timeout", "mute"),
        trial("peer_closed", "drop", how="fault"),
    ):
        assert list(chaos_laws.problems(one, None, LIMITS)) == []


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (trial("peer_closed", "close"), "the venue did not end it"),
        (trial("data_idle_timeout", "close"), "its fate was close"),
        (trial("ping_timeout", "freeze"), "its fate was freeze"),
        (trial("confirm_timeout", "stillborn"), "data had been sent"),
        (trial("invalid_operation", "close"), "did not say so"),
        (trial("whim", "close"), "is not expected"),
        (dataclasses.replace(trial("data_idle_timeout", "freeze"), last_data_ns=15 * S), "before"),
        (dataclasses.replace(trial("peer_closed", "drop", "fault"), last_rx_ns=13 * S), "+1.0"),
        (
            dataclasses.replace(trial("peer_closed", "drop", "fault"), closed_ns=16 * S),
            "2.000 s before anything was lost",
        ),
    ],
)
def test_gaps_without_one(one: chaos_laws.Trial, words: str) -> None:
    [problem] = chaos_laws.problems(one, None, LIMITS)
    assert words in problem


def test_a_script_is_the_same_for_the_same_seed() -> None:
    one = chaos_script.draw(3, seconds=10, connections=50)
    assert one == chaos_script.draw(3, seconds=10, connections=50)
    assert one.toml != chaos_script.draw(4, seconds=10, connections=50).toml


@pytest.fixture
def shard(tmp_path: Path) -> tuple[Path, Path]:
    """Three frames in a shard, and a venue's log that agrees."""
    for place in ("run/capture", "sent"):
        (tmp_path / place).mkdir(parents=True)
        writer = ShardWriter(tmp_path / place, 0)
        for text in (b"one", b"two", b"three"):
            writer.append([(1, text)], rx_mono_ns=5, rx_wall_ns_utc=6)
        writer.close()
    return tmp_path / "run", tmp_path / "sent" / "shard_00.frames"


def sizes(run_dir: Path) -> tuple[int, int]:
    capture = run_dir / "capture"
    return (capture / "shard_00.frames").stat().st_size, (capture / "shard_00.idx").stat().st_size


def test_a_shard_that_lost_nothing(shard: tuple[Path, Path]) -> None:
    run_dir, sent = shard
    judged = survivors.judge_shard(run_dir, 0, sent, sizes(run_dir))
    assert (judged.problems, judged.whole, judged.returned) == ([], 3, 3)


def test_a_write_that_had_returned_and_is_gone(shard: tuple[Path, Path]) -> None:
    run_dir, sent = shard
    returned = sizes(run_dir)
    with (run_dir / "capture" / "shard_00.frames").open("r+b") as file:
        file.truncate(returned[0] - 1)
    judged = survivors.judge_shard(run_dir, 0, sent, returned)
    assert judged.lost == 1
    assert "shard 0: 1 frames lost whose write had returned" in judged.problems


def test_frames_that_nobody_sent(shard: tuple[Path, Path]) -> None:
    run_dir, _ = shard
    judged = survivors.judge_shard(run_dir, 0, None, sizes(run_dir))
    assert "shard 0: differs from what was sent at frame 0" in judged.problems
