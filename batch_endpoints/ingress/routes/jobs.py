"""``/endpoints/{endpoint}/jobs`` and ``/jobs``: invoke, look, cancel, logs, outputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, BinaryIO, get_args
from urllib.parse import quote

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import AfterValidator

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.artifacts import artifacts, open_artifact
from batch_endpoints.control_plane.artifacts import report as job_report
from batch_endpoints.control_plane.partial_outputs import partial_output, write_partial_output
from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.bodies import EXAMPLES, parse_invocation
from batch_endpoints.ingress.documents import Document, Paging, base_url, list_answer, storable
from batch_endpoints.ingress.job_answer import job_answer
from batch_endpoints.ingress.job_events import follow as follow_logs
from batch_endpoints.ingress.job_feeds import JobFeeds
from batch_endpoints.specs import AnyJob, JobState, JobStatus, ScoringJob
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.job.logs import merged_logs
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files

InvocationBody = Annotated[dict[str, Any], Body(openapi_examples=EXAMPLES), AfterValidator(storable)]
ResumeBody = Annotated[
    dict[str, Any] | None,
    Body(description="settings it shall have from now on: the same keys as of an invocation"),
    AfterValidator(lambda body: body if body is None else storable(body)),
]
Statuses = Annotated[
    list[str], Query(default_factory=list, description="only jobs with this status; may be given more than once")
]
DeploymentHeader = Annotated[
    str,
    Header(alias="azureml-model-deployment", description="picks a deployment; otherwise the default gets the job"),
]
RequestId = Annotated[
    str,
    Header(
        alias="repeatability_request-id",
        description="makes the request repeatable: the same id gives the same job, for ever",
    ),
]
Follow = Annotated[bool, Query(description="server-sent events until the job has ended")]
Parent = Annotated[str, Query(description="the name of a pipeline's job: lists its steps that have begun")]
Worker = Annotated[str, Query(description="only logs with this in their names; `driver` is one")]
OnlyErrors = Annotated[
    bool, Query(description="only failed tries with their stacks, and what the driver warns of: no prints")
]


def jobs_router(control_plane: ControlPlane) -> APIRouter:
    router = APIRouter(tags=["jobs"])
    jobs, feeds = control_plane.jobs, JobFeeds()

    @router.post("/endpoints/{endpoint}/jobs", status_code=201, summary="Invoke an endpoint")
    def invoke(
        endpoint: str,
        body: InvocationBody,
        request: Request,
        response: Response,
        deployment: DeploymentHeader = "",
        request_id: RequestId = "",
    ) -> dict[str, Any]:
        job = jobs.invoke(endpoint, parse_invocation(body), deployment=deployment, request_id=request_id)
        response.headers["Location"] = (
            f"{base_url(request)}/endpoints/{quote(job.endpoint_name)}/jobs/{quote(job.name)}"
        )
        return job_answer(job)

    @router.get("/endpoints/{endpoint}/jobs", summary="List the jobs of an endpoint, newest first")
    def list_of_endpoint(request: Request, endpoint: str, status: Statuses, page: Paging) -> dict[str, Any]:
        listing = jobs.list(endpoint=endpoint, statuses=_statuses(status), page=page)
        return list_answer(request, listing, job_answer)

    @router.get("/endpoints/{endpoint}/deployments/{deployment}/jobs", summary="List the jobs of a deployment")
    def list_of_deployment(
        request: Request,
        endpoint: str,
        deployment: str,
        status: Statuses,
        page: Paging,
    ) -> dict[str, Any]:
        listing = jobs.list(endpoint=endpoint, deployment=deployment, statuses=_statuses(status), page=page)
        return list_answer(request, listing, job_answer)

    @router.post("/jobs", status_code=201, summary="Run a pipeline, or one command, by itself")
    def create(body: Document, request: Request, response: Response, request_id: RequestId = "") -> dict[str, Any]:
        job = jobs.create(body, request_id=request_id)
        response.headers["Location"] = f"{base_url(request)}/jobs/{quote(job.name)}"
        return job_answer(job)

    @router.get("/jobs", summary="List all jobs, newest first; with parent the steps of one")
    def list_all(request: Request, status: Statuses, page: Paging, parent: Parent = "") -> dict[str, Any]:
        listing = jobs.children(parent, page) if parent else jobs.list(statuses=_statuses(status), page=page)
        return list_answer(request, listing, job_answer)

    @router.get("/endpoints/{endpoint}/jobs/{job}", summary="Show a job")
    def get_of_endpoint(endpoint: str, job: str) -> dict[str, Any]:
        return job_answer(jobs.get(job, endpoint))

    @router.get("/jobs/{job}", summary="Show a job")
    def get_job(job: str) -> dict[str, Any]:
        return job_answer(jobs.get(job))

    @router.post("/jobs/{job}/cancel", status_code=202, summary="Ask a job to end")
    def cancel(job: str) -> dict[str, Any]:
        return job_answer(jobs.cancel(job))

    @router.post("/jobs/{job}/resume", status_code=202, summary="Let a failed or canceled job go on")
    def resume(job: str, body: ResumeBody = None) -> dict[str, Any]:
        return job_answer(jobs.resume(job, parse_invocation(body or {"properties": {}})))

    @router.post(
        "/jobs/{job}/retry-failed", status_code=202, summary="Let a job that has ended try again what failed"
    )
    def retry_failed(job: str, body: ResumeBody = None) -> dict[str, Any]:
        return job_answer(jobs.retry_failed(job, parse_invocation(body or {"properties": {}})))

    @router.get("/jobs/{job}/logs", summary="The logs of driver and workers, by time", response_class=Response)
    def logs(job: str, follow: Follow = False, worker: Worker = "", errors: OnlyErrors = False) -> Response:
        found = jobs.get(job)
        if not follow:
            text = merged_logs(found.folder, worker=worker, errors=errors, steps=tuple(found.state.steps))
            return StreamingResponse(text, media_type="text/plain; charset=utf-8")
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = follow_logs(feeds, found, lambda: jobs.get(job), worker=worker, errors=errors)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    @router.get("/jobs/{job}/report", summary="What became of a job that has ended: counts, seconds, tries, versions")
    def show_report(job: str) -> JobState:
        return job_report(jobs.get(job))

    @router.get("/jobs/{job}/artifacts", summary="List what a job tells of itself: report, failed items, logs")
    def list_artifacts(job: str) -> dict[str, Any]:
        return {"value": [{"path": path} for path in artifacts(jobs.get(job))]}

    @router.get("/jobs/{job}/artifacts/{path:path}", summary="Download one of them", response_class=Response)
    def download_artifact(job: str, path: str) -> Response:
        return _file(open_artifact(jobs.get(job), path), path)

    @router.get("/jobs/{job}/failed-items", summary="Each failed item with its reason, as JSON lines")
    def failed_items(job: str) -> Response:
        return Response(jobs.failed_items(job), media_type="application/x-ndjson")

    @router.get("/jobs/{job}/outputs/{name}", summary="List the files of an output")
    def list_output(job: str, name: str) -> dict[str, Any]:
        uri, spec = jobs.output(job, name), jobs.get(job).spec
        files = [file._asdict() for file in output_files(uri, Access.of(spec))]
        return {"uri": uri, "format": _format(spec), "value": files}

    @router.get("/jobs/{job}/outputs/{name}/{path:path}", summary="Download one file", response_class=Response)
    def download(job: str, name: str, path: str) -> Response:
        return _file(open_output_file(jobs.output(job, name), path, Access.of(jobs.get(job).spec)), path)

    @router.post(
        "/jobs/{job}/partial-outputs/{name}", summary="Put together what a job that has not completed has committed"
    )
    def write_partial(job: str, name: str) -> dict[str, Any]:
        uri = write_partial_output(found := jobs.get(job), name)
        return {"uri": uri, "format": _format(found.spec), "value": [file._asdict() for file in output_files(uri)]}

    @router.get(
        "/jobs/{job}/partial-outputs/{name}/{path:path}", summary="Download one file of it", response_class=Response
    )
    def download_partial(job: str, name: str, path: str) -> Response:
        return _file(open_output_file(partial_output(jobs.get(job), name), path), path)

    return router


def _format(spec: AnyJob) -> str | None:
    """Of the rows of a scoring job; the files of other jobs are what their steps wrote."""
    return spec.deployment.settings.output_format if isinstance(spec, ScoringJob) else None


def _file(file: Path | BinaryIO, path: str) -> Response:
    filename = PurePosixPath(path).name
    if isinstance(file, Path):
        return FileResponse(file, filename=filename, media_type="application/octet-stream")
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(filename)}"}
    return StreamingResponse(_pieces(file), media_type="application/octet-stream", headers=headers)


def _statuses(given: list[str]) -> list[JobStatus]:
    known = {status.lower(): status for status in get_args(JobStatus)}
    for status in given:
        if status.lower() not in known:
            close = difflib.get_close_matches(status.lower(), known, n=1)
            hint = f"did you mean '{known[close[0]]}'?" if close else f"there are: {', '.join(known.values())}"
            raise SpecError(f"no job has a status '{status}'; {hint}")
    return [known[status.lower()] for status in given]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(1 << 20):
            yield piece
