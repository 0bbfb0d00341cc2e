"""The records of a pipeline's steps, made from what lies in its job folder: its driver never opens the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.interfaces.records import JobRecords
from batch_endpoints.planning.pipeline.step_jobs import child_name
from batch_endpoints.specs import TERMINAL, AnyJob, BatchJob, JobState, JobStatus, StepState
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder


class Children:
    """Keeps the records of steps up to date.

    Args:
        clock: now, in UTC.
    """

    def __init__(self, store: JobRecords, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._seen: dict[tuple[str, str], StepState] = {}  # what is in the records already; may be lost

    def follow(self, job: BatchJob, state: JobState) -> None:
        """Take over what has become of the steps of a job since the last time.

        Args:
            state: the latest one of the job.
        """
        for path, step in state.steps.items():
            if step.status != "NotStarted" and self._seen.get((job.name, path)) != step:
                self._take(job, path, step)
                self._seen[job.name, path] = step

    def forget_all_but(self, names: set[str]) -> None:
        """Only these jobs are open."""
        self._seen = {key: step for key, step in self._seen.items() if key[0] in names}

    def _take(self, job: BatchJob, path: str, step: StepState) -> None:
        name, uri = child_name(job.name, path), f"{job.folder}/steps/{path}"
        folder = JobFolder(writable_place(uri), uri)
        try:
            spec = folder.job()
        except SpecError:  # it was never begun
            return
        state = folder.run_of(spec).state() or JobState(status=step.status)
        status = step.status if step.status in TERMINAL else state.status
        if status != state.status:  # its pipeline ended it, or it has not written its end
            state = state.model_copy(update={"status": status, "ended_at": step.ended_at, "error": step.error})

        def take(now: BatchJob) -> BatchJob:
            return now.replaced(spec=spec, status=status, state=state, modified_at=self._clock())

        try:
            self._store.update_job(name, take)
        except NotFound:
            self._store.add_job(self._new(job, name, path, spec, uri, status, state))

    def _new(
        self, job: BatchJob, name: str, path: str, spec: AnyJob, folder: str, status: JobStatus, state: JobState
    ) -> BatchJob:
        now = self._clock()
        return BatchJob(
            uid=f"{job.uid or job.name}/{path}",
            name=name,
            endpoint_name=job.endpoint_name,
            deployment_name=job.deployment_name,
            parent_job_name=job.name,
            step=path,
            spec=spec,
            folder=folder,
            status=status,
            state=state,
            display_name=path,
            experiment_name=job.experiment_name,
            created_at=state.started_at or now,
            created_by=job.created_by,
            modified_at=now,
        )


def ended_steps(state: JobState, status: JobStatus, at: datetime) -> dict[str, StepState]:
    """The steps of a job that was ended from outside: what was running ended with it.

    Args:
        status: of the job.
    """
    ends: JobStatus = "Failed" if status == "Failed" else "Canceled"
    return {
        path: step
        if step.status in TERMINAL or step.status == "NotStarted"
        else step.model_copy(update={"status": ends, "ended_at": at})
        for path, step in state.steps.items()
    }
