"""Blocks of bundles: large ones first, single bundles at the end, and nothing left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_endpoints.planning.blocks import blocks_at_once, guided_blocks


@given(bundles=st.integers(0, 300), workers=st.integers(1, 40))
def test_blocks_are_all_bundles_in_their_order_and_never_grow(bundles, workers):
    blocks = guided_blocks(range(bundles), workers)
    assert [bundle for block in blocks for bundle in block] == list(range(bundles))
    sizes = [len(block) for block in blocks]
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes)
    assert sizes[-workers:] == [1] * len(sizes[-workers:])


def test_some_twenty_blocks_of_64_bundles_for_two_workers():
    assert [len(block) for block in guided_blocks(range(64), 2)] == [10, 9, 7, 6, 5, 4, 3, 3, 2, 2, 2] + [1] * 11


@pytest.mark.parametrize(
    ("bundles", "workers", "expected"),
    [
        pytest.param(2, 2, 1, id="one each: the second worker must get the second bundle"),
        pytest.param(15, 2, 1, id="few"),
        pytest.param(16, 2, 2, id="many: one waits at the worker"),
    ],
)
def test_a_block_waits_at_a_worker_only_where_there_are_many(bundles, workers, expected):
    assert blocks_at_once(bundles, workers, most=2) == expected
