"""Components derived from jobs: a pipeline that has run once, as one that runs again with other inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batch_endpoints.planning.pipeline.bindings import ParentInput, ParentOutput, expression
from batch_endpoints.planning.pipeline.literals import is_literal
from batch_endpoints.specs.component import Binding, ComponentInput, PipelineComponent, Step
from batch_endpoints.specs.invocation import JobInput


def derived_component(component: PipelineComponent, inputs: Mapping[str, JobInput]) -> PipelineComponent:
    """The component of a job: its inputs have the job's values as defaults, and the types of what reads them.

    Args:
        component: of the job, with all its components in place.
        inputs: of the job.
    """
    component = with_types_of_ports(component)
    declared = dict(component.inputs)
    for name, port in component.inputs.items():
        if (given := inputs.get(name)) is None:
            continue
        value = given.path if given.value is None else given.value
        default = {"default": value} if is_literal(port.type) else {"path": value, "default": None}
        declared[name] = port.model_copy(update=default)
    return component.model_copy(update={"inputs": declared})


def with_types_of_ports(component: PipelineComponent) -> PipelineComponent:
    """The component with the type, and the range, of what reads each of its inputs, where all that read it agree.

    An output that states no type gets that of the step that is bound to it.

    The inputs of a job have values and often no types: ``limit: 007`` is text where a step takes a string, and the
    number 7 where it takes an integer.

    Args:
        component: with all its components in place.
    """
    inputs = {}
    for name, declared in component.inputs.items():
        ports = list(_ports(component, name))
        if ports and all(port.type == ports[0].type for port in ports):
            declared = declared.model_copy(update={"type": ports[0].type, **_range(declared, ports)})
        inputs[name] = declared
    outputs = {
        name: declared.model_copy(update={"type": kind}) if (kind := _type_of_output(component, name)) else declared
        for name, declared in component.outputs.items()
    }
    return component.model_copy(update={"inputs": inputs, "outputs": outputs})


def _type_of_output(component: PipelineComponent, output: str) -> str:
    """The type that a step states for an output of its pipeline, which states none; "" where it has one."""
    if "type" in component.outputs[output].model_fields_set:
        return ""
    for step in component.jobs.values():
        for name, bound in step.outputs.items():
            long = bound if isinstance(bound, Binding) else Binding(path=bound)
            try:
                if expression(long.path) != ParentOutput(output):
                    continue
            except ValueError:  # noted when the graph is built
                continue
            inner = step.component if not isinstance(step.component, str) else None
            declared = inner.outputs.get(name) if inner else None
            return long.type or (declared.type if declared else "")
    return ""


def _range(declared: ComponentInput, ports: list[ComponentInput]) -> dict[str, object]:
    """The range that all ports share, where the input states none."""
    return {
        key: getattr(ports[0], key)
        for key in ("min", "max", "enum")
        if getattr(declared, key) is None and all(getattr(port, key) == getattr(ports[0], key) for port in ports)
    }


def _ports(component: PipelineComponent, name: str) -> Iterator[ComponentInput]:
    """The inputs of leaf steps that read one input of a pipeline."""
    for step in component.jobs.values():
        for port, given in step.inputs.items():
            text = given.path if isinstance(given, Binding) else given
            try:
                bound = expression(text)
            except ValueError:  # noted when the graph is built
                continue
            if bound == ParentInput(name):
                yield from _of_step(step, port)


def _of_step(step: Step, port: str) -> Iterator[ComponentInput]:
    component = step.component
    if isinstance(component, PipelineComponent):
        yield from _ports(component, port)
    elif component is not None and not isinstance(component, str) and port in component.inputs:
        yield component.inputs[port]
    elif step.jobs is not None:
        yield from _ports(PipelineComponent(jobs=step.jobs), port)
