"""The judges of the trials must be able to say no."""

import dataclasses
import errno
import json
from pathlib import Path

import pytest
import witness
from trials import chaos_laws, chaos_script, full_disk, reference, survivors
from trials.assignments import Assignments, Span, generation_tokens

from pm_frames import ShardWriter
from pm_frames.peek import peek

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


def test_assignments_change_and_contradict() -> None:
    assigned = Assignments({0: frozenset({"a", "b"}), 1: frozenset({"c"})})
    assigned.change(0, 10, added=["d"], removed=["a"])
    assert (assigned.at(0, 9), assigned.at(0, 10)) == ({"a", "b"}, {"b", "d"})
    assert {Span("a", 0, 0, 10), Span("d", 0, 10)} < set(assigned.spans)
    assert (assigned.union(), assigned.problems) == ({"b", "c", "d"}, [])
    assigned.change(1, 20, added=["b"], removed=["d"])
    assert assigned.problems == [
        "shard 1 gives up d, which it has not",
        "shard 1 gains b, which has a shard already",
    ]


def test_generations_are_followed_from_their_files(tmp_path: Path) -> None:
    (tmp_path / "universe").mkdir()
    markets = [{"tokens": [{"token_id": one}]} for one in "ab"]
    delta = {"removed": [{"token_ids": ["a"]}], "added": [{"tokens": [{"token_id": "c"}]}]}
    for version, document in enumerate(({"markets": markets}, delta)):
        path = tmp_path / "universe" / f"{version:06d}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
    assert list(generation_tokens(tmp_path)) == [{"a", "b"}, {"b", "c"}]


def test_only_an_array_of_books_answers_a_subscription() -> None:
    book = b'{"event_type":"book","asset_id":"1"}'
    trade = b'{"event_type":"last_trade_price","asset_id":"1"}'
    for payload, answers in (
        (b"[" + book + b"]", True),
        (b"[" + book + b"," + trade + b"]", False),
        (book, False),
    ):
        assert reference.is_answer(payload, peek(payload)) is answers


def test_a_trouble_excuses_no_more_than_its_aftermath() -> None:
    [(since, until)] = reference.troubled([chaos_script.Trouble("gamma_500", 20, 27)], 100 * S)
    assert (since, until) == (118 * S, 136 * S)


@pytest.fixture
def full(tmp_path: Path) -> tuple[Path, full_disk.Payloads]:
    """A run that a full disk has ended, with nothing wrong, and what it was to capture."""
    run_dir = tmp_path / "run"
    (run_dir / "capture").mkdir(parents=True)
    writer = ShardWriter(run_dir / "capture", 0)
    writer.append([(1, b"one"), (1, b"two")], rx_mono_ns=5, rx_wall_ns_utc=6)
    writer.close()
    fatal = {
        "fatal_reason": "FRAME_WRITER_ERROR",
        "fatal_message": "write failed",
        "frames_total": 2,
        "durable_frames_total": 2,
        "first_error": {"errno": errno.ENOSPC, "path": "capture/shard_00.frames"},
    }
    (run_dir / "fatal.json").write_text(json.dumps(fatal), encoding="utf-8")
    (run_dir / "missing_tokens.json").write_bytes(b"{}")
    frames = (run_dir / "capture" / "shard_00.frames").read_bytes()
    (run_dir / "last_frames_shard_00.bin").write_bytes(frames)
    return run_dir, {0: [b"one", b"two", b"three"]}


def test_a_full_disk_that_lost_nothing(full: tuple[Path, full_disk.Payloads]) -> None:
    run_dir, whole = full
    left = full_disk.judge(run_dir, whole, {0: sizes(run_dir)[0]})
    assert (left.problems, left.frames, left.struck) == ([], 2, "frames")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("capture/shard_00.idx", "has 2 frames, its index 1"),
        ("capture/shard_00.frames", "has lost 1 frames"),
        ("last_frames_shard_00.bin", "is not the end of"),
        ("missing_tokens.json", "no missing_tokens.json"),
        ("fatal.json", "fatal.json says durable_frames_total 3"),
        (".reserve", "was not given back"),
    ],
)
def test_a_full_disk_that_did(
    spoil: str, words: str, full: tuple[Path, full_disk.Payloads]
) -> None:
    run_dir, whole = full
    returned = sizes(run_dir)[0]
    path = run_dir / spoil
    match path.suffix:
        case ".json" if spoil.startswith("missing"):
            path.unlink()
        case ".json":
            told = json.loads(path.read_bytes())
            path.write_text(json.dumps({**told, "durable_frames_total": 3}), encoding="utf-8")
        case "":
            path.touch()
        case suffix:
            cut = 32 if suffix == ".idx" else 36 + len("two")
            path.write_bytes(path.read_bytes()[:-cut] + b"?" * (suffix == ".bin"))
    problems = full_disk.judge(run_dir, whole, {0: returned}).problems
    assert any(words in problem for problem in problems), problems
