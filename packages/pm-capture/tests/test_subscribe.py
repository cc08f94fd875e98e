"""The texts of the market channel, letter by letter."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pm_capture.subscribe import SubscribeCaps, groups, initial, subscribe, unsubscribe


def test_texts_are_exact() -> None:
    assert initial(["1", "2"]) == (
        '{"assets_ids":["1","2"],"type":"market","custom_feature_enabled":true}'
    )
    assert subscribe(["3"]) == (
        '{"operation":"subscribe","assets_ids":["3"],"custom_feature_enabled":true}'
    )
    assert unsubscribe(["1"]) == '{"operation":"unsubscribe","assets_ids":["1"]}'


def test_a_token_id_cannot_break_out_of_its_quotes() -> None:
    assert initial(['"],']).startswith('{"assets_ids":["\\"],"]')


def test_groups_of_a_hundred() -> None:
    tokens = [str(number) for number in range(250)]
    assert [len(group) for group in groups(tokens, SubscribeCaps())] == [100, 100, 50]
    assert list(groups([], SubscribeCaps())) == []


def test_a_token_above_the_byte_limit_goes_alone() -> None:
    caps = SubscribeCaps(tokens_max=100, bytes_max=200)
    long = "9" * 400
    assert list(groups(["1", long, "2"], caps)) == [("1",), (long,), ("2",)]


@given(
    st.lists(st.text(min_size=1, max_size=80), max_size=60),
    st.integers(1, 20),
    st.integers(256, 1000),
)
def test_no_message_passes_a_limit_and_no_token_is_lost(
    tokens: list[str], tokens_max: int, bytes_max: int
) -> None:
    cut = list(groups(tokens, SubscribeCaps(tokens_max, bytes_max)))
    assert [token for group in cut for token in group] == tokens
    for group in cut:
        assert 1 <= len(group) <= tokens_max
        longest = max(len(text(group).encode()) for text in (initial, subscribe, unsubscribe))
        assert longest <= bytes_max or len(group) == 1
    for group, following in pairwise(cut):
        # Nothing is cut that would have fitted.
        joined = [*group, following[0]]
        assert len(joined) > tokens_max or len(subscribe(joined).encode()) > bytes_max
