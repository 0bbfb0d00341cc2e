"""A parallel step of a pipeline -> a scoring job: the engine that scores for model deployments runs it as well.

The rows go to the output that ``append_row_to`` names, in the format that the ending of its file says, as those of a
model deployment do: a ``uri_file`` output is that file, any other one is a folder that gets a ``predictions.csv``.
Without ``append_row_to`` the rows are counted, and kept nowhere. The other outputs are folders that the script writes
into: where ``${{outputs.y}}`` leads, or AZUREML_BI_OUTPUT_PATH (the output with the rows where it is a folder,
otherwise the first folder).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.overrides import literal_variables
from batch_endpoints.planning.pipeline.literals import as_type
from batch_endpoints.planning.steps.program_arguments import Port, argument_words, named_port, ports
from batch_endpoints.specs import (
    DATA_TYPES,
    CodeConfiguration,
    JobInput,
    JobOutput,
    ModelDeploymentSettings,
    ParallelComponent,
    ParallelStep,
    Resources,
    RetrySettings,
    ScoringJob,
    check,
)
from batch_endpoints.specs.component import LITERAL_TYPES, ComponentInput, ComponentOutput
from batch_endpoints.specs.origins import Location

TIMEOUT_SECONDS = 60
"""For one run() call where nothing is said; a model deployment's is half of that (both as in Azure ML)."""


def scoring_job(
    name: str,
    component: ParallelComponent,
    *,
    inputs: Mapping[str, JobInput],
    outputs: Mapping[str, JobOutput],
    environment_variables: Mapping[str, str] | None = None,
) -> ScoringJob:
    """The job of one parallel step.

    Args:
        name: of the job.
        component: effective: what the step itself says is in it; with URIs and without references.
        inputs: data with its URI, and literals; optional inputs without a value are left out.
        outputs: where they go; those that are not named here stay in the job's folder.
        environment_variables: of the script, beside the component's own or instead of them.

    Raises:
        SpecError: with each problem in a line.
    """
    where = f"parallel component '{component.name or name}'"
    given = {key: _as_declared(component.inputs.get(key), value) for key, value in inputs.items()}
    if found := [*step_problems(component), *_missing(component, given)]:
        raise SpecError("\n".join(f"{where}: {problem}" for problem in found))
    settings = {
        **_settings(component),
        "environment_variables": {
            **component.environment_variables,
            **(environment_variables or {}),
            **literal_variables(given),
        },
    }
    task = component.task
    step = ParallelStep(
        name=component.name or name,
        code_configuration=CodeConfiguration(code=task.code or ".", scoring_script=task.entry_script),
        environment=task.environment,
        resources=_resources(component),
        settings=check(ModelDeploymentSettings, settings, where=where),
        input_data=_name(component.input_data),
        program_arguments=task.program_arguments,
        append_row_to=_name(task.append_row_to),
        partition_keys=_partition_keys(component),
        mini_batch_error_threshold=component.mini_batch_error_threshold,
    )
    all_outputs = {key: JobOutput(type=_kind(output)) for key, output in component.outputs.items()} | dict(outputs)
    return ScoringJob(name=name, deployment=step, inputs=given, outputs=all_outputs)


def step_problems(component: ParallelComponent) -> list[str]:
    """What is wrong with a component by itself, each in a line; for whoever registers it, and before it runs."""
    found = [problem for check_one in _CHECKS for problem in check_one(component)]
    return [*found, *(f"'{'.'.join(map(str, key))}': {problem}" for key, problem in settings_problems(component))]


def settings_problems(component: ParallelComponent) -> list[tuple[Location, str]]:
    """What is wrong beside names of inputs and outputs: the key in the component, and the problem."""
    return [found for check_one in _CHECKS_OF_SETTINGS for found in check_one(component)]


def _runs_a_function(component: ParallelComponent) -> Iterator[tuple[Location, str]]:
    if component.task.type == "model":
        yield (
            ("task", "type"),
            "task.type 'model' is not supported; use run_function, with an entry_script that loads the model from an "
            "input, or score with a model deployment",
        )


def _has_a_script(component: ParallelComponent) -> Iterator[str]:
    if component.task.type != "model" and not component.task.entry_script:
        yield "task.entry_script is missing: the file with init() and run(), in the folder task.code"


def _cuts_an_input(component: ParallelComponent) -> Iterator[str]:
    port = named_port(component.input_data)
    if port is None or port.kind != "inputs":
        yield f"input_data is '{component.input_data}'; expected one input, such as ${{{{inputs.data}}}}"
    elif port.name not in component.inputs:
        yield f"input_data refers to {port}{_nearest(port.name, component.inputs)}"
    elif component.inputs[port.name].type not in DATA_TYPES:
        kind = component.inputs[port.name].type
        yield f"input_data is of type {kind}, which has no mini-batches; expected {', '.join(DATA_TYPES)}"


def _appends_to_an_output(component: ParallelComponent) -> Iterator[str]:
    if not (said := component.task.append_row_to):
        return
    port = named_port(said)
    if port is None or port.kind != "outputs":
        yield f"task.append_row_to is '{said}'; expected one output, such as ${{{{outputs.rows}}}}"
    elif port.name not in component.outputs:
        yield f"task.append_row_to refers to {port}{_nearest(port.name, component.outputs)}"


