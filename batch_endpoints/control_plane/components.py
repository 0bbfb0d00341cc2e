"""Components: what they refer to, pinned when they are registered and put in place when a job is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from batch_endpoints.control_plane.component_references import (
    Known,
    Pins,
    Places,
    Uploads,
    data_path,
    frozen,
    output_path,
    walked,
)
from batch_endpoints.planning.pipeline.component_checks import check_alone
from batch_endpoints.planning.pipeline.graph import Graph, build_graph
from batch_endpoints.planning.pipeline.literals import is_literal
from batch_endpoints.specs import (
    CommandComponent,
    ParallelComponent,
    PipelineComponent,
)

AnyComponent = CommandComponent | ParallelComponent | PipelineComponent
C = TypeVar("C", bound=CommandComponent | ParallelComponent | PipelineComponent)


def checked_component(assets: Known, component: C) -> C:
    """A component as it is registered: checked, and with what it refers to pinned to the version that is there now.

    Raises:
        SpecError: with every problem, a line each.
        NotFound: it refers to what is not there; names the key.
        Refused: it names a path of the server's disk, which is not open to its clients.
    """
    pinned = walked(component, Pins(assets), "")
    whole = frozen(pinned, Places(assets, ""), "")
    if isinstance(whole, PipelineComponent):
        build_graph(whole)
    else:
        check_alone(whole)
    return pinned


def checked_graph(assets: Known, component: PipelineComponent) -> Graph:
    """The graph of a registered pipeline, or of one in place; raises as ``checked_component``."""
    return build_graph(frozen_component(assets, component))


def frozen_component(assets: Known, component: PipelineComponent, default_datastore: str = "") -> PipelineComponent:
    """A pipeline with all that it refers to in place, each with a URI, so that a job of it holds no reference.

    Args:
        default_datastore: what ``${{default_datastore}}`` in an output's path stands for.

    Raises:
        SpecError: it refers to what does not fit, or to more steps than a pipeline may have.
        NotFound: it refers to what is not there; names the key.
    """
    return frozen(component, Places(assets, default_datastore), "")


def unfrozen_component(assets: Known, component: PipelineComponent) -> PipelineComponent:
    """A frozen pipeline as one that can be kept: what was uploaded is named by its upload again."""
    return walked(component, Uploads(assets), "")


def component_uris(component: PipelineComponent) -> Iterator[str]:
    """The URIs of all that a frozen pipeline reads and writes by itself: code, data, places of outputs."""
    yield from _port_uris(component)
    for step in component.jobs.values():
        yield step.code
        inner = step.component
        declared = {} if inner is None or isinstance(inner, str) else inner.inputs
        yield from (path for name, given in step.inputs.items() if (path := data_path(given, declared.get(name))))
        yield from (path for given in step.outputs.values() if (path := output_path(given)))
        if step.task:
            yield step.task.code
        if step.jobs is not None:
            yield from component_uris(PipelineComponent(jobs=step.jobs))
        if isinstance(inner, PipelineComponent):
            yield from component_uris(inner)
        elif isinstance(inner, CommandComponent | ParallelComponent):
            yield from _port_uris(inner)
            yield inner.code if isinstance(inner, CommandComponent) else inner.task.code


def _port_uris(component: AnyComponent) -> Iterator[str]:
    for declared in component.inputs.values():
        if not is_literal(declared.type):
            yield declared.path or (declared.default if isinstance(declared.default, str) else "")
    yield from (declared.path for declared in component.outputs.values())
