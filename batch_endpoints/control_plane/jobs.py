"""Jobs: invoke, look up, cancel."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.new_jobs import NewJobs
from batch_endpoints.control_plane.pipeline_jobs import asked_by_file
from batch_endpoints.control_plane.records import found
from batch_endpoints.control_plane.reruns import resumed, with_failed_items_again
from batch_endpoints.errors import Conflict, InvocationError, NotFound
from batch_endpoints.interfaces.records import Listing, Page, RecordStore
from batch_endpoints.policies.lifecycle import check_cancel
from batch_endpoints.specs import (
    BatchJob,
    Invocation,
    JobStatus,
)
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.place import writable_place

logger = logging.getLogger(__name__)

LONGEST_REQUEST_ID = 255  # far beyond a UUID; databases cannot index text of any length


class Jobs:
    """Asynchronous runs of deployments."""

    def __init__(
        self,
        store: RecordStore,
        assets: Assets,
        jobs_root: str,
        check_input: Callable[[str, str, Access], None],
        now: Callable[[], datetime],
    ) -> None:
        self._store, self._assets, self._now = store, assets, now
        self._new = NewJobs(store, assets, jobs_root, check_input, now)

    def invoke(
        self, endpoint: str, invocation: Invocation, *, deployment: str = "", request_id: str = "", invoker: str = ""
    ) -> BatchJob:
        """Make a job of a request; everything that can be known to fail fails here, before there is a job.

        Args:
            endpoint: where the request came in.
            invocation: the request.
            deployment: the one to use; "" means the invocation's own choice, or else the default.
            request_id: a request of this endpoint that comes again with the same one gets the same job; "" is always
                a new one.
            invoker: who asks.

        Raises:
            NotFound: no such endpoint or deployment, or what the request refers to.
            InvocationError: it cannot run as asked; InputError where there is nothing to read.
            SpecError: a setting that is not valid.
            Conflict: the name is taken, the output exists, or another request had this id.
        """
        if known := found(lambda: self._store.endpoint(endpoint)):
            endpoint = known.name
        asked = _digest([deployment, _asked(invocation)])
        return self._once(
            endpoint, request_id, asked, lambda: self._new.of_endpoint(endpoint, invocation, deployment, invoker)
        )

    def create(self, document: dict[str, Any], *, request_id: str = "", invoker: str = "") -> BatchJob:
        """Make a job of a pipeline, or of one command, that stands for itself, without an endpoint.

        Args:
            document: the content of its file.
            request_id: as of ``invoke``.

        Raises: as ``invoke``.
        """
        asked = asked_by_file(self._assets, document)
        return self._once("", request_id, _digest([document]), lambda: self._new.of_pipeline(asked, invoker))

    def _once(self, endpoint: str, request_id: str, asked: str, make: Callable[[], BatchJob]) -> BatchJob:
        """The job that a request makes, or has made before.

        Args:
            asked: the hash of what is asked for.
        """
        if len(request_id) > LONGEST_REQUEST_ID:
            raise InvocationError(f"the request id has {len(request_id)} characters; {LONGEST_REQUEST_ID} at most")
        asked = asked if request_id else ""
        if request_id and (earlier := self._store.job_of_request(endpoint, request_id, asked)):
            return earlier
        try:
            job = make()
        except Conflict:  # its own name: the same request has made this job a moment ago
            if request_id and (earlier := self._store.job_of_request(endpoint, request_id, asked)):
                return earlier
            raise
        stored = self._store.add_job(job, request_id, asked)
        if stored.name == job.name:
            logger.info(
                "job accepted", extra={"job": job.name, "endpoint": endpoint, "deployment": job.deployment_name}
            )
        return stored

    def get(self, name: str, endpoint: str = "") -> BatchJob:
        """A job, if it is one of this endpoint."""
        job = self._store.job(name)
        if endpoint and job.endpoint_name.lower() != endpoint.lower():
            raise NotFound(
                f"endpoint '{endpoint}' has no job '{name}'", mend=f"It belongs to endpoint '{job.endpoint_name}'."
            )
        return job

    def children(self, parent: str, page: Page) -> Listing[BatchJob]:
        """The steps of a pipeline's job that have begun, newest first."""
        self._store.job(parent)
        return self._store.jobs(parent=parent, page=page)

    def list(
        self, *, endpoint: str = "", deployment: str = "", statuses: Iterable[JobStatus] = (), page: Page
    ) -> Listing[BatchJob]:
        """Jobs, newest first; also those of an endpoint or deployment that has been deleted. Steps of pipelines are
        not among them."""
        if known := found(lambda: self._store.endpoint(endpoint)) if endpoint else None:
            endpoint = known.name
        if named := found(lambda: self._store.deployment(endpoint, deployment)) if known and deployment else None:
            deployment = named.name
        listing = self._store.jobs(endpoint=endpoint, deployment=deployment, statuses=statuses, page=page)
        if endpoint and not listing.items and not page.after:
            self._store.endpoint(endpoint)  # an empty list means that there are none, not that the name is wrong
            if deployment:
                self._store.deployment(endpoint, deployment)
        return listing

    def cancel(self, name: str) -> BatchJob:
        """Ask a job to end; one that has not started ends at once.

        Raises:
            Conflict: it has ended already.
        """
        now = self._now()

        def change(job: BatchJob) -> BatchJob:
            _check_own(job, "cancel")
            check_cancel(name, job.status)
            if job.status == "NotStarted":
                ended = job.state.model_copy(update={"status": "Canceled", "ended_at": now})
                return job.replaced(status="Canceled", state=ended, modified_at=now)
            return job.replaced(status="CancelRequested", modified_at=now)

        job = self._store.update_job(name, change)
        logger.info("job cancel requested", extra={"job": name, "status": job.status})
        return job

    def resume(self, name: str, changes: Invocation) -> BatchJob:
        """Let a failed or canceled job go on from what it has committed.

        Args:
            changes: settings it shall have from now on, such as a longer timeout.

        Raises:
            Conflict: it has not ended, or has completed.
            InvocationError: a change to something that is fixed by what the job has done.
        """
        now = self._now()
        job = self._store.update_job(name, lambda job: resumed(_check_own(job, "resume"), changes, now))
        logger.info("job resumed", extra={"job": name, "resumption": job.spec.resumption})
        return job

    def retry_failed(self, name: str, changes: Invocation) -> BatchJob:
        """Let a job that has ended try its failed items again; what succeeds takes its place in the same output.

        What has never been scored, because the job was canceled or failed early, is scored first.

        Args:
            changes: settings it shall have from now on, such as a longer timeout.

        Raises:
            Conflict: it has not ended, or nothing has failed in it.
            InvocationError: a change to something that is fixed by what the job has done.
        """
        now = self._now()
        job = self._store.update_job(
            name, lambda job: with_failed_items_again(_check_own(job, "retry-failed"), changes, now)
        )
        logger.info("failed items of job tried again", extra={"job": name, "retry": job.spec.retries})
        return job

    def describe(
        self,
        name: str,
        *,
        display_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> BatchJob:
        """Change what a person says of a job; None leaves it as it is.

        Args:
            properties: beside those that the job has; "" removes one.
        """
        changes = {"display_name": display_name, "description": description, "tags": tags}
        given = {key: value for key, value in changes.items() if value is not None}

        def change(job: BatchJob) -> BatchJob:
            kept = {key: value for key, value in {**job.properties, **(properties or {})}.items() if value}
            return job.replaced(**given, properties=kept, modified_at=self._now())

        return self._store.update_job(name, change)

    def output(self, name: str, output: str) -> str:
        """The URI of one output.

        Raises:
            Conflict: the job has never completed, so it is not there (yet).
            NotFound: no such output.
        """
        job = self._store.job(name)
        if job.status != "Completed" and not job.written and output not in job.state.outputs:
            raise Conflict(
                f"job '{name}' is {job.status}, so its outputs are not there",
                mend=("They are when it is Completed. " if not job.ended else "Its logs say why. ")
                + "`batch-endpoints job download --partial` has what is committed.",
            )
        outputs = {**job.spec.outputs, **job.written, **job.state.outputs}
        if output not in outputs or not outputs[output].path:
            raise NotFound(f"job '{name}' has no output '{output}'", mend=f"It has: {', '.join(sorted(outputs))}.")
        return outputs[output].path

    def failed_items(self, name: str) -> bytes:
        """What is in ``failed_items.jsonl``; empty where nothing has failed, or the job has not ended."""
        try:
            return writable_place(self._store.job(name).folder).read("failed_items.jsonl")
        except FileNotFoundError:
            return b""


def _check_own(job: BatchJob, verb: str) -> BatchJob:
    """The job; raises Conflict where it is a step, whose pipeline decides."""
    if job.parent_job_name:
        raise Conflict(
            f"job '{job.name}' is the step '{job.step}' of job '{job.parent_job_name}'",
            mend=f"`batch-endpoints job {verb} -n {job.parent_job_name}` is for all of it.",
        )
    return job


def _asked(invocation: Invocation) -> dict[str, Any]:
    return invocation.model_dump(mode="json", exclude_defaults=True)


def _digest(asked: list[Any]) -> str:
    """The hash of what a request asks for, however its keys were spelled and ordered."""
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