def _arguments_name_ports(component: ParallelComponent) -> Iterator[str]:
    there: dict[str, Mapping[str, object]] = {"inputs": component.inputs, "outputs": component.outputs}
    named = ports(component.task.program_arguments)
    yield from (
        f"task.program_arguments refers to {port}{_nearest(port.name, there[port.kind])}"
        for port in named
        if port.name not in there[port.kind]
    )


def _arguments_are_words(component: ParallelComponent) -> Iterator[tuple[Location, str]]:
    said = component.task.program_arguments
    try:
        argument_words(said, dict.fromkeys(ports(said), ""))
    except SpecError as error:
        yield ("task", "program_arguments"), f"task.{error.what}"


def _scripts_write_folders(component: ParallelComponent) -> Iterator[tuple[Location, str]]:
    rows = _name(component.task.append_row_to)
    if component.task.append_row_to and rows not in component.outputs:  # which is said already
        return
    for name, output in component.outputs.items():
        if _kind(output) == "uri_file" and name != rows:
            yield (
                ("outputs", name),
                f"the output '{name}' is a uri_file, which many mini-batches would write at once; make it a "
                "uri_folder, or let task.append_row_to name it",
            )


def _retries_are_known(component: ParallelComponent) -> Iterator[tuple[Location, str]]:
    for key in component.retry_settings:
        if key not in RetrySettings.model_fields:
            near = _nearest(key, RetrySettings.model_fields, "; there are")
            yield ("retry_settings", key), f"unknown key 'retry_settings.{key}'{near}"


def _settings_are_valid(component: ParallelComponent) -> Iterator[tuple[Location, str]]:
    known = {key: value for key, value in component.retry_settings.items() if key in RetrySettings.model_fields}
    try:
        check(ModelDeploymentSettings, {**_settings(component), "retry_settings": _retries(known)})
    except SpecError as error:
        for line in error.what.splitlines():
            key, _, problem = line.removeprefix("'").partition("': ")
            yield (tuple(key.split(".")), problem) if problem else ((), line)


_CHECKS: tuple[Callable[[ParallelComponent], Iterable[str]], ...] = (
    _has_a_script,
    _cuts_an_input,
    _appends_to_an_output,
    _arguments_name_ports,
)
_CHECKS_OF_SETTINGS: tuple[Callable[[ParallelComponent], Iterable[tuple[Location, str]]], ...] = (
    _runs_a_function,
    _arguments_are_words,
    _scripts_write_folders,
    _retries_are_known,
    _settings_are_valid,
)


def _missing(component: ParallelComponent, inputs: Mapping[str, JobInput]) -> Iterator[str]:
    """Inputs that the step cannot do without."""
    cut = named_port(component.input_data)
    if cut and cut.name not in inputs:
        yield f"input_data is {cut}, which is not given"
    values = {Port("inputs", name): "" for name in inputs} | {Port("outputs", name): "" for name in component.outputs}
    try:
        argument_words(component.task.program_arguments, values)
    except SpecError as error:
        yield f"task.{error.what}"


def _settings(component: ParallelComponent) -> dict[str, Any]:
    said: dict[str, Any] = {
        "mini_batch_size": component.mini_batch_size,
        "error_threshold": component.error_threshold,
        "retry_settings": _retries(component.retry_settings),
        "output_action": "append_row" if component.task.append_row_to else "summary_only",
        "logging_level": component.logging_level,
    }
    if component.max_concurrency_per_instance is not None:
        said["max_concurrency_per_instance"] = component.max_concurrency_per_instance
    return said


def _retries(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"timeout": TIMEOUT_SECONDS, **said}


def _resources(component: ParallelComponent) -> Resources:
    said = component.resources
    if said is None:
        return Resources()
    return Resources(
        instance_count=said.instance_count or 1, instance_type=said.instance_type, properties=said.properties
    )


def _as_declared(declared: ComponentInput | None, given: JobInput) -> JobInput:
    """A literal with the type of its input: what YAML reads as a number may be declared a string."""
    if declared is None or given.value is None or declared.type not in LITERAL_TYPES:
        return given
    return given.model_copy(update={"value": as_type(declared.type, given.value)})


def _partition_keys(component: ParallelComponent) -> tuple[str, ...]:
    keys = component.partition_keys or ()
    return tuple(key.strip() for key in keys.split(",")) if isinstance(keys, str) else tuple(keys)


def _kind(output: ComponentOutput) -> Literal["uri_file", "uri_folder"]:
    """A file or a folder, whatever it stands for."""
    return "uri_file" if output.type == "uri_file" else "uri_folder"


def _name(expression: str) -> str:
    port = named_port(expression)
    return port.name if port else ""


def _nearest(name: str, known: Iterable[str], there: str = "; it has") -> str:
    names = list(known)
    if near := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean '{near[0]}'?"
    return f"{there} {', '.join(names)}" if names else f"{there} none"
