import pytest

from pm_mock.ladder import Ladder


def ladder(*levels: tuple[int, int]) -> Ladder:
    made = Ladder()
    for price_e4, shares in levels:
        made.put(price_e4, shares * 1_000_000)
    return made


def test_levels_are_worst_first_in_both_texts() -> None:
    made = ladder((400, 2), (100, 1), (300, 3))
    assert made.prices_e4 == [100, 300, 400]
    assert made.as_bids() == (
        b'{"price":"0.01","size":"1"},{"price":"0.03","size":"3"},{"price":"0.04","size":"2"}'
    )
    assert made.as_asks() == (
        b'{"price":"0.99","size":"1"},{"price":"0.97","size":"3"},{"price":"0.96","size":"2"}'
    )


def test_sizes_are_absolute_and_zero_removes() -> None:
    made = ladder((100, 1), (200, 2))
    made.put(100, 7_500_000)
    assert made.size_at(100) == 7_500_000
    assert made.as_bids() == b'{"price":"0.01","size":"7.5"},{"price":"0.02","size":"2"}'
    made.put(200, 0)
    made.put(300, 0)
    assert (made.best_e4, len(made), made.size_at(200)) == (100, 1, 0)
    made.put(100, 0)
    assert (made.best_e4, made.as_bids(), made.as_asks()) == (0, b"", b"")


@pytest.mark.parametrize(("price_e4", "size_e6"), [(0, 1), (10_000, 1), (-1, 1), (5, -1)])
def test_impossible_levels_are_refused(price_e4: int, size_e6: int) -> None:
    with pytest.raises(ValueError, match=f"{size_e6} e-6 can rest at {price_e4} e-4"):
        Ladder().put(price_e4, size_e6)
