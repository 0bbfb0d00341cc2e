"""What becomes of a job: its states, its steps, its report, and its record."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from batch_endpoints.specs.base import AssetName, Description, Spec, Strings, Uri
from batch_endpoints.specs.invocation import JobOutput
from batch_endpoints.specs.job import AnyJob
from batch_endpoints.specs.report import FileCounts, ItemCounts, RenamedFiles, RowCounts, SkippedFile

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


class StepState(Spec):
    """One step of a pipeline, as its pipeline's state shows it; its own folder has all of it."""

    type: Literal["command", "scoring", "pipeline"]
    status: JobStatus = "NotStarted"
    after: tuple[str, ...] = Field((), description="paths of the steps whose outputs it reads")
    attempt: int = Field(0, description="how often it was begun")
    progress: Progress = Progress()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: JobError | None = None
    note: str = Field("", description="why it was not run, or from where its outputs are reused")


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
    files: FileCounts | None = Field(
        None, description="in the report; None where there was no plan, or its items are groups by partition_keys"
    )
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
    steps: dict[str, StepState] = Field(
        default_factory=dict,
        description="of a pipeline, by path (nested: 'prepare.clean'), in an order in which they can run",
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
    parent_job_name: str = Field("", description="of a step of a pipeline: the pipeline's job")
    step: str = Field("", description="of a step: its path in the pipeline, such as 'prepare.clean'")
    spec: AnyJob
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
