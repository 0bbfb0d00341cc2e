"""Components: reusable steps, and the pipelines made of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_validator

from batch_endpoints.specs.assets import Environment, Version
from batch_endpoints.specs.base import Description, Spec, Strings, Uri
from batch_endpoints.specs.numbers import Count, LiteralValue, Nodes, Real, Seconds, Threshold, Tries, Workers

COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,254}")
DataType = Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"]
LITERAL_TYPES = ("string", "boolean", "number", "integer")
Mode = Literal["ro_mount", "rw_mount", "download", "upload", "direct", "eval_mount", "eval_download"]


class ComponentInput(Spec):
    """One input of a component: data, or a literal with its range."""

    type: DataType | Literal["number", "integer", "boolean", "string"]
    default: LiteralValue | None = None
    optional: bool = False
    min: Real | None = None
    max: Real | None = None
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
    outputs: dict[str, ComponentOutput] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _component_name(cls, value: str) -> str:
        if value and not COMPONENT_NAME.fullmatch(value):
            raise ValueError("expected lower-case letters, digits and '_', with a letter first")
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


class StepResources(Spec):
    instance_count: Nodes = 1
    instance_type: str = ""
    shm_size: str = ""
    properties: dict[str, Any] = Field(default_factory=dict)


class CommandComponent(Component):
    """A command line over inputs and outputs."""

    type: Literal["command"] = "command"
    command: str
    code: Uri = ""
    environment: str | Environment | None = None
    resources: StepResources | None = None
    distribution: Distribution | None = None


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
    resources: StepResources | None = None


class Step(Spec):
    """One step of a pipeline: a component by file, reference or in place, and what it is bound to."""

    type: Literal["command", "parallel", "sweep", "pipeline"] | None = None
    component: str | dict[str, Any] | None = None
    display_name: Description = ""
    description: Description = ""
    compute: str = ""
    inputs: dict[str, LiteralValue | Binding] = Field(default_factory=dict)
    outputs: dict[str, str | Binding] = Field(default_factory=dict)
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
    jobs: dict[str, Any] | None = None


class PipelineComponent(Component):
    """A graph of steps."""

    type: Literal["pipeline"] = "pipeline"
    jobs: dict[str, Step]
    settings: dict[str, Any] = Field(default_factory=dict)


AnyComponent = Annotated[CommandComponent | ParallelComponent | PipelineComponent, Field(discriminator="type")]
COMPONENT: TypeAdapter[CommandComponent | ParallelComponent | PipelineComponent] = TypeAdapter(AnyComponent)
"""Reads any component; its ``type`` says which."""
