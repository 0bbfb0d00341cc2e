"""The nodes of a Ray cluster: what they have, and what of it is free."""

from __future__ import annotations

from collections.abc import Mapping

import ray

from batch_endpoints.engine.on_ray.internals import kinds_of_nodes
from batch_endpoints.planning.resources import ClusterShape, Node, WorkerPlan


def shape() -> ClusterShape:
    """The nodes that are up, and those that an autoscaler may bring."""
    kinds = kinds_of_nodes()
    return ClusterShape(
        tuple(_node(node["Resources"], node["Labels"]) for node in ray.nodes() if node["Alive"]),
        kinds=None if kinds is None else tuple(map(_node, kinds)),
    )


def alive_nodes() -> set[str]:
    """Ids of the nodes that are up."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def free_resources() -> str:
    """What of the cluster's CPUs and GPUs is free, as a clause for people."""
    free, has = ray.available_resources(), ray.cluster_resources()
    counts = [
        f"{free.get(key, 0):g} of {has.get(key, 0):g} {key}s" for key in ("CPU", "GPU") if key == "CPU" or key in has
    ]
    return f"{' and '.join(counts)} are free"


def cpus() -> float:
    """Of all nodes that are up."""
    return float(ray.cluster_resources().get("CPU", 0))


def has_room(workers: WorkerPlan) -> bool:
    """Are enough CPUs, GPUs and memory free for all of a job's workers?"""
    free = ray.available_resources()
    asked = {"CPU": workers.cpus, "GPU": workers.gpus, "memory": workers.memory}
    return all(free.get(key, 0) >= each * workers.count for key, each in asked.items())


def _node(resources: Mapping[str, float], labels: Mapping[str, str] | None = None) -> Node:
    cpus, gpus = float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
    return Node(cpus, gpus, int(resources.get("memory", 0)), labels or {})
