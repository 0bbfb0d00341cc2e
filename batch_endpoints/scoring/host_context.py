"""What ``run(mini_batch, mini_batch_context)`` gets besides its mini-batch, in the host process.

Loaded by host.py, under the same rules: standard library only; Python 3.8's syntax.
"""

from __future__ import annotations

import inspect
from typing import Any


class MiniBatchContext:
    """Azure ML's names.

    Args:
        minibatch_index: the number of the mini-batch in the job.
        partition_key_value: key -> value that all of the mini-batch shares; empty without partition_keys.
    """

    def __init__(self, minibatch_index: Any, partition_key_value: Any) -> None:
        self.minibatch_index = minibatch_index
        self.partition_key_value = partition_key_value

    def __repr__(self) -> str:
        return f"MiniBatchContext({self.minibatch_index}, {self.partition_key_value})"


def asked_for(run: Any) -> bool:
    """Has ``run`` a second parameter that needs a value, or one of that name?"""
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return len(places) > 1 and (places[1].default is places[1].empty or places[1].name == "mini_batch_context")
