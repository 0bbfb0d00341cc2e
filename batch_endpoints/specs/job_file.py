"""Job files: a pipeline, or one command, that runs by itself (Azure ML: pipelineJob and commandJob.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from batch_endpoints.errors import SpecError
from batch_endpoints.specs.assets import Environment
from batch_endpoints.specs.base import Description, JobName, Spec, Strings, Uri, wrong_key
from batch_endpoints.specs.component import (
    LITERAL_TYPES,
    CommandComponent,
    ComponentInPlace,
    ComponentInput,
    ComponentOutput,
    DataType,
    Distribution,
    Mode,
    PipelineComponent,
    Step,
    StepLimits,
    StepResources,
    StepRetries,
    with_bodies,
)
from batch_endpoints.specs.deployment import PipelineSettings
from batch_endpoints.specs.documents import check
from batch_endpoints.specs.invocation import JobInput, JobOutput
from batch_endpoints.specs.numbers import LiteralValue
from batch_endpoints.specs.origins import Origins

ONE_STEP = "command"
"""Name of the only step of a command job."""


class FileInput(Spec):
    """An input of a job with its value: data, or a literal."""

    type: DataType | Literal["number", "integer", "boolean", "string"] | None = None
    path: Uri = ""
    value: LiteralValue | None = None
    mode: Mode | None = None
    optional: bool = False
    description: Description = ""

    @model_validator(mode="before")
    @classmethod
    def _default_is_the_value(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "default" not in document:
            return document
        if document.get("value") is not None:
            raise wrong_key("default", "'default' and 'value' are the same here; leave one out")
        return {("value" if key == "default" else key): given for key, given in document.items() if key != "value"}


class FileOutput(Spec):
    """An output of a job, and where it goes; without a path into the job's folder."""

    type: DataType = "uri_folder"
    path: Uri = ""
    mode: Mode | None = None
    name: str = ""
    description: Description = ""


class JobFile(Spec):
    """What both kinds of job files have."""

    name: JobName | None = None
    display_name: Description = ""
    description: Description = ""
    experiment_name: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    compute: str = ""
    inputs: Annotated[dict[str, LiteralValue | FileInput], BeforeValidator(with_bodies)] = Field(default_factory=dict)
    outputs: Annotated[dict[str, FileOutput], BeforeValidator(with_bodies)] = Field(default_factory=dict)
    environment_variables: Strings = Field(default_factory=dict)
    identity: dict[str, Any] | None = None
    services: dict[str, Any] | None = None


class PipelineJobFile(JobFile):
    """A pipeline that runs by itself: a component, or steps in place."""

    type: Literal["pipeline"] = "pipeline"
    component: str | ComponentInPlace | None = None
    jobs: dict[str, Step] | None = None
    settings: PipelineSettings = PipelineSettings()

    @model_validator(mode="after")
    def _one_source(self) -> PipelineJobFile:
        if (self.component is None) == (self.jobs is None):
            raise wrong_key("jobs", "expected one of component and jobs")
        if not isinstance(self.component, str | PipelineComponent | None):
            raise wrong_key("component", f"expected a pipeline component, found a {self.component.type} component")
        return self


class CommandJobFile(JobFile):
    """One command that runs by itself: a pipeline of one step."""

    type: Literal["command"] = "command"
    command: str
    code: Uri = ""
    environment: str | Environment | None = None
    resources: StepResources | None = None
    distribution: Distribution | None = None
    limits: StepLimits | None = None
    queue_settings: dict[str, Any] | None = None
    retry_settings: StepRetries | None = None


def _kind(document: Any) -> str:
    kind = document.get("type") if isinstance(document, dict) else getattr(document, "type", None)
    if kind or not isinstance(document, dict):
        return str(kind or "command")
    return "pipeline" if "jobs" in document or "component" in document else "command"


JOB_FILE: TypeAdapter[PipelineJobFile | CommandJobFile] = TypeAdapter(
    Annotated[
        Annotated[PipelineJobFile, Tag("pipeline")] | Annotated[CommandJobFile, Tag("command")],
        Discriminator(_kind),
    ]
)
"""Reads any job file; its ``type`` states which, and without one it is a command."""


@dataclass(frozen=True)
class AskedPipeline:
    """A pipeline that is to run by itself.

    Args:
        component: a reference to a registered one, or in place.
        in_place: its steps are in the file: types of inputs are those of what reads them, see
            ``planning/pipeline/derived_component.py``.
        settings: with the file's ``compute`` as the default one.
    """

    component: str | PipelineComponent
    inputs: dict[str, JobInput] = field(default_factory=dict)
    outputs: dict[str, JobOutput] = field(default_factory=dict)
    settings: PipelineSettings = field(default_factory=PipelineSettings)
    in_place: bool = False
    name: str | None = None
    display_name: str = ""
    description: str = ""
    experiment_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    environment_variables: Mapping[str, str] = field(default_factory=dict)


