"""``/endpoints`` and ``/endpoints/{endpoint}/deployments``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.documents import (
    Document,
    Paging,
    deployment_answer,
    endpoint_answer,
    list_answer,
    named,
)
from batch_endpoints.specs import DEPLOYMENT, BatchEndpoint, check

Skip = Annotated[bool, Query(description="take the scoring script unread")]


def endpoints_router(control_plane: ControlPlane) -> APIRouter:
    router = APIRouter(prefix="/endpoints", tags=["endpoints"])
    endpoints = control_plane.endpoints

    @router.put("/{endpoint}", summary="Create or replace an endpoint")
    def put_endpoint(endpoint: str, document: Document, request: Request, response: Response) -> dict[str, Any]:
        spec = check(BatchEndpoint, named(document, name=endpoint))
        response.status_code = 201 if endpoints.put(spec) else 200
        return endpoint_answer(endpoints.get(endpoint), request)

    @router.patch("/{endpoint}", summary="Change description, tags, defaults or properties (JSON merge patch)")
    def patch_endpoint(endpoint: str, document: Document, request: Request) -> dict[str, Any]:
        return endpoint_answer(endpoints.patch(endpoint, document), request)

    @router.get("/{endpoint}", summary="Show an endpoint")
    def get_endpoint(endpoint: str, request: Request) -> dict[str, Any]:
        return endpoint_answer(endpoints.get(endpoint), request)

    @router.get("", summary="List endpoints")
    def list_endpoints(request: Request, page: Paging) -> dict[str, Any]:
        return list_answer(request, endpoints.list(page), lambda e: endpoint_answer(e, request))

    @router.delete("/{endpoint}", status_code=204, summary="Delete an endpoint and its deployments; its jobs stay")
    def delete_endpoint(endpoint: str) -> None:
        endpoints.delete(endpoint)

    return router


def deployments_router(control_plane: ControlPlane) -> APIRouter:
    router = APIRouter(prefix="/endpoints/{endpoint}/deployments", tags=["deployments"])
    deployments = control_plane.deployments

    @router.put("/{deployment}", summary="Create or replace a deployment")
    def put_deployment(
        endpoint: str, deployment: str, document: Document, response: Response, skip_script_validation: Skip = False
    ) -> dict[str, Any]:
        spec = check(DEPLOYMENT, named(document, name=deployment, endpoint_name=endpoint))
        stored, created = deployments.put(spec, skip_script_validation=skip_script_validation)
        response.status_code = 201 if created else 200
        return deployment_answer(stored)

    @router.patch(
        "/{deployment}", summary="Change description, tags, settings, resources or properties (JSON merge patch)"
    )
    def patch_deployment(endpoint: str, deployment: str, document: Document) -> dict[str, Any]:
        return deployment_answer(deployments.patch(endpoint, deployment, document))

    @router.get("/{deployment}", summary="Show a deployment")
    def get_deployment(endpoint: str, deployment: str) -> dict[str, Any]:
        return deployment_answer(deployments.get(endpoint, deployment))

    @router.get("", summary="List the deployments of an endpoint")
    def list_deployments(request: Request, endpoint: str, page: Paging) -> dict[str, Any]:
        return list_answer(request, deployments.list(endpoint, page), deployment_answer)

    @router.delete("/{deployment}", status_code=204, summary="Delete a deployment that is not the default")
    def delete_deployment(endpoint: str, deployment: str) -> None:
        deployments.delete(endpoint, deployment)

    return router
