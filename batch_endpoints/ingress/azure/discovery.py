"""How a client finds this server: the description of a cloud, tokens, the workspace, and operations that are done.

The client makes the address of an account's blobs as ``https://{account}.blob.{suffix}``. An account that is named
``host:port/blob/ws``, with the suffix ``local``, is a path of this server's one port, ``/blob/ws.blob.local``: no
other host needs a name or a certificate.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.azure.doors import DISCOVERY, OWNER
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, resource
from batch_endpoints.policies.azure_client import METADATA, TOKEN

CLOUD = "BatchEndpoints"


def add_discovery(routes: Routes, facade: Facade) -> None:
    @routes.add("GET", METADATA)
    async def metadata(call: Call) -> dict[str, Any]:
        return {
            "name": CLOUD,
            "portal": "https://portal.batch.local/",  # what follows the second dot names the audience of tokens
            "resourceManager": f"{call.base}/",
            "authentication": {"loginEndpoint": f"{call.base}/", "audiences": [call.base], "tenant": "common"},
            "suffixes": {"storage": "local"},
        }

    @routes.add("GET", TOKEN)
    async def token(call: Call) -> Response:
        audience = call.query("resource")
        if audience.rstrip("/") not in facade.doors.audiences(call.base):
            known = " and ".join(facade.doors.audiences(call.base))
            raise SpecError(f"tokens are made for {known}, not for '{audience}'")
        made, expires = facade.doors.issuer.issue(audience, OWNER)
        answer = {"access_token": made, "expires_on": str(expires), "resource": audience, "token_type": "Bearer"}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    @routes.add("GET", DISCOVERY + "{workspace}")
    async def discovery(call: Call) -> dict[str, Any]:
        return {"api": call.base}

    @routes.add("GET", WORKSPACE)
    async def workspace(call: Call) -> dict[str, Any]:
        name = call.name("workspace")
        properties = {
            "discoveryUrl": f"{call.base}{DISCOVERY}{name}",
            "friendlyName": name,
            "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, call.workspace.lower())),
            "provisioningState": "Succeeded",
        }
        answer = resource(call.workspace, name, "", properties)
        return {**answer, "type": "Microsoft.MachineLearningServices/workspaces"}

    @routes.add("GET", WORKSPACE + "/operations/{operation}")
    async def operation(call: Call) -> dict[str, Any]:
        return {"id": call.request.url.path, "name": call.name("operation"), "status": "Succeeded"}
