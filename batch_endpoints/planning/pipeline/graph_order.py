"""An order in which the steps of a graph can run, or the cycle for which there is none."""

from __future__ import annotations

from collections.abc import Mapping

from batch_endpoints.planning.pipeline.graph_parts import GraphStep
from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.planning.pipeline.scopes import Node


def in_order(steps: Mapping[str, GraphStep], nodes: Mapping[str, Node], problems: Problems) -> dict[str, GraphStep]:
    """The steps, each after those that it reads from, and otherwise as they stand in the document.

    Notes a cycle as a problem.
    """
    waiting = {path: {before for before in step.after if before in steps} for path, step in steps.items()}
    followers: dict[str, list[str]] = {path: [] for path in steps}
    for path, befores in waiting.items():
        for before in befores:
            followers[before].append(path)
    place = {path: number for number, path in enumerate(steps)}
    ready = [path for path, befores in waiting.items() if not befores]
    ordered: dict[str, GraphStep] = {}
    while ready:
        path = ready.pop(0)
        ordered[path] = steps[path]
        del waiting[path]
        freed = []
        for follower in followers[path]:
            waiting[follower].discard(path)
            if not waiting[follower]:
                freed.append(follower)
        ready += sorted(freed, key=place.__getitem__)
    if waiting:
        cycle = _cycle(waiting)
        problems.add(
            (*nodes[cycle[0]].at, "inputs"),
            f"the steps wait for each other: {' -> '.join([*cycle, cycle[0]])}; take one of these bindings out",
        )
    return ordered


def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    """One cycle, each step before the one that reads from it; every step in ``waiting`` waits for one in it."""
    path: list[str] = []
    at = next(iter(waiting))
    while at not in path:
        path.append(at)
        at = min(waiting[at], key=list(waiting).index)
    cycle = path[path.index(at) :][::-1]
    first = min(range(len(cycle)), key=lambda number: list(waiting).index(cycle[number]))
    return cycle[first:] + cycle[:first]
