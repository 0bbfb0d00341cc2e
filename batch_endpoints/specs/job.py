"""Jobs, resolved and frozen for the run: a deployment's scoring, a command, or a pipeline of steps."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from batch_endpoints.specs.assets import Credentials, Model
from batch_endpoints.specs.base import AssetName, Spec, Strings, Uri
from batch_endpoints.specs.component import CommandComponent, PipelineComponent, StepRetries
from batch_endpoints.specs.compute import LOCAL, Compute
from batch_endpoints.specs.deployment import ModelDeployment, ParallelStep, PipelineSettings
from batch_endpoints.specs.invocation import JobInput, JobOutput
from batch_endpoints.specs.mltable import MLTable
from batch_endpoints.specs.numbers import Count, Seconds, Tries


class JobSpec(Spec):
    """What one job is to do, resolved and frozen: the content of ``job.json``.

    Nothing in it refers to a record: the job folder is all that a cluster needs. What kind of work it is, its
    ``type`` states: see the classes below.
    """

    name: AssetName
    endpoint_name: str = ""
    compute: Compute = LOCAL
    inputs: dict[str, JobInput] = Field(default_factory=dict, description="any number, data and literals")
    outputs: dict[AssetName, JobOutput] = Field(default_factory=dict)
    credentials: dict[str, Credentials] = Field(
        default_factory=dict, description="URI prefix -> references to the secrets for what is below it"
    )
    open_folders: tuple[str, ...] | None = Field(
        None,
        description="where who asked for it is not on the server's machine: what of a disk it may read; then it asks "
        "nothing over HTTP of the machine it runs on either. None: it may do whatever that machine may",
    )
    overwrite: bool = False
    invoker: str = ""
    resumption: Count = Field(0, description="how often it was resumed; each time it has marks and a report anew")
    retries: Tries = Field(0, description="in how many of them what had failed was to be tried again")
    created_at: datetime | None = Field(None, description="when it was asked for, UTC; None in a file by hand")


def _scored_by(document: Any) -> str:
    kind = document.get("type") if isinstance(document, dict) else getattr(document, "type", None)
    return str(kind or "model")


class ScoringJob(JobSpec):
    """A model deployment's job, or a parallel step: one data input is cut into mini-batches, one output has rows."""

    type: Literal["scoring"] = "scoring"
    deployment: Annotated[
        Annotated[ModelDeployment, Tag("model")] | Annotated[ParallelStep, Tag("parallel")],
        Discriminator(_scored_by),
    ] = Field(description="effective: the job's own settings are in it")
    inputs: dict[str, JobInput]
    table: MLTable | None = Field(
        None, description="what the file of an input of type mltable says, with URIs; None in a job by hand"
    )

    @property
    def model(self) -> Model:
        """The model with its URI; a frozen job holds no reference, and a parallel step has none."""
        if not isinstance(self.deployment.model, Model):
            raise TypeError(f"job '{self.name}' refers to model {self.deployment.model!r} instead of holding it")
        return self.deployment.model


class CommandJob(JobSpec):
    """A command step: one command line over local copies of its inputs, whose outputs count when it exits 0."""

    type: Literal["command"] = "command"
    component: CommandComponent = Field(description="effective, with URIs and without references")
    environment_variables: Strings = Field(default_factory=dict)
    retry_settings: StepRetries = StepRetries()
    timeout: Seconds | None = Field(None, description="seconds for one attempt; None is no limit")


class PipelineJob(JobSpec):
    """A pipeline: a graph of steps, each a command, a parallel step or a pipeline in turn."""

    type: Literal["pipeline"] = "pipeline"
    component: PipelineComponent = Field(description="all its components in place, with URIs and without references")
    settings: PipelineSettings = PipelineSettings()
    computes: dict[str, Compute] = Field(
        default_factory=dict, description="those that steps state, by what they state"
    )
    environment_variables: Strings = Field(default_factory=dict, description="for all steps; a step's own win")
    reuse_folder: Uri = Field("", description="of all jobs of this owner: results that may serve again; '' for none")


def _job_type(document: Any) -> str:
    kind = document.get("type") if isinstance(document, dict) else getattr(document, "type", None)
    return str(kind or "scoring")


AnyJob = Annotated[
    Annotated[ScoringJob, Tag("scoring")]
    | Annotated[CommandJob, Tag("command")]
    | Annotated[PipelineJob, Tag("pipeline")],
    Discriminator(_job_type),
]
JOB: TypeAdapter[ScoringJob | CommandJob | PipelineJob] = TypeAdapter(AnyJob)
"""Reads any job; without ``type``, as in files from before there were others, it is a scoring job."""
