"""Deployments of endpoints: of a model, or of a pipeline component."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from batch_endpoints.control_plane.records import everything, found
from batch_endpoints.ingress.azure.deployment_bodies import deployment_document, deployment_properties
from batch_endpoints.ingress.azure.endpoints import ONE as ENDPOINT
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import Call, Routes, finished, resource
from batch_endpoints.interfaces.records import AnyDeployment
from batch_endpoints.specs import DEPLOYMENT, check

_COLLECTION = ENDPOINT + "/deployments"
_ONE = _COLLECTION + "/{name}"


def add_deployments(routes: Routes, facade: Facade) -> None:
    deployments = facade.plane.deployments

    @routes.add("GET", _COLLECTION)
    def list_deployments(call: Call) -> dict[str, Any]:
        endpoint = call.name("endpoint")
        all_of_it = everything(lambda page: deployments.list(endpoint, page))
        return {"value": [_answer(facade, deployment, call) for deployment in all_of_it]}

    @routes.add("GET", _ONE)
    def get_deployment(call: Call) -> dict[str, Any]:
        return _answer(facade, deployments.get(call.name("endpoint"), call.name("name")), call)

    @routes.add("PUT PATCH", _ONE)
    def put_deployment(call: Call) -> Response:
        # the client has no way to hand on skip_script_validation, and looks at the script itself
        known = found(lambda: deployments.get(call.name("endpoint"), call.name("name")))
        saved, created = deployments.put(check(DEPLOYMENT, deployment_document(facade, call, known)))
        return finished(call, _answer(facade, saved, call), created)

    @routes.add("DELETE", _ONE)
    def delete_deployment(call: Call) -> Response | None:
        endpoint, name = call.name("endpoint"), call.name("name")
        if found(lambda: deployments.get(endpoint, name)) is None:
            return Response(status_code=204)
        deployments.delete(endpoint, name)
        return None


def _answer(facade: Facade, deployment: AnyDeployment, call: Call) -> dict[str, Any]:
    id = f"{call.workspace}/batchEndpoints/{deployment.endpoint_name}/deployments/{deployment.name}"
    properties = deployment_properties(deployment, call.workspace)
    return resource(id, deployment.name, "batchEndpoints/deployments", properties, tags=deployment.tags)
