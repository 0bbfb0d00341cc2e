"""The component of one step: the one it names, with what the step states merged in, or the one it is in itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch_endpoints.planning.pipeline.graph_problems import Problems
from batch_endpoints.specs.component import (
    Binding,
    CommandComponent,
    ComponentInput,
    ComponentOutput,
    ParallelComponent,
    PipelineComponent,
    Step,
    StepLimits,
    StepResources,
    not_run,
)
from batch_endpoints.specs.origins import Location

AnyStepComponent = CommandComponent | ParallelComponent | PipelineComponent
_OF_COMMAND = ("environment", "code", "distribution")
_OF_PARALLEL = (
    *("input_data", "mini_batch_size", "partition_keys", "mini_batch_error_threshold", "error_threshold"),
    *("max_concurrency_per_instance", "logging_level"),
)
_ONLY_PARALLEL = ("task", *_OF_PARALLEL)
_NEITHER = "give a component (component: ./file.yml or azureml:<name>@latest), a command, a task or jobs"


def step_kind(step: Step) -> str:
    """command, parallel, pipeline, sweep; "" where nothing in the step states it."""
    if step.component is not None and not isinstance(step.component, str):
        return step.component.type
    if step.type:
        return step.type
    return "pipeline" if step.jobs is not None else "parallel" if step.task else "command" if step.command else ""


def step_component(step: Step, at: Location, problems: Problems) -> tuple[AnyStepComponent | None, Location]:
    """What a step runs, and where in the document it is; None after a problem.

    Inputs of a step that is its own component are not in it yet: their types depend on what they are bound to.

    Args:
        at: the step's key.
    """
    if step.type == "sweep" or step.trial is not None:
        problems.add((*at, "type"), not_run("sweep"))
        return None, at
    if step.component is None:
        return _in_itself(step, at, problems), at
    inside = (*at, "component")
    if isinstance(step.component, str):
        problems.add(inside, f"'{step.component}' is not resolved; give a registered component or the path of a file")
        return None, inside
    if step.type and step.type != step.component.type:
        problems.add((*at, "type"), f"the step is of type {step.type}, its component of type {step.component.type}")
        return None, inside
    for key in ("command", "jobs"):
        if getattr(step, key):
            problems.add((*at, key), f"'{key}' and 'component' exclude each other; leave one out")
    return _merged(step, step.component, at, problems), inside


def _in_itself(step: Step, at: Location, problems: Problems) -> AnyStepComponent | None:
    outputs = {name: _declared_output(bound) for name, bound in step.outputs.items()}
    common: dict[str, Any] = {"outputs": outputs}
    match step_kind(step):
        case "pipeline" if step.jobs is not None:
            return PipelineComponent(**common, jobs=step.jobs, settings=step.settings or {})
        case "parallel" if step.task is not None:
            return _merged(step, ParallelComponent(**common, task=step.task), at, problems)
        case "command" if step.command:
            return _merged(step, CommandComponent(**common, command=step.command), at, problems)
    problems.add(at, f"the step has nothing to run; {_NEITHER}")
    return None


def _declared_output(bound: str | Binding) -> ComponentOutput:
    kind = None if isinstance(bound, str) else bound.type
    return ComponentOutput.model_validate({"type": kind} if kind else {})


def declared_input(kind: str) -> ComponentInput:
    """An input of a step that is its own component: as what it is bound to."""
    return ComponentInput.model_validate({"type": kind})


def _merged(step: Step, component: AnyStepComponent, at: Location, problems: Problems) -> AnyStepComponent:
    changes: dict[str, Any] = {}
    if isinstance(component, PipelineComponent):
        return component
    if step.resources:
        changes["resources"] = _resources(component.resources, step.resources)
    if step.environment_variables:
        changes["environment_variables"] = {**component.environment_variables, **step.environment_variables}
    if isinstance(component, CommandComponent):
        changes |= {key: getattr(step, key) for key in _OF_COMMAND if getattr(step, key)}
        for key in _ONLY_PARALLEL:
            if getattr(step, key) not in (None, ""):
                problems.add((*at, key), f"a command step has no '{key}'; it belongs to parallel steps")
        if step.limits is not None:
            changes["limits"] = _limits(step.limits, at, problems)
        return component.model_copy(update=changes)
    changes |= {key: getattr(step, key) for key in _OF_PARALLEL if getattr(step, key) not in (None, "")}
    if step.retry_settings:
        changes["retry_settings"] = {**component.retry_settings, **step.retry_settings}
    task = step.task or component.task
    own = {key: getattr(step, key) for key in ("environment", "code") if getattr(step, key)}
    return component.model_copy(update={**changes, "task": task.model_copy(update=own)})


def _resources(of_component: StepResources | None, of_step: StepResources) -> StepResources:
    if of_component is None:
        return of_step
    stated = {key: value for key, value in of_step if value not in (None, "", {})}
    properties = {**of_component.properties, **of_step.properties}
    return of_component.model_copy(update={**stated, "properties": properties})


def _limits(limits: Mapping[str, Any], at: Location, problems: Problems) -> StepLimits | None:
    from pydantic import ValidationError

    try:
        return StepLimits.model_validate(limits)
    except ValidationError as error:
        for each in error.errors():
            key = (*at, "limits", *each["loc"])
            problems.add(key, f"{each['msg']}; a command step's limits are {{timeout: <seconds>}}")
        return None
