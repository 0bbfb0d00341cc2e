"""The HTTP edge: a FastAPI application over the control plane."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from fastapi_offline import FastAPIOffline

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.authentication import Authentication
from batch_endpoints.ingress.azure import AzureDoors, azure_routes
from batch_endpoints.ingress.azure.tokens import signing_key
from batch_endpoints.ingress.body_schemas import add_body_schemas
from batch_endpoints.ingress.errors import add_error_handlers
from batch_endpoints.ingress.limited_bodies import LimitedBodies
from batch_endpoints.ingress.request_checks import RequestChecks
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


def create_app(
    control_plane: ControlPlane,
    *,
    server_id: str,
    token: str,
    allowed_hosts: Collection[str] = (),
    key_file: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """All routes over one control plane.

    Args:
        control_plane: the use cases.
        server_id: what tells this server from any other; clients on its machine know it from ``server.json``.
        token: what every request has to carry, but for those that ask which server this is and whether it lives.
        allowed_hosts: names that clients may call the server by, without port. With names, a request to any other is
            refused, so that a web page cannot reach a server on loopback under a name of its own (DNS rebinding).
        key_file: the key that tokens of Azure's clients are signed with; it is made where it is missing. None makes
            one for this process.
        clock: seconds since the epoch.
    """
    azure = AzureDoors(token, signing_key(key_file), clock)
    release = version("batch-endpoints")
    app = FastAPIOffline(title="Batch endpoints", version=release, description=_DESCRIPTION)
    add_error_handlers(app)
    app.add_middleware(LimitedBodies)
    app.add_middleware(Authentication, token=token, azure=azure, clock=clock)
    app.add_middleware(RequestChecks, allowed_hosts=allowed_hosts)  # the last one added is asked first

    @app.get("/", tags=["server"], summary="Which server this is")
    def root() -> dict[str, str]:
        return {"product": "batch-endpoints", "version": release, "id": server_id}

    @app.get("/healthz", tags=["server"], summary="Does the server live?", response_class=PlainTextResponse)
    def healthz() -> str:
        return "ok"

    for router in (endpoints_router, deployments_router, jobs_router, assets_router, uploads_router):
        app.include_router(router(control_plane))
    app.router.routes += azure_routes(control_plane, azure)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, but with the errors that this server really gives."""
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        add_body_schemas(schema)
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["4XX"] = _ERROR
        app.openapi_schema = schema
    return app.openapi_schema
