"""The record by which a command step counts."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from batch_endpoints.specs.base import Spec
from batch_endpoints.specs.invocation import JobOutput
from batch_endpoints.specs.numbers import Count


class StepRecord(Spec):
    """One attempt of a command step that succeeded: of all that do, one counts, with all its outputs or none."""

    attempt: Count
    outputs: dict[str, JobOutput] = Field(default_factory=dict, description="each with the URI where it is")
    notes: tuple[str, ...] = Field((), description="what a user should know of it")
    started_at: datetime
    ended_at: datetime
    log: str = Field("", description="of this attempt, relative to the step's folder")
