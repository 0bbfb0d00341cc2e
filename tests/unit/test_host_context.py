"""Which scripts are given the context of their mini-batch."""

import functools

import pytest

from batch_endpoints.scoring.host_context import MiniBatchContext, asked_for


def alone(mini_batch): ...
def with_context(mini_batch, mini_batch_context): ...
def by_any_name(rows, context): ...
def optional(mini_batch, mini_batch_context=None): ...
def own_default(mini_batch, threshold=0.5): ...
def more(mini_batch, *others, **named): ...
@functools.wraps(with_context)
def decorated(*given, **named): ...


@pytest.mark.parametrize(
    ("run", "asks"),
    [
        (alone, False),
        (with_context, True),
        (by_any_name, True),
        (optional, True),
        (own_default, False),
        (more, False),
        (decorated, True),
        (print, False),
        (None, False),
    ],
)
def test_run_gets_the_context_where_its_second_parameter_needs_a_value(run, asks):
    assert asked_for(run) is asks


def test_the_context_has_azures_names():
    context = MiniBatchContext(7, {"Store": 1})
    assert (context.minibatch_index, context.partition_key_value) == (7, {"Store": 1})
