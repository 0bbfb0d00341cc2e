"""The HTTP edge: a FastAPI application over the control plane."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import Refused
from batch_endpoints.ingress.errors import add_error_handlers, error_response
from batch_endpoints.ingress.routes.assets import assets_router
from batch_endpoints.ingress.routes.endpoints import deployments_router, endpoints_router
from batch_endpoints.ingress.routes.jobs import jobs_router
from batch_endpoints.ingress.routes.uploads import uploads_router

_DESCRIPTION = """
Stable addresses for long-running, asynchronous inference. `POST /endpoints/{endpoint}/jobs` takes pointers to data
and answers at once with a job; look at it with `GET /jobs/{job}` until its status is Completed, Failed or Canceled.

Every error is `{"error": {"code": "…", "message": "…", "details": […]}}`.
"""
_ERROR = {
    "description": "what is wrong, where, and how to mend it",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {
                        "type": "object",
                        "properties": {
                            "code": {"type": "string"},
                            "message": {"type": "string"},
                            "details": {"type": "array", "items": {}},
                        },
                    }
                },
            }
        }
    },
}


def create_app(control_plane: ControlPlane, *, server_id: str, allowed_hosts: Collection[str] = ()) -> FastAPI:
    """All routes over one control plane.

    Args:
        control_plane: the use cases.
        server_id: what tells this server from any other; clients on its machine know it from ``server.json``.
        allowed_hosts: names that clients may call the server by, without port. With names, a request to any other is
            refused, so that a web page cannot reach a server on loopback under a name of its own (DNS rebinding).
    """
    release = version("batch-endpoints")
    app = FastAPIOffline(title="Batch endpoints", version=release, description=_DESCRIPTION)
    add_error_handlers(app)
    if allowed_hosts:
        app.add_middleware(_KnownHosts, allowed=frozenset(name.lower() for name in allowed_hosts))

    @app.get("/", tags=["server"], summary="Which server this is")
    def root() -> dict[str, str]:
        return {"product": "batch-endpoints", "version": release, "id": server_id}

    for router in (endpoints_router, deployments_router, jobs_router, assets_router, uploads_router):
        app.include_router(router(control_plane))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _KnownHosts:
    """Refuses requests that call the server by a name it does not have."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            name = re.sub(r":\d*$", "", host).strip("[]").lower()
            if name not in self._allowed:
                error = Refused(
                    f"this server is not called '{host}'", mend=f"Call it {' or '.join(sorted(self._allowed))}."
                )
                await error_response(403, error.code, str(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, but with the errors that this server really gives."""
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["4XX"] = _ERROR
        app.openapi_schema = schema
    return app.openapi_schema
