"""Jobs: what is asked of an endpoint, what is frozen for the run, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from batch_endpoints.specs.assets import Credentials, Model
from batch_endpoints.specs.base import AssetName, Description, JobName, OutputName, Spec, Strings, Uri
from batch_endpoints.specs.compute import LOCAL, Compute
from batch_endpoints.specs.deployment import ModelDeployment, seconds, snake_case
from batch_endpoints.specs.mltable import MLTable
from batch_endpoints.specs.numbers import Count, LiteralValue, Nodes, Seconds, Threshold, Tries, Whole, Workers
from batch_endpoints.specs.report import FileCounts, ItemCounts, RenamedFiles, RowCounts, SkippedFile
from batch_endpoints.specs.resources import checked_properties
from batch_endpoints.specs.rows_file import OutputFormat

JobStatus = Literal[
    "NotStarted",
    "Starting",
    "Provisioning",
    "Preparing",
    "Queued",
    "Running",
    "Finalizing",
    "CancelRequested",
    "Completed",
    "Failed",
    "Canceled",
    "NotResponding",
    "Paused",
    "Unknown",
]
TERMINAL: frozenset[JobStatus] = frozenset({"Completed", "Failed", "Canceled"})

InputType = Literal["uri_folder", "uri_file", "literal", "mltable", "mlflow_model", "custom_model", "triton_model"]
DATA_TYPES: tuple[InputType, ...] = ("uri_folder", "uri_file", "mltable")


class JobInput(Spec):
    """One input: a pointer to data, or a literal."""

    type: InputType = "uri_folder"
    path: Uri = ""
    value: LiteralValue | None = None
    mode: str = ""

    @model_validator(mode="before")
    @classmethod
    def _literal(cls, document: Any) -> Any:
        """Azure's files call a literal's value ``default``; where there is a value the type need not be said."""
        if not isinstance(document, dict):
            return document
        if "default" in document and "value" not in document:
            document = {("value" if key == "default" else key): value for key, value in document.items()}
        return {"type": "literal", **document} if document.get("value") is not None else document

    @field_validator("type", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        plain = snake_case(value)
        known = {"mlflow_model": "mlflow_model", "ml_flow_model": "mlflow_model", "mltable": "mltable"}
        literal = {"string", "boolean", "number", "integer"}
        if plain in literal:
            return "literal"
        return {**known, "ml_table": "mltable"}.get(str(plain), plain)


class JobOutput(Spec):
    """Where an output goes; without a path it stays in the job's folder."""

    type: Literal["uri_file", "uri_folder"] = "uri_folder"
    path: Uri = ""
    mode: str = ""

    _any_spelling = field_validator("type", mode="before")(snake_case)


class RetryOverrides(Spec):
    """A job's own retry settings; None keeps the deployment's."""

    max_retries: Tries | None = None
    timeout: Seconds | None = None

    _iso_timeout = field_validator("timeout", mode="before")(seconds)


class Invocation(Spec):
    """A request to score data: pointers, and what this one job wants different from the deployment.

    None means: as the deployment says.
    """

    endpoint: str = Field("", description="in an invocation file: the endpoint, where the caller names none")
    deployment: str = Field("", description="'' is the endpoint's default deployment")
    inputs: dict[str, JobInput] = Field(default_factory=dict)
    outputs: dict[OutputName, JobOutput] = Field(default_factory=dict)
    name: JobName | None = Field(None, description="None: the server makes one up")
    display_name: Description = ""
    description: Description = ""
    experiment_name: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    instance_count: Nodes | None = None
    resource_properties: dict[str, Any] = Field(
        default_factory=dict, description="in place of the deployment's resources.properties of the same names"
    )
    mini_batch_size: Whole | str | None = None
    max_concurrency_per_instance: Workers | None = None
    error_threshold: Threshold | None = None
    on_error: str | None = None
    keep_failed_inputs: bool | None = None
    retry_settings: RetryOverrides = RetryOverrides()
    output_file_name: str | None = None
    output_format: OutputFormat | None = None
    mlflow_params: dict[str, Any] = Field(default_factory=dict, description="beside the deployment's, or instead")
    logging_level: str | None = None
    environment_variables: Strings = Field(default_factory=dict)
    overwrite: bool = Field(False, description="ours: replace an existing output")

    _reservations = field_validator("resource_properties")(checked_properties)


class JobSpec(Spec):
    """What one job is to do, resolved and frozen: the content of ``job.json``.

    Nothing in it refers to a record: the job folder is all that a cluster needs.
    """

    name: AssetName
    endpoint_name: str = ""
    deployment: ModelDeployment = Field(description="effective: the job's own settings are in it")
    compute: Compute = LOCAL
    inputs: dict[str, JobInput]
    table: MLTable | None = Field(
        None, description="what the file of an input of type mltable says, with URIs; None in a job by hand"
    )
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

    @property
    def model(self) -> Model:
        """The model with its URI; a frozen job holds no reference."""
        if not isinstance(self.deployment.model, Model):
            raise TypeError(f"job '{self.name}' refers to model {self.deployment.model!r} instead of holding it")
        return self.deployment.model


