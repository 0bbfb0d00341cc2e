"""Components: reusable steps, and the pipelines made of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, field_validator, model_validator

from batch_endpoints.specs.assets import Environment, Version
from batch_endpoints.specs.base import Description, Spec, Strings, Uri, wrong_key
from batch_endpoints.specs.numbers import (
    Count,
    LiteralValue,
    Nodes,
    Real,
    Seconds,
    Threshold,
    Tries,
    Whole,
    Workers,
    seconds,
)

COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,254}")  # '-' as in Azure ML's own examples
DataType = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]
LITERAL_TYPES = ("string", "boolean", "number", "integer")
Mode = Literal["ro_mount", "rw_mount", "download", "upload", "direct", "eval_mount", "eval_download"]
NOT_RUN = {
    "sweep": "write the trial as a command step, and a step for each set of values",
    "spark": "run the Spark program from a command step, or write it as a parallel step",
    "automl": "write the training as a command step",
    "data_transfer": "copy the data in a command step, or give its URI as an input",
}
"""Kinds of steps of Azure ML that do not run here, and what takes their place."""


def not_run(kind: str) -> str:
    """Why a kind of step is refused, and the fix."""
    return f"steps of type '{kind}' do not run here; {NOT_RUN[kind]}"


def with_bodies(document: Any) -> Any:
    """An output without a body (``scores:``) is an output with defaults."""
    if not isinstance(document, dict):
        return document
    return {name: {} if body is None else body for name, body in document.items()}


def _with_values(document: Any) -> Any:
    """A step's input without a value (``limit:``) is not given at all."""
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if value is not None}


class ComponentInput(Spec):
    """One input of a component: data, or a literal with its range."""

    type: DataType | Literal["number", "integer", "boolean", "string"]
    default: LiteralValue | None = None
    optional: bool = False
    min: Whole | Real | None = None
    max: Whole | Real | None = None
    enum: list[LiteralValue] | None = None
    description: Description = ""
    mode: Mode | None = None
    path: Uri = ""


class ComponentOutput(Spec):
    """One output of a component."""

    type: DataType = "uri_folder"
    mode: Mode | None = None
    description: Description = ""
    path: Uri = ""


class Binding(Spec):
    """A step's input or output in its long form; ``path`` may be an expression ``${{parent.…}}``."""

    path: Uri = ""
    type: DataType | Literal["number", "integer", "boolean", "string"] | None = None
    mode: Mode | None = None
    value: LiteralValue | None = None
    name: str = ""


class Component(Spec):
    """What every component has."""

    name: str = ""
    version: Version = ""
    display_name: Description = ""
    description: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    is_deterministic: bool = True
    inputs: dict[str, ComponentInput] = Field(default_factory=dict)
    outputs: Annotated[dict[str, ComponentOutput], BeforeValidator(with_bodies)] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _component_name(cls, value: str) -> str:
        if value and not COMPONENT_NAME.fullmatch(value):
            raise ValueError("expected lower-case letters, digits, '_' and '-', with a letter first")
        return value


class Distribution(Spec):
    type: Literal["pytorch", "mpi", "tensorflow", "ray"]
    process_count_per_instance: Count | None = None
    worker_count: Count | None = None
    parameter_server_count: Count | None = None


class StepRetries(Spec):
    """Ours: how often a command step is begun again after a failure of its own, each time with clean outputs."""

    max_retries: Tries = 0
    timeout: Seconds | None = Field(None, description="seconds for one attempt; None is no limit")


class StepLimits(Spec):
    """Azure ML's ``limits`` of a command."""

    timeout: Annotated[Seconds | None, BeforeValidator(seconds)] = Field(None, description="for one attempt")


class StepResources(Spec):
    """What a step runs on; what a step leaves open, its component states."""

    instance_count: Nodes | None = Field(None, description="None is 1")
    instance_type: str = ""
    shm_size: str = ""
    properties: dict[str, Any] = Field(default_factory=dict)


class CommandComponent(Component):
    """A command line over inputs and outputs."""

    type: Literal["command"] = "command"
    command: str
    code: Uri = ""
    environment: str | Environment | None = None
    environment_variables: Strings = Field(default_factory=dict)
    resources: StepResources | None = None
    distribution: Distribution | None = None
    limits: StepLimits | None = None
    retry_settings: StepRetries | None = None