def as_pipeline(document: Any, where: str | Origins = "") -> AskedPipeline:
    """What a job file asks for: a pipeline, its inputs and outputs, and settings.

    Args:
        document: of ``type: pipeline`` or ``type: command``.
        where: as of ``check``.

    Raises:
        SpecError: the document is no job file.
    """
    file = check(JOB_FILE, document, where=where)
    in_place = isinstance(file, CommandJobFile) or file.jobs is not None
    return AskedPipeline(
        component=_component(file),
        inputs={name: value for name, given in file.inputs.items() if (value := _value(given)) is not None},
        outputs={name: _output(given) for name, given in file.outputs.items()},
        settings=_settings(file),
        in_place=in_place,
        name=file.name,
        display_name=file.display_name,
        description=file.description,
        experiment_name=file.experiment_name,
        tags=file.tags,
        properties=file.properties,
        environment_variables=file.environment_variables if isinstance(file, PipelineJobFile) else {},
    )


def _component(file: PipelineJobFile | CommandJobFile) -> str | PipelineComponent:
    if isinstance(file, PipelineJobFile) and file.component is not None:
        assert isinstance(file.component, str | PipelineComponent)
        return file.component
    common: dict[str, Any] = {
        "inputs": {name: _declared(given) for name, given in file.inputs.items()},
        "outputs": {
            name: ComponentOutput.model_validate(
                {
                    **({"type": given.type} if "type" in given.model_fields_set else {}),  # or that of what is bound
                    "mode": given.mode,
                    "description": given.description,
                }
            )
            for name, given in file.outputs.items()
        },
    }
    if isinstance(file, PipelineJobFile):
        if file.jobs is None:
            raise SpecError("'jobs' is missing")
        return PipelineComponent(**common, jobs=file.jobs)
    command = CommandComponent(
        **common,
        command=file.command,
        code=file.code,
        environment=file.environment,
        environment_variables=file.environment_variables,
        resources=file.resources,
        distribution=file.distribution,
        limits=file.limits,
        retry_settings=file.retry_settings,
    )
    step = Step(
        type="command",
        component=command,
        inputs={name: f"${{{{parent.inputs.{name}}}}}" for name in file.inputs},
        outputs={name: f"${{{{parent.outputs.{name}}}}}" for name in file.outputs},
        identity=file.identity,
        services=file.services,
        queue_settings=file.queue_settings,
    )
    return PipelineComponent(**common, jobs={ONE_STEP: step})


def _declared(given: LiteralValue | FileInput) -> ComponentInput:
    if not isinstance(given, FileInput):
        kind = "uri_folder" if _is_data(given) else _type_of(given)
        return ComponentInput.model_validate({"type": kind})
    kind = given.type or ("uri_folder" if given.value is None else _type_of(given.value))
    stated = {"mode": given.mode, "optional": given.optional, "description": given.description}
    return ComponentInput.model_validate({"type": kind, **stated})


def _value(given: LiteralValue | FileInput) -> JobInput | None:
    """None where the file gives none."""
    if not isinstance(given, FileInput):
        return JobInput(path=str(given)) if _is_data(given) else JobInput(type="literal", value=given)
    if given.value is not None:
        return JobInput(type="literal", value=given.value)
    if not given.path:
        return None
    kind = None if given.type in LITERAL_TYPES else given.type
    stated = {"type": kind} if kind else {}
    return JobInput.model_validate({**stated, "path": given.path, "mode": given.mode or ""})


def _output(given: FileOutput) -> JobOutput:
    kind: Literal["uri_file", "uri_folder"] = "uri_file" if given.type == "uri_file" else "uri_folder"
    return JobOutput(type=kind, path=given.path, mode=given.mode or "")


def _settings(file: PipelineJobFile | CommandJobFile) -> PipelineSettings:
    settings = file.settings if isinstance(file, PipelineJobFile) else PipelineSettings()
    if file.compute and not settings.default_compute:
        return settings.model_copy(update={"default_compute": file.compute})
    return settings


def _is_data(given: LiteralValue) -> bool:
    return isinstance(given, str) and ("://" in given or given.startswith("azureml:"))


def _type_of(given: LiteralValue) -> str:
    if isinstance(given, bool):
        return "boolean"
    return "string" if isinstance(given, str) else "integer" if isinstance(given, int) else "number"
