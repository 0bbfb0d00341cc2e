"""The names of Ray that it does not promise to keep, each with the reason why no public one does.

``tests/integration/test_ray_internals.py`` fails when Ray changes them. This module is imported before ``ray.data``,
which reads some of its settings at import.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray._private.state import state
from ray.core.generated import gcs_pb2

if TYPE_CHECKING:  # its import takes a second
    import ray.data

_STATES: Any = gcs_pb2.ActorTableData  # type: ignore[attr-defined]
_LOOK_SECONDS = 0.02
_ALIVE, _RESTARTING = _STATES.ALIVE, _STATES.RESTARTING

# pending actors of a pool of fixed size are a demand by themselves; Ray Data's own request for nodes knows no labels,
# and keeps the last node for minutes after a driver that is lost
for _kind in ("", "DEFAULT_"):  # of the two autoscalers that Ray Data chooses from, by release
    for _resource in ("CPU_", "GPU_", "MEMORY_", "OBJECT_STORE_MEMORY_") if _kind else ("",):
        os.environ.setdefault(f"RAY_DATA_{_kind}CLUSTER_SCALING_UP_{_resource}UTIL_THRESHOLD", "1000000")
# its thread waits up to 0.1 s for each outcome
os.environ.setdefault("RAY_DATA_METADATA_PREFETCH_ON_THREAD", "0")


@dataclass(frozen=True)
class Pool:
    """The workers of an execution by what Ray says of them."""

    up: int
    coming: int  # or coming up again
    lost_starts: int  # how often one of those that never were up has ended while it came up


class Execution:
    """A dataset that is being executed.

    ``Dataset.iter_internal_ref_bundles`` blocks until the first block is there, and nothing public ends an execution.
    """

    def __init__(self, dataset: ray.data.Dataset) -> None:
        self._executor = dataset._create_executor()
        self._bundles = dataset._build_bundle_iterator(self._executor)
        self._seen: set[str] = set()  # ids of actors: those that have no more work leave the pool, and then end

    def blocks(self) -> Iterator[Any]:
        """The blocks of the output as they come; from one thread, which need not be the one that ends it."""
        for bundle in self._bundles:
            self._running()
            refs: list[Any] = list(bundle.block_refs)
            yield from ray.get(refs)

    def pool(self) -> Pool:
        """No public call says how many actors are up; the dashboard may not be there."""
        states = [actor._get_local_state() for actor in self._running()]
        pending = list(self._pool._pending_actors.values())
        lost_starts = [_restarts(actor) for actor in pending if actor._get_local_state() == _RESTARTING]
        return Pool(states.count(_ALIVE), len(pending) + states.count(_RESTARTING), max(lost_starts, default=0))

    def end(self, word: Callable[[Any], object], seconds: float) -> None:
        """End all actors, whatever they are at.

        Args:
            word: run in each actor that is up before it is killed.
            seconds: how long to wait for that, and for the end of those that had no more work.
        """
        until = time.monotonic() + seconds
        actors = [actor for actor in self._running() if actor._get_local_state() == _ALIVE]
        if actors:
            ray.wait([actor.__ray_call__.remote(word) for actor in actors], num_returns=len(actors), timeout=seconds)
        self._executor.shutdown(force=True)
        for actor in actors:  # one that leaves the pool meanwhile would live as long as it is known here
            ray.kill(actor)
        while time.monotonic() < until and not all(map(_has_ended, self._seen)):
            time.sleep(_LOOK_SECONDS)

    def _running(self) -> list[Any]:
        actors = list(self._pool._running_actors)
        self._seen |= {actor._actor_id.hex() for actor in actors}
        return actors

    @property
    def _pool(self) -> Any:
        operators: Iterable[Any] = self._executor._topology or ()
        (pool,) = (pool for operator in operators for pool in operator.get_autoscaling_actor_pools())
        return pool


def set_private_settings(context: Any) -> None:
    """Settings of Ray Data's context that have no public name."""
    context._max_num_blocks_in_streaming_gen_buffer = None  # a worker would wait for its outcomes to be read
    context.issue_detectors_config.detectors = []  # a bundle takes as long as it takes


def kinds_of_nodes() -> list[dict[str, float]] | None:
    """Resources of the kinds of nodes that an autoscaler may bring, as its configuration has them.

    Returns: None where an autoscaler keeps them to itself.
    """
    config = state.get_cluster_config()
    if config is None:
        return []
    return [dict(group.resources) for group in config.node_group_configs if group.max_count]


def _restarts(actor: Any) -> int:
    return int(state.actor_table(actor._actor_id.hex()).get("NumRestarts", 0))


def _has_ended(actor: str) -> bool:
    return str(state.actor_table(actor).get("State", "DEAD")) == "DEAD"