class ParallelTask(Spec):
    """What a parallel step calls for each mini-batch."""

    type: Literal["run_function", "model", "function"] = "run_function"
    code: Uri = ""
    entry_script: Uri = ""
    environment: str | Environment | None = None
    program_arguments: str = ""
    append_row_to: str = ""


class ParallelComponent(Component):
    """A scoring script over mini-batches, as a step."""

    type: Literal["parallel"] = "parallel"
    task: ParallelTask
    input_data: str = ""
    mini_batch_size: Count | str = 1
    partition_keys: list[str] | str | None = None
    mini_batch_error_threshold: Threshold = -1
    error_threshold: Threshold = -1
    max_concurrency_per_instance: Workers | None = None
    logging_level: str = "info"
    retry_settings: dict[str, Count] = Field(default_factory=dict)
    environment_variables: Strings = Field(default_factory=dict)
    resources: StepResources | None = None


class Step(Spec):
    """One step of a pipeline: a component by file, reference or in place, and what it is bound to."""

    type: Literal["command", "parallel", "sweep", "pipeline"] | None = None
    component: str | ComponentInPlace | None = None
    display_name: Description = ""
    description: Description = ""
    compute: str = ""
    inputs: Annotated[dict[str, LiteralValue | Binding], BeforeValidator(_with_values)] = Field(default_factory=dict)
    outputs: Annotated[dict[str, str | Binding], BeforeValidator(with_bodies)] = Field(default_factory=dict)
    environment: str | Environment | None = None
    environment_variables: Strings = Field(default_factory=dict)
    resources: StepResources | None = None
    distribution: Distribution | None = None
    identity: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    queue_settings: dict[str, Any] | None = None
    services: dict[str, Any] | None = None
    code: Uri = ""
    command: str = ""
    # a parallel step may say these in place
    task: ParallelTask | None = None
    input_data: str = ""
    mini_batch_size: Count | str | None = None
    partition_keys: list[str] | str | None = None
    mini_batch_error_threshold: Threshold | None = None
    error_threshold: Threshold | None = None
    max_concurrency_per_instance: Workers | None = None
    logging_level: str = ""
    retry_settings: dict[str, Count] | None = None
    # a sweep step
    trial: str | dict[str, Any] | None = None
    search_space: dict[str, Any] | None = None
    objective: dict[str, Any] | None = None
    sampling_algorithm: str | dict[str, Any] | None = None
    # a pipeline in a pipeline
    jobs: dict[str, Step] | None = None
    settings: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _runs_here(cls, document: Any) -> Any:
        kind = document.get("type") if isinstance(document, dict) else None
        if isinstance(kind, str) and kind in NOT_RUN and kind != "sweep":  # a sweep is read, and refused in a graph
            raise wrong_key("type", not_run(kind))
        return document


class PipelineComponent(Component):
    """A graph of steps."""

    type: Literal["pipeline"] = "pipeline"
    jobs: dict[str, Step]
    settings: dict[str, Any] = Field(default_factory=dict)


def _kind_in_place(document: Any) -> str:
    """The kind of a component within a step, also without ``type``, as Azure ML's examples write it."""
    if not isinstance(document, dict):
        kind = getattr(document, "type", "command")
    elif not (kind := document.get("type")):
        kind = "pipeline" if "jobs" in document else "parallel" if "task" in document else "command"
    return f"{kind} component"


ComponentInPlace = Annotated[
    Annotated[CommandComponent, Tag("command component")]
    | Annotated[ParallelComponent, Tag("parallel component")]
    | Annotated[PipelineComponent, Tag("pipeline component")],
    Discriminator(_kind_in_place),
]
Step.model_rebuild()
PipelineComponent.model_rebuild()

AnyComponent = Annotated[CommandComponent | ParallelComponent | PipelineComponent, Field(discriminator="type")]
COMPONENT: TypeAdapter[CommandComponent | ParallelComponent | PipelineComponent] = TypeAdapter(AnyComponent)
"""Reads any component; its ``type`` says which."""
