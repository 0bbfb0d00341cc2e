"""How many workers a job gets: what it asks for, as far as the cluster can ever run it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterShape:
    """What a cluster has now.

    Args:
        node_cpus: CPUs of each node that runs workers.
    """

    node_cpus: tuple[float, ...]


@dataclass(frozen=True)
class WorkerPlan:
    """Workers to start.

    Args:
        count: worker processes on all instances, at least 1.
        cpus: what each reserves of a node; a fraction where a node has fewer CPUs than workers.
        notes: what differs from what was asked, and why.
        instances: nodes that they run on, the same number on each.
        to_come: none of these nodes is there yet.
    """

    count: int
    cpus: float
    notes: tuple[str, ...] = ()
    instances: int = 1
    to_come: bool = False


def plan_workers(instance_count: int, concurrency: int, cluster: ClusterShape) -> WorkerPlan:
    """Workers for one job.

    ``concurrency`` processes run on a node whatever its size, as on Azure ML: each reserves one CPU where the node
    has as many, and its share of the node where it has fewer. Nodes beyond those there are would never come,
    so they are left out, and a note says it. Where none has a CPU, all are still to come: an autoscaler brings them.
    """
    nodes = sorted((cpus for cpus in cluster.node_cpus if cpus > 0), reverse=True)[:instance_count]
    smallest = min(nodes, default=1.0)
    # rounded down: concurrency x cpus must never exceed the node, or the last worker would wait for ever
    cpus = min(1.0, int(smallest / concurrency * 1000) / 1000)
    notes: list[str] = []
    if 0 < len(nodes) < instance_count:
        notes.append(
            f"the job asks for {instance_count} nodes and the cluster has {len(nodes)}: it runs on {len(nodes)}"
        )
    instances = len(nodes) or instance_count
    return WorkerPlan(instances * concurrency, cpus, tuple(notes), instances, to_come=not nodes)


def visible_gpu(slot: int, gpus: int) -> str:
    """What CUDA_VISIBLE_DEVICES is for a worker on a node with GPUs: one each, the lowest first (as on Azure ML).

    Args:
        slot: number of the worker among those on its node, from 0 on; those beyond the GPUs get none.
    """
    return str(slot) if slot < gpus else ""
