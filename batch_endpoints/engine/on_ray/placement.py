"""Where the workers of a job run: as many on each of its instances, each of which is one node.

A placement group has a bundle of resources for each instance, no two of them on one node. Ray waits until the nodes
have room for all of them, has its autoscaler bring nodes that are missing, and finds another node for the bundle of
one that is lost. On a cluster of one node there is nothing to decide, and so no group, which takes time to make.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Literal

import ray
from ray.util import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from batch_endpoints.planning.resources import WorkerPlan

logger = logging.getLogger(__name__)

_LEAST_CPUS = 0.001  # a bundle has to ask for something


class Placement:
    """The instances of one job.

    Args:
        nodes: how many the cluster has.
    """

    def __init__(self, workers: WorkerPlan, nodes: int) -> None:
        self._workers = workers
        self._each = workers.count // workers.instances
        bundle = {"CPU": max(_LEAST_CPUS, round(workers.cpus * self._each, 4))}
        several = nodes > 1 or workers.to_come
        self._group = placement_group([bundle] * workers.instances, "STRICT_SPREAD") if several else None

    def next(self, taken: Iterable[int]) -> int:
        """The instance that gets the next worker: one that has a node, if there is room.

        Args:
            taken: the instances of those that there are.
        """
        count = Counter(taken)
        return min(self._with_room(count) or range(self._workers.instances), key=count.__getitem__)

    def lost(self, taken: Iterable[int]) -> set[int]:
        """The instances that have no node any more, where others have one, and room.

        Args:
            taken: the instances of all workers that there are.
        """
        some_room = self._with_room(Counter(taken))
        return set(range(self._workers.instances)) - self._standing() if some_room else set()

    def strategy(self, instance: int) -> PlacementGroupSchedulingStrategy | Literal["SPREAD"]:
        """How Ray is to place a worker of an instance."""
        if self._group is None:
            return "SPREAD"
        return PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=instance)

    @property
    def wait_for_room(self) -> bool:
        """Is there no room yet for all instances at once?"""
        return self._group is not None and placement_group_table(self._group)["state"] != "CREATED"

    def _with_room(self, count: Counter[int]) -> list[int]:
        return [instance for instance in sorted(self._standing()) if count[instance] < self._each]

    def _standing(self) -> set[int]:
        """The instances that have a node now; none before all have had one, and where they are no nodes at all."""
        if self._group is None:
            return set()
        table = placement_group_table(self._group)
        if table["state"] not in ("CREATED", "RESCHEDULING"):
            return set()
        return {instance for instance, node in table["bundles_to_node_id"].items() if node}

    def give_up(self) -> str:
        """Let workers run wherever there is room; returns what to say of it."""
        self.close()
        return (
            f"there are no {self._workers.instances} nodes with room for {self._each} workers on each: "
            "they run wherever there is room"
        )

    def close(self) -> None:
        """Give back what is reserved."""
        if self._group is not None:
            remove_placement_group(self._group)
            self._group = None


def gpus_of_nodes() -> dict[str, int]:
    """How many GPUs each node has, by its id."""
    return {node["NodeID"]: int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]}


def free_cpus() -> str:
    """What of the cluster's CPUs is free, for people."""
    free, has = ray.available_resources(), ray.cluster_resources()
    return f"{free.get('CPU', 0):g} of {has.get('CPU', 0):g} CPUs are free"


def is_alive(node: str) -> bool:
    """Does the cluster still have a node of this id?"""
    return any(known["NodeID"] == node and known["Alive"] for known in ray.nodes())
