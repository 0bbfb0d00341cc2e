"""One step of a pipeline, from its job folder to its outputs; finished ones are not run again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.pipeline.graph_state import GraphState, utc_now
from batch_endpoints.engine.pipeline.reuse import Earlier
from batch_endpoints.errors import BatchEndpointError, StepLost
from batch_endpoints.interfaces.runner import CommandRunner, MiniBatchRunner
from batch_endpoints.specs import CommandJob, JobError, JobOutput, JobState, JobStatus, ScoringJob
from batch_endpoints.specs.step_record import StepRecord
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.step_record import put_record, step_record
from batch_endpoints.storage.outputs.pipeline_outputs import placed_outputs

_KEPT = ("attempts", "logs", "named-outputs")
LOST_PAUSE_SECONDS = 1.0  # before what was lost with its node is begun again
logger = logging.getLogger(__name__)


class StepFailed(Exception):
    """A step has failed, for a reason that lies in its code or data."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


class StepStopped(Exception):
    """A step was ended, since its job was canceled or is to fail."""


class StepRunner:
    """Runs steps, each from a thread of its own.

    Args:
        commands: runs attempts of command steps.
        make_runner: called with the folder of a parallel step.
    """

    def __init__(
        self, commands: CommandRunner, make_runner: Callable[[str], MiniBatchRunner], state: GraphState
    ) -> None:
        self._commands, self._make_runner, self._state = commands, make_runner, state
        self._stopping, self._for_good = threading.Event(), True
        self._lock = threading.Lock()
        self._scoring: dict[str, tuple[JobFolder, MiniBatchRunner | None]] = {}

    def run(self, path: str, job: CommandJob | ScoringJob, folder: JobFolder) -> Mapping[str, JobOutput]:
        """Run a step to its end; returns its outputs.

        Raises:
            StepFailed: its code failed.
            StepStopped: ``stop`` was called.
        """
        folder.write_job(job)
        try:
            return self._command(path, job, folder) if isinstance(job, CommandJob) else self._score(path, job, folder)
        except BatchEndpointError as error:
            details = "\n".join(part for part in (error.where, error.mend) if part)
            raise StepFailed(JobError(code=error.code, message=error.what, details=details)) from error

    def take(self, path: str, job: CommandJob | ScoringJob, folder: JobFolder, earlier: Earlier) -> None:
        """Let a step have the results of an earlier one."""
        folder.write_job(job)
        now = utc_now()
        if isinstance(job, CommandJob):
            notes = (earlier.note,)
            put_record(
                folder.files,
                StepRecord(attempt=0, outputs=earlier.outputs, notes=notes, started_at=now, ended_at=now),
            )
        _end(folder, job, now, "Completed", outputs=earlier.outputs, notes=(earlier.note,))
        self._state.step(path, status="Completed", started_at=now, ended_at=now, note=earlier.note)

    def stop(self, *, for_good: bool) -> None:
        """End all that runs; from any thread.

        Args:
            for_good: the job is canceled, or fails. Otherwise its next driver goes on with the same steps, and
                nothing may be left that would end them.
        """
        self._for_good = for_good
        self._stopping.set()
        self._commands.stop()
        with self._lock:
            running = list(self._scoring.values())
        for folder, runner in running:
            if for_good:
                folder.ask_to_cancel()
            if runner:
                runner.stop()

    def _command(self, path: str, job: CommandJob, folder: JobFolder) -> Mapping[str, JobOutput]:
        before = folder.state()
        if before and before.ended_at and before.error:  # noted by a driver that was lost a moment later
            raise StepFailed(before.error)
        began, failures, attempt = utc_now(), 0, (before.attempts or 0) if before else 0
        while True:
            if self._stopping.is_set():
                raise StepStopped
            attempt += 1
            self._state.step(path, status="Running", started_at=began, attempt=attempt)
            folder.write_state(
                JobState(status="Running", resumption=job.resumption, started_at=began, attempts=attempt)
            )
            try:
                outcome = self._commands.run(folder.uri, attempt)
            except StepLost as lost:
                self._state.note(f"step '{path}' was lost with its node ({lost.what}) and is begun again")
                self._stopping.wait(LOST_PAUSE_SECONDS)
                continue
            if outcome.record:
                _end(folder, job, began, "Completed", outputs=outcome.record.outputs, notes=outcome.record.notes)
                return outcome.record.outputs
            if outcome.stopped:
                if self._for_good:
                    _end(folder, job, began, "Canceled")
                raise StepStopped
            assert outcome.error
            failures += 1
            if failures > job.retry_settings.max_retries:
                _end(folder, job, began, "Failed", error=outcome.error)
                raise StepFailed(outcome.error)
            logger.warning(
                "step '%s' failed (attempt %d), and is tried again: %s", path, attempt, outcome.error.message
            )

    def _score(self, path: str, job: ScoringJob, folder: JobFolder) -> Mapping[str, JobOutput]:
        self._state.step(path, status="Running", started_at=utc_now())

        def make_runner(uri: str) -> MiniBatchRunner:
            runner = self._make_runner(uri)
            with self._lock:
                self._scoring[path] = folder, runner
            return runner

        with self._lock:
            self._scoring[path] = folder.run_of(job), None
        try:
            if self._stopping.is_set():
                raise StepStopped
            state = run_job(folder, make_runner)
        except RuntimeError:
            if self._stopping.is_set():  # its workers were ended under it
                raise StepStopped from None
            raise
        finally:
            with self._lock:
                del self._scoring[path]
        self._state.step(path, progress=state.progress)
        if state.status == "Canceled":
            raise StepStopped
        if state.error:
            raise StepFailed(state.error)
        return state.outputs


def finished(folder: JobFolder, retries: int) -> Mapping[str, JobOutput] | None:
    """The outputs of a step that has ended well, in this run of its pipeline or an earlier one; None for others.

    Args:
        retries: in how many runs of the pipeline what had failed was to be tried again: a parallel step with failures
            has not ended before it has done so too.
    """
    if not folder.files.exists("job.json"):
        return None
    job = folder.job()
    if isinstance(job, CommandJob):
        record = step_record(folder.files)
        return record.outputs if record else None
    state = folder.run_of(job).state()
    if state is None or state.status != "Completed":
        return None
    failures = state.progress.items_failed + state.progress.rows_failed
    if failures and job.retries < retries:
        return None
    placed = placed_outputs(folder)
    return placed.made if placed else state.outputs


def forget(folder: JobFolder) -> None:
    """Let a step begin anew, since what it read is made anew; what it wrote stays until other results count."""
    for name in folder.files.names(""):
        if name.partition("/")[0] not in _KEPT:
            folder.files.delete(name)


def _end(
    folder: JobFolder,
    job: CommandJob | ScoringJob,
    began: datetime,
    status: JobStatus,
    *,
    error: JobError | None = None,
    outputs: Mapping[str, JobOutput] | None = None,
    notes: tuple[str, ...] = (),
) -> None:
    state = JobState(
        status=status,
        resumption=job.resumption,
        started_at=began,
        ended_at=utc_now(),
        error=error,
        outputs=dict(outputs or {}),
        notes=notes,
    )
    folder.run_of(job).write_state(state)
