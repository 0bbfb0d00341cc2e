"""Models, data and environments by version; each translated in ``asset_bodies``."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from batch_endpoints.control_plane.assets import SPECS
from batch_endpoints.control_plane.records import everything, found
from batch_endpoints.ingress.azure.asset_bodies import BODIES
from batch_endpoints.ingress.azure.component_bodies import OF_JOB, nameless_id, source_job
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, resource, stored
from batch_endpoints.interfaces.records import AnyAsset, AssetKind
from batch_endpoints.specs import Compute, Data, Datastore, check

ARCHIVED = "azureml.isArchived"
"""The property by which an asset or a job is left out of lists."""
_ANONYMOUS = ("cliv2anonymousenvironment", "azureml_anonymous")
"""Names, in lower case, under which a client registers what a person has not named; no list has them."""
_LATEST = ("latest", "azureml_default")


def add_assets(routes: Routes, facade: Facade) -> None:
    for kind in BODIES:
        add_versioned(routes, facade, kind)


def add_versioned(routes: Routes, facade: Facade, kind: AssetKind) -> None:
    """The routes of one kind."""
    assets, body = facade.plane.assets, BODIES[kind]
    collection = f"{WORKSPACE}/{kind}"
    container, versions = f"{collection}/{{name}}", f"{collection}/{{name}}/versions"
    one = f"{versions}/{{version}}"

    def answer(asset: AnyAsset, call: Call) -> dict[str, Any]:
        assert not isinstance(asset, Datastore | Compute)
        properties = {
            "description": asset.description,
            "tags": asset.tags,
            "properties": {key: value for key, value in asset.properties.items() if key != ARCHIVED},
            "isArchived": is_archived(asset.properties),
            "isAnonymous": asset.name.lower() in _ANONYMOUS,
            **body.properties(facade, asset, call.workspace),
        }
        id = f"{call.workspace}/{kind}/{asset.name}/versions/{asset.version}"
        return resource(id, asset.version, f"{kind}/versions", properties)

    def container_answer(name: str, call: Call) -> dict[str, Any]:
        all_versions = list(everything(lambda page: assets.versions(kind, name, page)))
        newest = all_versions[0]
        assert not isinstance(newest, Datastore | Compute)
        numbers = [int(v.version) for v in all_versions if hasattr(v, "version") and v.version.isdecimal()]
        properties = {
            "description": newest.description,
            "tags": newest.tags,
            "properties": {},
            "latestVersion": newest.version,
            "nextVersion": str(max(numbers, default=0) + 1),
            "isArchived": all(is_archived(v.properties) for v in all_versions if not isinstance(v, Compute)),
        }
        if isinstance(newest, Data):
            properties["dataType"] = newest.type
        return resource(f"{call.workspace}/{kind}/{newest.name}", newest.name, kind, properties)

    @routes.add("GET", collection)
    def list_containers(call: Call) -> dict[str, Any]:
        names = [asset.name for asset in everything(lambda page: assets.list(kind, page))]
        names = [name for name in names if name.lower() not in _ANONYMOUS]
        return {"value": viewed(call, [container_answer(name, call) for name in names])}

    @routes.add("GET", container)
    def get_container(call: Call) -> dict[str, Any]:
        return container_answer(call.name("name"), call)

    @routes.add("PUT", container)
    def put_container(call: Call) -> dict[str, Any]:
        """Archive all versions, or bring them back."""
        archived = bool(call.properties.get("isArchived"))
        for asset in list(everything(lambda page: assets.versions(kind, call.name("name"), page))):
            assets.put(kind, with_archived(asset, archived))
        return container_answer(call.name("name"), call)

    @routes.add("GET", versions)
    def list_versions(call: Call) -> dict[str, Any]:
        known = found(lambda: list(everything(lambda page: assets.versions(kind, call.name("name"), page))))
        answers = viewed(call, [answer(asset, call) for asset in known or ()])
        top = call.query("$top")
        return {"value": answers[: int(top)] if top.isdecimal() else answers}

    @routes.add("GET", one)
    def get_version(call: Call) -> dict[str, Any]:
        version = call.name("version")
        return answer(assets.get(kind, call.name("name"), "" if version.lower() in _LATEST else version), call)

    @routes.add("PUT", one)
    def put_version(call: Call) -> Response:
        given = call.properties
        if kind == "components" and (job := source_job(given)):
            facade.plane.jobs.get(job)
            version = f"{OF_JOB}{job}"  # a deployment is made of it, and nothing has to be kept until then
            echoed = {"componentSpec": given["componentSpec"], "isAnonymous": True, "properties": {}, "tags": {}}
            id = nameless_id(version, call.workspace)
            return stored(resource(id, version, "components/versions", echoed), True)
        properties = {str(key): str(value) for key, value in given.object("properties").given.items()}
        document = {
            "name": call.name("name"),
            "version": call.name("version"),
            "description": given.get("description") or "",
            "tags": given.object("tags").given,
            "properties": properties | ({ARCHIVED: "true"} if given.get("isArchived") else {}),
            **body.document(facade, given),
        }
        asset: AnyAsset = check(SPECS[kind], document)
        saved, created = assets.put(kind, asset)
        return stored(answer(saved, call), created)

    @routes.add("DELETE", one)
    def delete_version(call: Call) -> None:
        assets.delete(kind, call.name("name"), call.name("version"))

    @routes.add("DELETE", container)
    def delete_container(call: Call) -> None:
        assets.delete(kind, call.name("name"))


def viewed(call: Call, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that the parameter ``listViewType`` asks for."""
    view = call.query("listViewType").lower() or "activeonly"
    wanted = {"all": (True, False), "archivedonly": (True,)}.get(view, (False,))
    return [answer for answer in answers if answer["properties"]["isArchived"] in wanted]


def is_archived(properties: dict[str, str]) -> bool:
    return properties.get(ARCHIVED) == "true"


def with_archived(asset: Any, archived: bool) -> AnyAsset:
    """The asset, left out of lists or not."""
    kept = {key: value for key, value in asset.properties.items() if key != ARCHIVED}
    changed: AnyAsset = asset.model_copy(update={"properties": kept | ({ARCHIVED: "true"} if archived else {})})
    return changed
