"""Jobs: show, list, cancel; and their logs, which a client fetches whole and without a token."""

from __future__ import annotations

from typing import Any

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from batch_endpoints.control_plane.records import everything
from batch_endpoints.errors import InvocationError, NotFound
from batch_endpoints.ingress.azure.assets import ARCHIVED, viewed
from batch_endpoints.ingress.azure.doors import LOGS
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.job_answers import child_resource, job_resource, own_tags, parent_of
from batch_endpoints.ingress.azure.job_bodies import job_document
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, stored
from batch_endpoints.storage.job.logs import merged_logs

_COLLECTION = WORKSPACE + "/jobs"
_ONE = _COLLECTION + "/{job}"
LOG = "user_logs/std_log.txt"
"""The only name, of those that the client streams, under which a log can be that grows at its end alone."""
_DRIVER = "driver"


def add_jobs(routes: Routes, facade: Facade) -> None:
    jobs = facade.plane.jobs

    @routes.add("GET", _COLLECTION)
    def list_jobs(call: Call) -> dict[str, Any]:
        found = everything(lambda page: jobs.list(page=page))
        answers = [job_resource(job, facade, call.workspace, call.base) for job in found if not job.parent_job_name]
        return {"value": viewed(call, answers)}

    @routes.add("GET", _ONE)
    def get_job(call: Call) -> dict[str, Any]:
        name = call.name("job")
        if parent := parent_of(name):
            jobs.get(parent)
            return child_resource(name, call.workspace)
        job = jobs.get(name)
        if job.parent_job_name:
            return child_resource(name, call.workspace)
        return job_resource(job, facade, call.workspace, call.base)

    @routes.add("PUT", _ONE)
    def put_job(call: Call) -> Response:
        """Begin a job that stands for itself; the same request sent again begins no other.

        Older clients archive a job by sending back what they got, which has neither steps nor a command.
        """
        given = call.properties
        if not given.get("jobs") and not given.get("command"):
            changed = jobs.describe(
                call.name("job"),
                display_name=given.get("displayName"),
                description=given.get("description"),
                tags=own_tags(given.object("tags").given),
                properties={ARCHIVED: "true" if given.get("isArchived") else ""},
            )
            return stored(job_resource(changed, facade, call.workspace, call.base), False)
        job = jobs.create(job_document(facade, call), request_id=f"azure-{call.name('job')}")
        return stored(job_resource(job, facade, call.workspace, call.base), True)

    @routes.add("POST", _ONE + "/cancel")
    def cancel(call: Call) -> None:
        jobs.cancel(parent_of(call.name("job")) or call.name("job"))

    @routes.add("DELETE", _ONE)
    def delete_job(call: Call) -> Response:
        jobs.get(call.name("job"))
        raise InvocationError(
            f"job '{call.name('job')}' cannot be deleted: records of jobs are kept here",
            mend="`ml_client.jobs.archive(name)` leaves it out of lists.",
        )

    @routes.add("GET", LOGS + "{job}/{path:path}")
    def log(call: Call) -> Response:
        if call.name("path") != LOG:
            raise NotFound(f"a job has no log '{call.name('path')}'")
        try:
            text = merged_logs(jobs.get(call.name("job")).folder, worker=_DRIVER)
        except NotFound:  # no driver has begun
            return PlainTextResponse("")
        return StreamingResponse(text, media_type="text/plain; charset=utf-8")
