"""``/models /data /environments /components`` with versions, ``/datastores /computes`` without."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.assets import SPECS, Assets
from batch_endpoints.ingress.documents import Document, Paging, asset_answer, list_answer, named
from batch_endpoints.interfaces.records import VERSIONED, AnyAsset, AssetKind
from batch_endpoints.specs import check


def assets_router(control_plane: ControlPlane) -> APIRouter:
    router = APIRouter()
    for kind in SPECS:
        add = _add_versioned if kind in VERSIONED else _add_unversioned
        one_kind = APIRouter(prefix=f"/{kind}", tags=[kind])
        add(one_kind, control_plane.assets, kind)
        router.include_router(one_kind)
    return router


def _add_versioned(router: APIRouter, assets: Assets, kind: AssetKind) -> None:
    @router.post("", status_code=201, summary="Register an asset; without a version it gets the next number")
    def post_asset(document: Document, response: Response) -> dict[str, Any]:
        return _stored(assets, kind, named(document), response)

    @router.put("/{name}/versions/{version}", summary="Register this version of an asset")
    def put_version(name: str, version: str, document: Document, response: Response) -> dict[str, Any]:
        return _stored(assets, kind, named(document, name=name, version=version), response)

    @router.get("", summary="List the newest version of each name")
    def list_assets(request: Request, page: Paging) -> dict[str, Any]:
        return list_answer(request, assets.list(kind, page), asset_answer)

    @router.get("/{name}/versions", summary="List the versions of one name, newest first")
    def list_versions(request: Request, name: str, page: Paging) -> dict[str, Any]:
        return list_answer(request, assets.versions(kind, name, page), asset_answer)

    @router.get("/{name}/versions/{version}", summary="Show one version, or `latest`")
    def get_version(name: str, version: str) -> dict[str, Any]:
        return asset_answer(assets.get(kind, name, version))

    @router.delete("/{name}/versions/{version}", status_code=204, summary="Delete one version")
    def delete_version(name: str, version: str) -> None:
        assets.delete(kind, name, version)


def _add_unversioned(router: APIRouter, assets: Assets, kind: AssetKind) -> None:
    @router.put("/{name}", summary="Create or replace it")
    def put_asset(name: str, document: Document, response: Response) -> dict[str, Any]:
        return _stored(assets, kind, named(document, name=name), response)

    @router.patch("/{name}", summary="Change it (JSON merge patch)")
    def patch_asset(name: str, document: Document) -> dict[str, Any]:
        return asset_answer(assets.patch(kind, name, document))

    @router.get("", summary="List them")
    def list_assets(request: Request, page: Paging) -> dict[str, Any]:
        return list_answer(request, assets.list(kind, page), asset_answer)

    @router.get("/{name}", summary="Show one")
    def get_asset(name: str) -> dict[str, Any]:
        return asset_answer(assets.get(kind, name))

    @router.delete("/{name}", status_code=204, summary="Delete it")
    def delete_asset(name: str) -> None:
        assets.delete(kind, name)


def _stored(assets: Assets, kind: AssetKind, document: dict[str, Any], response: Response) -> dict[str, Any]:
    asset: AnyAsset = check(SPECS[kind], document)
    stored, created = assets.put(kind, asset)
    response.status_code = 201 if created else 200
    return asset_answer(stored)
