"""How many workers a job gets and what each reserves: what it asks for, as far as the cluster can ever run it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from batch_endpoints.errors import ResourcesUnavailable
from batch_endpoints.specs import Resources


@dataclass(frozen=True)
class Node:
    """What one node has: CPUs, GPUs, bytes of memory, and Ray's labels."""

    cpus: float
    gpus: float = 0.0
    memory: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterShape:
    """What a cluster has now, and may get.

    Args:
        nodes: those that are up.
        kinds: those that an autoscaler could bring; None where it keeps that to itself, and nothing can be ruled out.
        alone: this is one machine, on which as many workers run as it has room for.
    """

    nodes: tuple[Node, ...]
    kinds: tuple[Node, ...] | None = ()
    alone: bool = False


@dataclass(frozen=True)
class WorkerPlan:
    """Workers to start.

    Args:
        count: worker processes of the job, at least 1.
        cpus: what each reserves of a node; a fraction where a node has fewer CPUs than workers.
        gpus: likewise; Ray lets workers that reserve fractions share a GPU.
        memory: bytes, 0 where none is reserved.
        notes: what differs from what was asked, and why.
        to_come: no node is there yet.
        stated: the deployment or the job says what a worker reserves, or where.
        label_selector: labels of the nodes that it may run on, as Ray has them.
    """

    count: int
    cpus: float
    gpus: float = 0.0
    memory: int = 0
    notes: tuple[str, ...] = ()
    to_come: bool = False
    stated: bool = False
    label_selector: Mapping[str, str] = field(default_factory=dict)

    @property
    def each(self) -> str:
        """What a worker reserves, for people."""
        memory = f"{self.memory / 1e9:g} GB of memory" if self.memory else ""
        asked = [f"{self.cpus:g} CPUs", f"{self.gpus:g} GPUs" if self.gpus else "", memory]
        return " and ".join(filter(None, asked))

    @property
    def where(self) -> str:
        """On which nodes, as a clause for people; "" where any will do."""
        return f" on nodes with {_shown(self.label_selector)}" if self.label_selector else ""


def plan_workers(resources: Resources, concurrency: int, cluster: ClusterShape) -> WorkerPlan:
    """Workers for one job: ``concurrency`` processes for each instance, wherever they find room.

    Where nothing is said of what each reserves, it is one CPU where a node has as many, as on Azure ML, and its share
    of the node where it has fewer; likewise its share of the node's GPUs, where all nodes have some. Where no node
    has a CPU, or none the labels that are asked for, all are still to come: an autoscaler brings them.

    Raises:
        ResourcesUnavailable: no node has, or could have, what one worker reserves.
    """
    instances, wanted = resources.instance_count, resources.worker
    selector = {} if cluster.alone else wanted.label_selector
    nodes = [node for node in cluster.nodes if node.cpus > 0 and has_labels(node.labels, selector)]
    nodes.sort(key=lambda node: node.cpus, reverse=True)
    used = nodes[:instances]
    notes: list[str] = []
    if selector and not nodes:
        notes.append(f"the job waits for a node with {_shown(selector)}: the cluster has none now")
    if 0 < len(nodes) < instances:
        which = f" with {_shown(selector)}" if selector else ""
        asked = f"the job asks for {instances} nodes and the cluster has {len(nodes)}{which}"
        then = f"it runs on {len(nodes)}" if cluster.alone else "its workers run wherever there is room"
        notes.append(f"{asked}: {then}")
        instances = len(nodes) if cluster.alone else instances
    cpus = _share(min((node.cpus for node in used), default=1.0), concurrency)
    gpus = _share(min((node.gpus for node in nodes), default=0.0), concurrency)
    plan = WorkerPlan(
        instances * concurrency,
        cpus if wanted.num_cpus is None else wanted.num_cpus,
        gpus if wanted.num_gpus is None else wanted.num_gpus,
        wanted.memory or 0,
        tuple(notes),
        to_come=not nodes,
        stated=wanted.stated,
        label_selector=selector,
    )
    if wanted.amounts_stated and cluster.kinds is not None:
        _check_feasible(plan, (*cluster.nodes, *cluster.kinds))
    return plan


def has_labels(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Does a node with these labels fit? As Ray decides: what is excluded may also be missing."""
    for key, values in selector.items():
        listed = re.fullmatch(r"in\((.*)\)", values.removeprefix("!"))
        one_of = listed[1].replace(" ", "").split(",") if listed else [values.removeprefix("!")]
        if (labels.get(key) in one_of) == values.startswith("!"):
            return False
    return True


def _shown(selector: Mapping[str, str]) -> str:
    return " and ".join(f"{key}: {values}" for key, values in selector.items())


def _share(of_node: float, concurrency: int) -> float:
    """Rounded down: all workers of a node together must never exceed it, or the last one would wait for ever."""
    return min(1.0, int(of_node / concurrency * 1000) / 1000)


def _check_feasible(plan: WorkerPlan, nodes: tuple[Node, ...]) -> None:
    def fits(node: Node) -> bool:
        return plan.cpus <= node.cpus and plan.gpus <= node.gpus and plan.memory <= node.memory

    if any(fits(node) for node in nodes):
        return
    for name, asked, most in (
        ("num_cpus", plan.cpus, max((node.cpus for node in nodes), default=0)),
        ("num_gpus", plan.gpus, max((node.gpus for node in nodes), default=0)),
        ("memory", plan.memory, max((node.memory for node in nodes), default=0)),
    ):
        if asked > most:
            what = f"resources.properties.{name} is {asked:g}, and no node of the cluster has more than {most:g}"
            raise ResourcesUnavailable(
                what, mend=f"Ask for less, or add a node that has as much: {plan.each} a worker."
            )
    raise ResourcesUnavailable(
        f"resources.properties asks for {plan.each} on one node, and no node of the cluster has all of it",
        mend="Ask for less, or add such a node.",
    )
