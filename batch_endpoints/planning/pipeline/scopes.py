"""Pipelines and the steps in them as they are declared: which names there are, before anything is bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from batch_endpoints.planning.pipeline.bindings import ParentInput, ParentOutput, SiblingOutput, expression
from batch_endpoints.planning.pipeline.component_checks import check_component, check_step_name
from batch_endpoints.planning.pipeline.graph_parts import OfStep
from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.planning.pipeline.graph_types import fits, nearest, with_article
from batch_endpoints.planning.pipeline.literals import type_of
from batch_endpoints.planning.pipeline.step_components import AnyStepComponent, declared_input, step_component
from batch_endpoints.specs.component import Binding, PipelineComponent, Step
from batch_endpoints.specs.numbers import LiteralValue
from batch_endpoints.specs.origins import Location

MOST_STEPS = 30_000
"""Leaf steps of one pipeline, as in Azure ML."""


@dataclass
class Node:
    """A step, with its component.

    Args:
        at: its key in the document.
        component_at: the key of its component.
        inner: what is in it, where it is a pipeline.
    """

    name: str
    path: str
    step: Step
    at: Location
    scope: Scope
    component: AnyStepComponent
    component_at: Location
    inner: Scope | None = None

    @property
    def is_component(self) -> bool:
        """Is the step its own component, so that its bindings declare its inputs?"""
        return self.step.component is None

    def output_type(self, name: str) -> str:
        """The type of an output, as the step or else its component states it."""
        bound = self.step.outputs.get(name)
        stated = bound.type if isinstance(bound, Binding) else None
        return stated or self.component.outputs[name].type


@dataclass
class Scope:
    """A pipeline: the whole one, or one that is a step of another.

    Args:
        node: the step that it is; None is the whole pipeline.
        outputs: the leaf's output that each of its own is.
        broken: steps with a problem of their own, which others may refer to all the same.
    """

    pipeline: PipelineComponent
    at: Location
    node: Node | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: dict[str, OfStep] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def leaves(self) -> Iterator[Node]:
        """All steps that are no pipelines, in the order of the document."""
        for node in self.nodes.values():
            if node.inner is None:
                yield node
            else:
                yield from node.inner.leaves()

    def all_nodes(self) -> Iterator[Node]:
        """All steps, also those that are pipelines."""
        for node in self.nodes.values():
            yield node
            if node.inner is not None:
                yield from node.inner.all_nodes()

    def leaf_output(self, step: str, output: str) -> OfStep | None:
        """The leaf's output that an output of a step is; None where there is none."""
        node = self.nodes.get(step)
        if node is None:
            return None
        if node.inner is not None:
            return node.inner.outputs.get(output)
        return OfStep(node.path, output) if output in node.component.outputs else None


def declare(pipeline: PipelineComponent, problems: Problems) -> Scope:
    """The pipeline with all steps in it, each output bound to the leaf's that it is."""
    scope = Scope(pipeline, ())
    check_component(pipeline, (), problems)
    _declare(scope, problems)
    if not problems and sum(1 for _ in scope.leaves()) > MOST_STEPS:
        problems.add((), f"the pipeline has more than {MOST_STEPS} steps")
    return scope


def _declare(scope: Scope, problems: Problems) -> None:
    pipeline = scope.pipeline
    if not pipeline.jobs:
        problems.add((*scope.at, "jobs"), "the pipeline has no steps; write one below jobs")
    for name, step in pipeline.jobs.items():
        at = (*scope.at, "jobs", name)
        check_step_name(name, at, problems)
        component, component_at = step_component(step, at, problems)
        if component is None:
            scope.broken.add(name)
            continue
        path = f"{scope.node.path}.{name}" if scope.node else name
        scope.nodes[name] = Node(name, path, step, at, scope, component, component_at)
    for node in scope.nodes.values():
        if node.is_component:
            ports = {name: _type_of_bound(scope, given) for name, given in node.step.inputs.items()}
            inputs = {name: declared_input(kind) for name, kind in ports.items()}
            outputs = {
                output: declared.model_copy(update={"type": _type_of_output(scope, node.step.outputs[output])})
                for output, declared in node.component.outputs.items()
            }
            node.component = node.component.model_copy(update={"inputs": inputs, "outputs": outputs})
        check_component(node.component, node.component_at, problems)
        if isinstance(node.component, PipelineComponent):
            node.inner = Scope(node.component, node.component_at, node)
            _declare(node.inner, problems)
    _bind_outputs(scope, problems)


