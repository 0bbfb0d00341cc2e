"""The graph of a pipeline: its leaf steps, what each reads from where, and an order in which they can run.

Pure: a pipeline component with all its components in place comes in. Nested pipelines are flattened: the step
``clean`` of the step ``prepare`` is ``prepare.clean``.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from batch_endpoints.planning.pipeline.graph_order import in_order
from batch_endpoints.planning.pipeline.graph_parts import Graph, GraphOutput, GraphStep, OfPipeline, OfStep, Source
from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.planning.pipeline.scopes import Node, Scope, declare, output_binding
from batch_endpoints.planning.pipeline.sources import Sources
from batch_endpoints.specs.component import Binding, CommandComponent, Mode, PipelineComponent, StepRetries
from batch_endpoints.specs.origins import Origins

__all__ = ["Graph", "GraphOutput", "GraphStep", "OfPipeline", "OfStep", "Source", "build_graph"]

_KEPT = ("services", "queue_settings", "identity")
"""Keys of a step that Azure ML acts on, and that have no effect here."""


def build_graph(pipeline: PipelineComponent, origins: Origins = Origins()) -> Graph:  # noqa: B008 - it is frozen
    """The graph of a pipeline whose components are all in place.

    Args:
        origins: where its keys were given, for errors.

    Raises:
        SpecError: with every problem, a line each.
    """
    problems = Problems(origins)
    whole = declare(pipeline, problems)
    sources = Sources(problems)
    for node in whole.all_nodes():
        sources.check_names(node)
    leaves = {node.path: node for node in whole.leaves()}
    steps = {path: _step(node, sources, problems) for path, node in leaves.items()}
    steps = _with_outer_outputs(whole, steps)
    ordered = in_order(steps, leaves, problems)
    problems.raise_any()
    return Graph(ordered, whole.outputs, _notes(whole, ordered))


def _step(node: Node, sources: Sources, problems: Problems) -> GraphStep:
    component = node.component
    assert not isinstance(component, PipelineComponent)
    inputs: dict[str, Source] = {}
    modes: dict[str, Mode] = {}
    declared = dict(component.inputs)
    for name in component.inputs:
        bound = sources.of(node, name)
        if bound.source is not None:
            inputs[name] = bound.source
        if bound.mode is not None:
            modes[name] = bound.mode
        if bound.fallback is not None:
            declared[name] = bound.fallback
    outputs = {name: _output(node, name, problems) for name in component.outputs}
    modes |= {name: output.mode for name, output in outputs.items() if output.mode is not None}
    reads = [source.step for source in inputs.values() if isinstance(source, OfStep)]
    limits = component.limits if isinstance(component, CommandComponent) else None
    return GraphStep(
        path=node.path,
        component=component.model_copy(update={"inputs": declared}),
        inputs=inputs,
        modes=modes,
        outputs=outputs,
        after=tuple(dict.fromkeys(reads)),
        compute=_compute(node),
        environment_variables={**_outer_variables(node.scope), **component.environment_variables},
        retry_settings=_retries(node, problems),
        timeout=limits.timeout if limits else None,
        notes=tuple(_step_notes(node)),
    )


def _output(node: Node, name: str, problems: Problems) -> GraphOutput:
    declared = node.component.outputs[name]
    bound = node.step.outputs.get(name, "")
    long = bound if isinstance(bound, Binding) else Binding(path=bound)
    is_bound = output_binding(long, (*node.at, "outputs", name), problems) is not None
    path = "" if is_bound else long.path or declared.path
    return GraphOutput(node.output_type(name), long.mode or declared.mode, path)


def _with_outer_outputs(scope: Scope, steps: dict[str, GraphStep]) -> dict[str, GraphStep]:
    """What pipelines around a step state about an output of theirs holds for the step's, where it states nothing."""
    for name, leaf in scope.outputs.items():
        stated = Binding(path=scope.pipeline.outputs[name].path, mode=scope.pipeline.outputs[name].mode)
        if scope.node is None:
            stated = stated.model_copy(update={"path": ""})  # the job's own output has it
        else:
            given = scope.node.step.outputs.get(name, "")
            given = given if isinstance(given, Binding) else Binding(path=given)
            path = "" if "parent." in given.path else given.path or stated.path
            stated = Binding(path=path, mode=given.mode or stated.mode)
        steps = _stated(steps, leaf, stated)
    for node in scope.nodes.values():
        if node.inner is not None:
            steps = _with_outer_outputs(node.inner, steps)
    return steps


def _stated(steps: dict[str, GraphStep], leaf: OfStep, stated: Binding) -> dict[str, GraphStep]:
    step = steps[leaf.step]
    output = step.outputs[leaf.output]
    changed = replace(output, path=output.path or stated.path, mode=output.mode or stated.mode)
    modes = {**step.modes, **({leaf.output: changed.mode} if changed.mode else {})}
    return {**steps, leaf.step: replace(step, outputs={**step.outputs, leaf.output: changed}, modes=modes)}


def _compute(node: Node) -> str:
    if node.step.compute:
        return node.step.compute
    default = str(node.scope.pipeline.settings.get("default_compute") or "")
    return default or (_compute(node.scope.node) if node.scope.node else "")


def _outer_variables(scope: Scope) -> dict[str, str]:
    """Environment variables that steps state which are pipelines; the inner ones win."""
    if scope.node is None:
        return {}
    return {**_outer_variables(scope.node.scope), **scope.node.step.environment_variables}


def _retries(node: Node, problems: Problems) -> StepRetries:
    component = node.component
    if not isinstance(component, CommandComponent):  # a parallel step's are those of its mini-batches
        return StepRetries()
    own = component.retry_settings
    stated = {**(own.model_dump(exclude_unset=True) if own else {}), **(node.step.retry_settings or {})}
    try:
        return StepRetries.model_validate(stated)
    except ValidationError as error:
        for each in error.errors():
            key = (*node.at, "retry_settings", *each["loc"])
            problems.add(key, f"{each['msg']}; retry_settings has max_retries and timeout (seconds)")
        return StepRetries()


def _step_notes(node: Node) -> list[str]:
    notes = [f"step '{node.path}': {key} is kept, and has no effect here" for key in _KEPT if getattr(node.step, key)]
    for name, given in node.step.outputs.items():
        if isinstance(given, Binding) and given.name:
            notes.append(f"step '{node.path}': the output '{name}' is not registered as '{given.name}'")
    return notes


def _notes(whole: Scope, steps: dict[str, GraphStep]) -> tuple[str, ...]:
    notes = [note for step in steps.values() for note in step.notes]
    notes += [note for node in whole.all_nodes() if node.inner is not None for note in _step_notes(node)]
    sources = [source for step in steps.values() for source in step.inputs.values()]
    used = {source for source in sources if isinstance(source, OfStep)} | set(whole.outputs.values())
    for path, step in steps.items():
        if step.outputs and not any(OfStep(path, name) in used or step.outputs[name].path for name in step.outputs):
            notes.append(f"step '{path}': no step reads its outputs, and none is an output of the pipeline")
    bound = {source.name for source in sources if isinstance(source, OfPipeline)}
    notes += [f"no step reads the pipeline's input '{name}'" for name in whole.pipeline.inputs if name not in bound]
    return tuple(notes)