class JobError(Spec):
    """Why a job failed: the first cause, as a person would tell it."""

    code: Uri
    message: str = Field(description="one headline: file, line and message where the user's code is the cause")
    details: str = Field("", description="the user's stack, or what else helps")


class Progress(Spec):
    """How far a job is. An item is a file, or the part of a file that one mini-batch gets where
    ``mini_batch_size`` is in bytes or rows; a file that is not cut is one item."""

    mini_batches: int = Field(0, description="in the plan")
    mini_batches_done: int = 0
    items: int = Field(0, description="in the plan")
    items_succeeded: int = 0
    items_failed: int = 0
    items_skipped: int = Field(0, description="in the input, and left out of the plan for a reason")
    rows_failed: int = Field(0, description="of items that succeeded")
    rows: int = Field(0, description="committed output rows")
    items_per_second: float = 0.0
    eta_seconds: float | None = Field(None, description="None while nothing is known")


class JobState(Spec):
    """What the driver tells of its job: ``progress.json``, and at the end ``report.json``."""

    status: JobStatus
    resumption: int = Field(0, description="of the job when this was told; what was told before it is history")
    progress: Progress = Progress()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: JobError | None = None
    notes: tuple[str, ...] = Field((), description="decisions a user should know of")
    outputs: dict[str, JobOutput] = Field(default_factory=dict, description="each with its URI")
    seconds: dict[str, float] = Field(
        default_factory=dict,
        description="spent in each stage so far: queue (from the request to the first driver), environment (reaching "
        "the cluster, making the interpreter), list (listing and planning), first_mini_batch (until the first commit "
        "was seen), scoring (from then on), finalizing; of all drivers of this run of the job",
    )
    versions: dict[str, str] = Field(
        default_factory=dict,
        description="batch_endpoints, ray and python of the driver; host_python, and mlflow where the model is one "
        "of MLflow's, of the interpreter that scored",
    )
    files: FileCounts | None = Field(None, description="in the report; None where there was no plan")
    items: ItemCounts | None = Field(None, description="in the report; None where there was no plan")
    rows: RowCounts | None = Field(None, description="in the report; None where there was no plan")
    rows_explanation: str = Field("", description="in the report: why rows.read is not rows.written + rows.failed")
    skipped: tuple[SkippedFile, ...] = Field(
        (), description="in the report: the first 100 of them; skipped.jsonl has all"
    )
    renamed_files: RenamedFiles | None = Field(None, description="None where the output has none")
    columns: dict[str, str] | None = Field(
        None,
        description="in the report: the columns of the output's rows, each with its type as Arrow names it; text "
        "reads back to the same values by these. None without rows, in Azure's layout, and for a folder of text",
    )
    attempts: int | None = Field(
        None, description="in the report: tries of all mini-batches that are committed, the repeated ones included"
    )
    worker_seconds: float | None = Field(
        None, description="in the report: spent by workers on these tries, from fetching the data to the result"
    )


class BatchJob(Spec):
    """A job's record: what was asked, where it runs, and the driver's last word."""

    uid: str = Field(
        "",
        description="made by the server, so that nobody can choose it: names its folder and its Ray jobs; '' is that "
        "of a record from before there were any, whose name is used instead",
    )
    name: AssetName
    endpoint_name: str
    deployment_name: str
    spec: JobSpec
    folder: str = Field(description="URI of the job folder")
    status: JobStatus = "NotStarted"
    display_name: Description = ""
    description: Description = ""
    experiment_name: Description = ""
    tags: Strings = Field(default_factory=dict)
    properties: Strings = Field(default_factory=dict)
    created_at: datetime
    created_by: str = ""
    modified_at: datetime
    launches: int = Field(0, ge=0, description="drivers started for it so far")
    launches_before: int = Field(
        0, ge=0, description="how many of them do not count any more: it was resumed, or has got on since"
    )
    done_at_launch: int = Field(0, ge=0, description="mini-batches that were done when the last one was started")
    state: JobState = JobState(status="NotStarted")
    written: dict[str, JobOutput] = Field(
        default_factory=dict, description="outputs that were complete before failed items were tried again"
    )

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def launch_id(self) -> str:
        """The Ray job of its last launch: Ray takes an id once, so later launches have a number."""
        own = self.uid or self.name
        return own if self.launches <= 1 else f"{own}-launch-{self.launches}"

    def replaced(self, **changes: Any) -> BatchJob:
        """A copy with other values."""
        return self.model_copy(update=changes)
