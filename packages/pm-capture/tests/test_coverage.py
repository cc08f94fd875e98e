"""Coverage as a timeline."""

from pm_capture.policies.coverage import Coverage, Covered

S = 1_000_000_000


def test_tokens_of_the_start_are_due_at_once() -> None:
    coverage = Coverage(["a", "b"])
    assert coverage.counted(0) == Covered(seen=0, eligible=2, assigned=2)
    coverage.books_received(["a", "z"])
    assert coverage.counted(6) == Covered(seen=1, eligible=2, assigned=2)
    assert coverage.missing() == ["b"]


def test_a_new_token_counts_when_it_is_seen_or_its_grace_is_over() -> None:
    coverage = Coverage(["a"], grace_ns=30 * S)
    coverage.books_received(["a"])
    coverage.new_tokens(["b", "c", "a"], 100 * S)
    assert coverage.counted(129 * S) == Covered(1, 1, 3)
    coverage.books_received(["b"])
    assert coverage.counted(130 * S - 1) == Covered(2, 2, 3)
    assert coverage.counted(130 * S) == Covered(2, 3, 3)
    assert coverage.missing() == ["c"]


def test_a_removed_token_is_forgotten_and_starts_anew() -> None:
    coverage = Coverage(["a"])
    coverage.new_tokens(["b"], 0)
    coverage.books_received(["a"])
    coverage.removed_tokens(["a", "b", "z"])
    assert coverage.counted(2) == Covered(0, 0, 0)
    assert not coverage.missing()
    coverage.new_tokens(["a"], 3)
    assert coverage.counted(4) == Covered(0, 0, 1)
    assert coverage.missing()


def test_counts_are_kept_for_a_while() -> None:
    coverage = Coverage(["a"])
    assert coverage.counted(10 * S, every_ns=5 * S).seen == 0
    coverage.books_received(["a"])
    assert coverage.counted(15 * S - 1, every_ns=5 * S).seen == 0
    assert coverage.counted(15 * S - 1).seen == 1
    assert coverage.counted(15 * S, every_ns=5 * S).seen == 1
