"""What a pipeline's job is given, held against what its component declares."""

from __future__ import annotations

from collections.abc import Mapping

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.pipeline.graph_types import fits, nearest
from batch_endpoints.planning.pipeline.literals import is_literal, literal_value
from batch_endpoints.specs import ComponentInput, JobInput, JobOutput, PipelineComponent


def pipeline_inputs(component: PipelineComponent, given: Mapping[str, JobInput]) -> dict[str, JobInput]:
    """The inputs of a job: what is given, each by its declared type, and the defaults of the rest.

    Data keeps the path that it is given by. An optional input that has no value is left out.

    Raises:
        InvocationError: every input that is unknown, missing or does not fit, a line each.
    """
    problems: list[str] = []
    found: dict[str, JobInput] = {}
    for name in given:
        if name not in component.inputs:
            problems.append(f"the pipeline has no input '{name}'; {nearest(name, component.inputs)}")
    for name, declared in component.inputs.items():
        value = given.get(name) or default_input(declared)
        if value is None:
            if not declared.optional:
                problems.append(f"the input '{name}' ({declared.type}) is missing")
            continue
        try:
            found[name] = _fitting(value, declared)
        except ValueError as error:
            problems.append(f"the input '{name}': {error}")
    if problems:
        raise InvocationError("\n".join(problems), mend=_signature(component))
    return found


def pipeline_outputs(component: PipelineComponent, given: Mapping[str, JobOutput]) -> dict[str, JobOutput]:
    """The outputs of a job: those that the component declares, each with a path where one is given.

    Raises:
        InvocationError: an output that the pipeline does not have.
    """
    if unknown := [name for name in given if name not in component.outputs]:
        hint = nearest(unknown[0], component.outputs)
        raise InvocationError(f"the pipeline has no output '{unknown[0]}'; {hint}", mend=_signature(component))
    found = {}
    for name, declared in component.outputs.items():
        kind = "uri_file" if declared.type == "uri_file" else "uri_folder"
        asked = given.get(name, JobOutput())
        found[name] = JobOutput(type=kind, path=asked.path or declared.path, mode=asked.mode)
    return found


def default_input(declared: ComponentInput) -> JobInput | None:
    """The value that an input has where none is given; None for none."""
    if is_literal(declared.type):
        return None if declared.default is None else JobInput(type="literal", value=declared.default)
    path = declared.path or (declared.default if isinstance(declared.default, str) else "")
    return JobInput(path=path, type=declared.type) if path else None


def _fitting(value: JobInput, declared: ComponentInput) -> JobInput:
    """Raises ValueError where it does not fit."""
    if is_literal(declared.type):
        if value.value is None:
            raise ValueError(f"expected a {declared.type}, found {'data' if value.path else 'no value'}")
        return JobInput(type="literal", value=literal_value(value.value, declared))
    if value.type == "literal":
        if not isinstance(value.value, str):
            raise ValueError(f"expected data of type {declared.type}, found the literal {value.value!r}")
        value = JobInput(path=value.value, type=declared.type, mode=value.mode)
    if not value.path:
        raise ValueError(f"expected data of type {declared.type}, found no path")
    if "type" in value.model_fields_set and not fits(value.type, declared.type):
        raise ValueError(f"expected data of type {declared.type}, found {value.type}")
    return value.model_copy(update={"type": declared.type, "mode": value.mode or declared.mode or ""})


def _signature(component: PipelineComponent) -> str:
    """What the pipeline takes and gives, in two lines."""

    def told(name: str, declared: ComponentInput) -> str:
        need = "optional" if declared.optional else "" if declared.default is None else f"default {declared.default}"
        return f"{name} ({declared.type}{', ' if need else ''}{need})"

    inputs = ", ".join(told(name, declared) for name, declared in component.inputs.items()) or "none"
    outputs = ", ".join(f"{name} ({declared.type})" for name, declared in component.outputs.items()) or "none"
    return f"Inputs: {inputs}.\nOutputs: {outputs}."
