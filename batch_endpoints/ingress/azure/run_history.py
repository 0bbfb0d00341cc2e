"""The run history, from which a client takes steps, the state that it streams, outputs and changed names."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from batch_endpoints.control_plane.records import everything
from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.ingress.azure.assets import ARCHIVED
from batch_endpoints.ingress.azure.doors import LOGS
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.job_answers import has_step, own_tags, parent_of, run
from batch_endpoints.ingress.azure.jobs import LOG
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes
from batch_endpoints.specs import BatchJob

_HISTORY = "/history/v1.0" + WORKSPACE
_RUN = _HISTORY + "/runs/{run}"
_ASSET = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)")


def add_run_history(routes: Routes, facade: Facade) -> None:
    jobs = facade.plane.jobs

    def job_of(name: str) -> tuple[BatchJob, bool]:
        """The job of a run, and whether the run is its only step."""
        parent = parent_of(name)
        return jobs.get(parent or name), bool(parent)

    @routes.add("GET", _RUN + "/children")
    def children(call: Call) -> dict[str, Any]:
        job, is_step = job_of(call.name("run"))
        if is_step:
            return {"value": []}
        if has_step(job):
            return {"value": [run(job, as_step=True, old_types=_is_old(call))]}
        steps = everything(lambda page: jobs.children(job.name, page))
        return {"value": [run(step, as_step=False, old_types=_is_old(call)) for step in steps]}

    @routes.add("GET", _RUN)
    def get_run(call: Call) -> dict[str, Any]:
        job, is_step = job_of(call.name("run"))
        return run(job, as_step=is_step, old_types=_is_old(call))

    @routes.add("GET", _RUN + "/details")
    def details(call: Call) -> dict[str, Any]:
        job, _ = job_of(call.name("run"))
        error = job.state.error
        signed = facade.doors.sign(f"logs/{job.name}", ("read",))
        return {
            "runId": call.name("run"),
            "status": job.status,
            "logFiles": {LOG: f"{call.base}{LOGS}{quote(job.name)}/{LOG}?{signed}"},
            "warnings": [],
            "error": {"error": {"code": "UserError", "message": error.message, "details": []}} if error else None,
        }

    @routes.add("POST", _HISTORY + "/rundata")
    def run_data(call: Call) -> dict[str, Any]:
        job, is_step = job_of(str(call.body.get("runId", "")))
        metadata = run(job, as_step=is_step, old_types=_is_old(call))
        return {"runMetadata": metadata}

    @routes.add("PATCH", _HISTORY + "/experiments/{experiment}/runs/{run}")
    def change_run(call: Call) -> dict[str, Any]:
        job, is_step = job_of(call.name("run"))
        if is_step:
            raise SpecError("a step has no name and tags of its own", mend="Change those of its job.")
        hidden = call.body.get("hidden")
        changed = jobs.describe(
            job.name,
            display_name=call.body.get("displayName"),
            description=call.body.get("description"),
            tags=own_tags(call.body.object("tags").given) if "tags" in call.body.given else None,
            properties=None if hidden is None else {ARCHIVED: "true" if hidden else ""},
        )
        return run(changed, as_step=False, old_types=_is_old(call))

    @routes.add("POST", "/data/v1.0" + WORKSPACE + "/dataversion/batchGetResolvedUris")
    def resolve(call: Call) -> dict[str, Any]:
        values = {}
        for asset in call.body.get("values", []):
            if not (found := _ASSET.fullmatch(str(asset))):
                raise NotFound(f"'{asset}' is no output of a job")
            job, output = parent_of(found[1]) or found[1], found[2]
            uri = facade.output_uri(job, output, call.workspace)
            values[asset] = {"uri": uri, "type": "UriFolder"}
        return {"values": values}


def _is_old(call: Call) -> bool:
    """Is this a release of the client that spells types in the old way? Newer ones send a version."""
    return not call.query("api-version")