def _type_of_bound(scope: Scope, given: LiteralValue | Binding) -> str:
    """The type that an input gets from what it is bound to; an unknown name is reported where it is bound."""
    if isinstance(given, Binding):
        if given.type:
            return given.type
        if given.value is not None:
            return type_of(given.value)
        given = given.path
    try:
        match expression(given):
            case ParentInput(name) if name in scope.pipeline.inputs:
                return scope.pipeline.inputs[name].type
            case SiblingOutput(step, name) if step in scope.nodes and name in scope.nodes[step].component.outputs:
                return scope.nodes[step].output_type(name)
            case None:
                return _data_type(given) or type_of(given)
    except ValueError:
        pass
    return "uri_folder"


def _type_of_output(scope: Scope, bound: str | Binding) -> str:
    """The type that an output states, or gets from the pipeline's output that it is bound to."""
    long = bound if isinstance(bound, Binding) else Binding(path=bound)
    if long.type:
        return long.type
    try:
        match expression(long.path):
            case ParentOutput(name) if name in scope.pipeline.outputs:
                return scope.pipeline.outputs[name].type
    except ValueError:  # noted where it is bound
        pass
    return "uri_folder"


def _data_type(given: LiteralValue) -> str:
    """A URI in a step that declares no type is data, any other text a literal."""
    is_data = isinstance(given, str) and ("://" in given or given.startswith("azureml:"))
    return "uri_folder" if is_data else ""


def _bind_outputs(scope: Scope, problems: Problems) -> None:
    """Find the leaf's output that each output of a pipeline is."""
    bound_by: dict[str, Node] = {}
    declared = scope.pipeline.outputs
    for node in scope.nodes.values():
        for name, given in node.step.outputs.items():
            at = (*node.at, "outputs", name)
            if name not in node.component.outputs:
                problems.add(at, f"the step has no output '{name}'; {nearest(name, node.component.outputs)}")
                continue
            kind, own = node.output_type(name), node.component.outputs[name].type
            if not fits(own, kind):
                problems.add(at, f"the component's output is {with_article(own)}, not {with_article(kind)}")
            wanted = output_binding(given, at, problems)
            if wanted is None:
                continue
            if wanted not in declared:
                problems.add(at, f"the pipeline has no output '{wanted}'; {nearest(wanted, declared)}")
            elif wanted in bound_by:
                problems.add(
                    at,
                    f"step '{bound_by[wanted].path}' is bound to the pipeline's output '{wanted}' already; "
                    "give each an output of its own",
                )
            else:
                bound_by[wanted] = node
                if not fits(kind, declared[wanted].type):
                    problems.add(
                        at,
                        f"{with_article(kind)} does not fit the pipeline's output '{wanted}', "
                        f"{with_article(declared[wanted].type)}; give both the same type",
                    )
                if (leaf := scope.leaf_output(node.name, name)) is not None:
                    scope.outputs[wanted] = leaf
    for name in declared:
        if name not in bound_by and not scope.broken:
            problems.add(
                (*scope.at, "outputs", name),
                f"no step is bound to it; write ${{{{parent.outputs.{name}}}}} at an output of a step",
            )


def output_binding(given: str | Binding, at: Location, problems: Problems) -> str | None:
    """The output of the pipeline that a step's output is bound to; None where it is not bound to any."""
    text = given if isinstance(given, str) else given.path
    if "parent." not in text:  # a place, which may hold ${{name}}
        return None
    try:
        bound = expression(text)
    except ValueError as error:
        problems.add(at, str(error))
        return None
    if isinstance(bound, ParentOutput):
        return bound.name
    problems.add(at, "an output is bound to ${{parent.outputs.<output>}}, or goes to a URI")
    return None
