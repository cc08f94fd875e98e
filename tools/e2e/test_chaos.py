"""Chaos from a seed: the capture accounts for every frame that it has not got, and for nothing else.

`PM_TEST_CHAOS_SECONDS` sets the length (40 when it is not set), `PM_TEST_SEED` the script.
"""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import chaos_laws, chaos_script

SECONDS = float(os.environ.get("PM_TEST_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("PM_TEST_SEED", "20260101"))
SHARDS = 4
READY_S = 60.0
LIMITS = chaos_laws.Limits(idle_ns=1_500_000_000, ping_timeout_ns=1_000_000_000)
IMPATIENT = [
    "--ws-ping-interval-seconds", "0.5",
    "--ws-ping-timeout-seconds", "1",
    "--ws-data-idle-reconnect-seconds", "1.5",
    "--capture-confirm-timeout-seconds", "1.5",
    "--ws-reconnect-backoff-seconds", "0.1",
    "--ws-reconnect-backoff-max-seconds", "0.5",
]  # fmt: skip
NEVER = [
    "--ws-data-idle-reconnect-seconds", "0",
    "--ws-ping-timeout-seconds", "0",
    "--capture-confirm-timeout-seconds", "0",
]  # fmt: skip


@pytest.mark.timeout(600 + 3 * SECONDS)
def test_every_loss_is_declared_and_every_gap_has_a_cause(
    venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    # More fates than handshakes can come: a shard needs half a second for a connection at least.
    script = chaos_script.draw(SEED, seconds=SECONDS, connections=int(40 + SHARDS * SECONDS * 4))
    faults = tmp_path / "faults.toml"
    faults.write_text(script.toml, encoding="utf-8")
    sent_dir = tmp_path / "sent"
    served = venue(
        "--seed", str(SEED), "--markets", "40", "--rate", "800", "--faults", str(faults), "--sent-log", str(sent_dir)
    )  # fmt: skip
    reference = capture(served, "reference", "--ws-shards", "1", *NEVER)
    reference_dir = Path(reference.stdout.readline().strip())
    frames = reference_dir / "capture" / "shard_00.frames"
    deadline = time.monotonic() + READY_S
    while not (frames.exists() and frames.stat().st_size):
        assert time.monotonic() < deadline, "the reference heard nothing"
        time.sleep(0.01)
    universe = reference_dir / "universe" / "000000.json"
    tormented = capture(
        served, "chaos", "--universe", str(universe), "--ws-shards", str(SHARDS),
        "--duration-seconds", str(SECONDS), *IMPATIENT,
    )  # fmt: skip
    assert tormented.wait(timeout=SECONDS + 60) == 0
    reference.terminate()
    assert reference.wait(timeout=60) == 0
    served.stop()

    run_dir = tmp_path / "runs" / "chaos"
    for bundle in (run_dir, reference_dir):
        code, report = verify(bundle)
        assert code == 0, report["findings"]
    found = chaos_laws.trials(run_dir, sent_dir, script.fates)
    print("", chaos_laws.HEADING, *map(chaos_laws.row, found), sep="\n")
    wrong = []
    for trial, after in itertools.zip_longest(found, found[1:]):
        connection = trial.verdict.connection
        same = after is not None and after.verdict.connection.shard_id == connection.shard_id
        wrong += [
            f"shard {connection.shard_id} connection {connection.number} ({trial.fate}): {problem}"
            for problem in chaos_laws.problems(trial, after if same else None, LIMITS)
        ]
    failed, refused = chaos_laws.refusals(run_dir, sent_dir)
    unheard = chaos_laws.compare_with_reference(run_dir, sent_dir, found, LIMITS)
    if unheard.undeclared:
        wrong.append(
            f"{unheard.undeclared} events that the reference heard are neither captured nor inside a "
            f"declared gap; the first: {unheard.first_undeclared}"
        )
    # The end of the run may come between a refusal and its record.
    if not refused - SHARDS <= failed <= refused:
        wrong.append(f"the runlog has {failed} failed attempts, the venue refused {refused}")
    print(
        f"seed {SEED}, {SECONDS:g} s: {len(found)} connections, {refused} refused; "
        f"{sum(t.verdict.sent for t in found):,} frames sent, "
        f"{sum(t.verdict.captured for t in found):,} captured, "
        f"{sum(t.verdict.missing for t in found):,} missing inside declared gaps\n"
        f"reference: {unheard.heard:,} events heard, {unheard.captured:,} captured, {unheard.in_gap:,} "
        f"inside declared gaps, {unheard.in_short_silence:,} inside silences shorter than the watchdog, "
        f"{unheard.undeclared:,} undeclared"
    )
    again = (
        f"PM_TEST_SEED={SEED} PM_TEST_CHAOS_SECONDS={SECONDS:g} python -m pytest -s -c tools/pytest.ini "
        "tools/e2e/test_chaos.py"
    )
    assert not wrong, "\n".join([*wrong, f"again: {again}"])
    assert sum(not t.verdict.connection.ended_planned for t in found) >= SECONDS / 8
