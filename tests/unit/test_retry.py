import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.policies.retry import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, may_retry, pause_seconds


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_mini_batch_is_tried_once_and_then_as_often_as_is_allowed(max_retries):
    tries = 1
    while may_retry(tries, max_retries):
        tries += 1
    assert tries == 1 + max_retries


@given(attempt=st.integers(1, 5000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(attempt, jitter):
    assert FIRST_PAUSE_SECONDS / 2 <= pause_seconds(attempt, jitter) <= LONGEST_PAUSE_SECONDS


@given(attempt=st.integers(1, 20), jitter=st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_are_spread_over_half_of_their_length(attempt, jitter):
    assert pause_seconds(attempt, jitter) <= pause_seconds(attempt + 1, jitter)
    assert pause_seconds(attempt, 0) <= pause_seconds(attempt, jitter) <= 2 * pause_seconds(attempt, 0)
