"""Endpoints, and the jobs that they are invoked for."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from batch_endpoints.control_plane.records import everything, found
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.job_answers import invoked_answer
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Keys, Routes, finished, present, resource
from batch_endpoints.ingress.bodies import parse_invocation
from batch_endpoints.specs import BatchEndpoint, BatchJob, check

COLLECTION = WORKSPACE + "/batchEndpoints"
ONE = COLLECTION + "/{endpoint}"
_DATA_PLANE = "/mferp/managementfrontend"


def add_endpoints(routes: Routes, facade: Facade) -> None:
    endpoints, jobs = facade.plane.endpoints, facade.plane.jobs

    @routes.add("GET", COLLECTION)
    def list_endpoints(call: Call) -> dict[str, Any]:
        return {"value": [_answer(endpoint, call) for endpoint in everything(endpoints.list)]}

    @routes.add("GET", ONE)
    def get_endpoint(call: Call) -> dict[str, Any]:
        return _answer(endpoints.get(call.name("endpoint")), call)

    @routes.add("PUT PATCH", ONE)
    def put_endpoint(call: Call) -> Response:
        given = call.properties
        name = call.name("endpoint")
        known = found(lambda: endpoints.get(name))
        defaults = given.object("defaults").get("deploymentName")
        if defaults is None and known:
            defaults = known.defaults.deployment_name
        document = {
            "name": name,
            "description": given.get("description"),
            "auth_mode": given.get("authMode"),
            "tags": call.body.get("tags"),
            "properties": given.get("properties"),
            "location": call.body.get("location"),
            "identity": call.body.get("identity"),
            "defaults": {"deployment_name": str(defaults).rpartition("/")[2]} if defaults else None,
        }
        created = endpoints.put(check(BatchEndpoint, present(document)))
        return finished(call, _answer(endpoints.get(name), call), created)

    @routes.add("DELETE", ONE)
    def delete_endpoint(call: Call) -> Response | None:
        if found(lambda: endpoints.get(call.name("endpoint"))) is None:
            return Response(status_code=204)
        endpoints.delete(call.name("endpoint"))
        return None

    @routes.add("POST", ONE + "/jobs")
    def invoke(call: Call) -> Response:
        headers = call.request.headers
        job = jobs.invoke(
            call.name("endpoint"),
            parse_invocation(_with_our_uris(facade, call.body)),
            deployment=headers.get("azureml-model-deployment", ""),
            request_id=headers.get("repeatability_request-id", ""),
        )
        return JSONResponse(invoked_answer(job, call.workspace), status_code=201)

    @routes.add("GET", ONE + "/jobs", _DATA_PLANE + ONE + "/jobs")
    def list_jobs(call: Call) -> dict[str, Any]:
        return _jobs(call, everything(lambda page: jobs.list(endpoint=call.name("endpoint"), page=page)))

    @routes.add("GET", ONE + "/deployments/{name}/jobs", _DATA_PLANE + ONE + "/deployments/{name}/jobs")
    def list_jobs_of_deployment(call: Call) -> dict[str, Any]:
        endpoint, deployment = call.name("endpoint"), call.name("name")
        return _jobs(call, everything(lambda page: jobs.list(endpoint=endpoint, deployment=deployment, page=page)))


def _jobs(call: Call, found: Any) -> dict[str, Any]:
    top_level: list[BatchJob] = [job for job in found if not job.parent_job_name]
    return {"value": [invoked_answer(job, call.workspace) for job in top_level]}


def _answer(endpoint: BatchEndpoint, call: Call) -> dict[str, Any]:
    id = f"{call.workspace}/batchEndpoints/{endpoint.name}"
    properties = {
        "description": endpoint.description,
        "authMode": "AADToken",
        "properties": endpoint.properties,
        "defaults": {"deploymentName": endpoint.defaults.deployment_name or None},
        "scoringUri": f"{call.base}{id}/jobs",
        "swaggerUri": f"{call.base}/openapi.json",
        "provisioningState": "Succeeded",
    }
    more = {"identity": endpoint.identity} if endpoint.identity else {}
    return resource(id, endpoint.name, "batchEndpoints", properties, tags=endpoint.tags, **more)


def _with_our_uris(facade: Facade, body: Keys) -> dict[str, Any]:
    """The body of an invocation, with the places that it names as our documents name them."""
    properties = body.object("properties").given
    changed = {}
    for key, value in properties.items():
        if key.lower() in ("inputdata", "outputdata") and isinstance(value, dict):
            changed[key] = {name: _with_our_uri(facade, data) for name, data in value.items()}
    return {"properties": {**properties, **changed}}


def _with_our_uri(facade: Facade, data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {
        key: facade.ours(value) if key.lower() in ("uri", "path") and isinstance(value, str) else value
        for key, value in data.items()
    }
