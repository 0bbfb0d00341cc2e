"""Jobs that have ended and are to run once more: resumed, or with their failed items tried again."""

from __future__ import annotations

from datetime import datetime

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.overrides import resumed_deployment
from batch_endpoints.policies.error_threshold import nothing_succeeded, over_threshold
from batch_endpoints.policies.lifecycle import check_resume, check_retry_failed, may_begin_again
from batch_endpoints.specs import BatchJob, Invocation, JobState, ScoringJob, to_document


def resumed(job: BatchJob, changes: Invocation, now: datetime) -> BatchJob:
    """The job, to go on from what it has committed; with its failed items again where it would end by these at once.

    Raises:
        Conflict: it has not ended, or has completed.
        InvocationError: a change to something that is fixed by what the job has done.
    """
    check_resume(job.name, job.status)
    again, done = _once_more(job, changes, now), job.state.progress
    if not isinstance(again.spec, ScoringJob):
        return again
    allowed = again.spec.deployment.settings.error_threshold
    failed = over_threshold(done.items_failed + done.rows_failed, allowed)
    if failed or nothing_succeeded(done.items_succeeded, done.items_failed):
        return _with_failures(again, job)
    return again


def with_failed_items_again(job: BatchJob, changes: Invocation, now: datetime) -> BatchJob:
    """The job, to try its failed items and rows again.

    Raises:
        Conflict: it has not ended, or nothing has failed in it.
        InvocationError: a change to something that is fixed by what the job has done.
    """
    progress = job.state.progress
    check_retry_failed(job.name, job.status, progress.items_failed + progress.rows_failed)
    return _with_failures(_once_more(job, changes, now), job)


def _with_failures(again: BatchJob, job: BatchJob) -> BatchJob:
    return again.replaced(
        spec=again.spec.model_copy(update={"retries": job.spec.retries + 1}),
        written=job.state.outputs or job.written,
    )


def _once_more(job: BatchJob, changes: Invocation, now: datetime) -> BatchJob:
    assert may_begin_again(job.status, "NotStarted")
    resumption = job.spec.resumption + 1
    update: dict[str, object] = {"resumption": resumption}
    if isinstance(job.spec, ScoringJob):
        update["deployment"] = resumed_deployment(job.spec.deployment, changes)
    elif said := sorted(key for key, value in to_document(changes).items() if value not in ("", {}, False)):
        raise InvocationError(
            f"a {job.spec.type} that goes on cannot change {', '.join(said)}: its steps were frozen when it was made",
            mend="Invoke the endpoint anew.",
        )
    return job.replaced(
        status="NotStarted",
        spec=job.spec.model_copy(update=update),
        state=JobState(status="NotStarted", resumption=resumption, progress=job.state.progress),
        launches_before=job.launches,
        modified_at=now,
    )
