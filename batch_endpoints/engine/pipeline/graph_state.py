"""What a pipeline's driver states of its job and its steps: progress.json, written at most once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from batch_endpoints.planning.pipeline.graph import Graph
from batch_endpoints.specs import (
    CommandComponent,
    ItemCounts,
    JobError,
    JobOutput,
    JobState,
    JobStatus,
    PipelineJob,
    Progress,
    RowCounts,
    StepState,
)
from batch_endpoints.storage.job.job_folder import JobFolder

WRITE_SECONDS = 1.0
MOST_NOTES = 20
logger = logging.getLogger(__name__)


class GraphState:
    """The state of a pipeline's job, and its copy in the job folder. Any thread may call it."""

    def __init__(self, job: PipelineJob, graph: Graph, folder: JobFolder) -> None:
        self._folder, self._lock = folder, threading.RLock()
        before, now = folder.state(), utc_now()
        queued = {"queue": round(max(0.0, (now - job.created_at).total_seconds()), 3)} if job.created_at else {}
        self.state = JobState(
            status="Running",
            resumption=folder.resumption,
            started_at=before.started_at if before and before.started_at else now,
            seconds=before.seconds if before else ({} if job.resumption else queued),
            notes=before.notes if before else (),
            steps={
                path: StepState(
                    type="command" if isinstance(step.component, CommandComponent) else "scoring", after=step.after
                )
                for path, step in graph.steps.items()
            },
        )
        self._written, self._changed = 0.0, True
        for note in graph.notes:
            self.note(note)
        self.write(at_once=True)

    def step(self, path: str, **changes: object) -> None:
        """Something has become of a step."""
        with self._lock:
            step = self.state.steps[path].model_copy(update=changes)
            steps = {**self.state.steps, path: step}
            self.state = self.state.model_copy(update={"steps": steps, "progress": _sum(steps.values())})
            self._changed = True

    def note(self, note: str) -> None:
        """Something a user should know of."""
        with self._lock:
            known = self.state.notes
            if note in known or len(known) > MOST_NOTES:
                return
            logger.warning("%s", note)
            note = note if len(known) < MOST_NOTES else "there is more to note, left out here"
            self._change(notes=(*known, note))

    def write(self, *, at_once: bool = False) -> None:
        """Store what has changed, unless something was stored a moment ago."""
        with self._lock:
            if self._changed and (at_once or time.monotonic() - self._written >= WRITE_SECONDS):
                self._folder.write_state(self.state)
                self._written, self._changed = time.monotonic(), False

    def end(
        self,
        status: JobStatus,
        *,
        error: JobError | None = None,
        outputs: Mapping[str, JobOutput] | None = None,
        **sums: object,
    ) -> JobState:
        """The last state, which is the report.

        Args:
            sums: see ``added_up``.
        """
        with self._lock:
            if error:
                logger.error("%s\n%s", error.message, error.details)
            self._change(status=status, ended_at=utc_now(), error=error, outputs=dict(outputs or {}), **sums)
            self._folder.write_state(self.state)
            return self.state

    def _change(self, **values: object) -> None:
        self.state = self.state.model_copy(update=values)
        self._changed = True


def added_up(reports: Sequence[JobState]) -> dict[str, object]:
    """What the reports of parallel steps count, as fields of the pipeline's; nothing where there are none."""
    if not reports:
        return {}
    items = [report.items for report in reports if report.items]
    rows = [report.rows for report in reports if report.rows]
    read = [one.read for one in rows if one.read is not None]
    why = dict.fromkeys(report.rows_explanation for report in reports if report.rows_explanation)
    return {
        "items": ItemCounts(**{key: sum(getattr(one, key) for one in items) for key in ItemCounts.model_fields}),
        "rows": RowCounts(
            read=sum(read) if read else None,
            failed=sum(one.failed for one in rows),
            written=sum(one.written for one in rows),
        ),
        "rows_explanation": " ".join(why),
        "attempts": sum(report.attempts or 0 for report in reports),
        "worker_seconds": round(sum(report.worker_seconds or 0.0 for report in reports), 3),
    }


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _sum(steps: Iterable[StepState]) -> Progress:
    """The items and rows of all parallel steps; a command step is one mini-batch without items."""
    parts = [
        step.progress
        if step.type == "scoring"
        else Progress(mini_batches=1, mini_batches_done=int(step.status == "Completed"))
        for step in steps
    ]
    counted = [name for name, field in Progress.model_fields.items() if field.annotation is int]
    return Progress(**{name: sum(getattr(part, name) for part in parts) for name in counted})
