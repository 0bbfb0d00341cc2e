"""Computes: clusters that grow from a least to a largest number of nodes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from batch_endpoints.control_plane.records import everything
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import WORKSPACE, Call, Routes, finished, present, resource
from batch_endpoints.specs import Compute, check
from batch_endpoints.specs.numbers import seconds

_ONE = WORKSPACE + "/computes/{name}"


def add_computes(routes: Routes, facade: Facade) -> None:
    assets = facade.plane.assets

    @routes.add("GET", WORKSPACE + "/computes")
    def list_computes(call: Call) -> dict[str, Any]:
        return {"value": [_answer(one, call) for one in everything(lambda page: assets.list("computes", page))]}

    @routes.add("GET", _ONE)
    def get_compute(call: Call) -> dict[str, Any]:
        return _answer(assets.get("computes", call.name("name")), call)

    @routes.add("PUT PATCH", _ONE)
    def put_compute(call: Call) -> Response:
        saved, created = assets.put("computes", check(Compute, _document(call)))
        return finished(call, _answer(saved, call), created)

    @routes.add("DELETE", _ONE)
    def delete_compute(call: Call) -> None:
        assets.delete("computes", call.name("name"))


def _document(call: Call) -> dict[str, Any]:
    given = call.properties.object("properties")
    scale = given.object("scaleSettings")
    kind = str(call.properties.get("computeType", "AmlCompute")).lower()
    document = {
        "name": call.name("name"),
        "type": kind,
        "description": call.properties.get("description"),
        "tags": call.body.get("tags"),
        "location": call.body.get("location"),
        "size": given.get("vmSize"),
        "tier": {"lowpriority": "low_priority"}.get(str(given.get("vmPriority", "")).lower(), "dedicated"),
        "min_instances": scale.get("minNodeCount"),
        "max_instances": scale.get("maxNodeCount"),
        "idle_time_before_scale_down": _whole_seconds(scale.get("nodeIdleTimeBeforeScaleDown")),
        "identity": call.body.get("identity"),
        "enable_node_public_ip": given.get("enableNodePublicIp"),
    }
    return present(document)


def _whole_seconds(given: Any) -> object:
    return 0 if given == "PT0S" else seconds(given)


def _answer(compute: Any, call: Call) -> dict[str, Any]:
    assert isinstance(compute, Compute)
    properties = {
        "computeType": "AmlCompute",
        "description": compute.description,
        "provisioningState": "Succeeded",
        "isAttachedCompute": False,
        "disableLocalAuth": True,
        "properties": {
            "vmSize": compute.size or "local",
            "vmPriority": "LowPriority" if compute.tier == "low_priority" else "Dedicated",
            "osType": "Linux",
            "allocationState": "Steady",
            "scaleSettings": {
                "minNodeCount": compute.min_instances,
                "maxNodeCount": compute.max_instances,
                "nodeIdleTimeBeforeScaleDown": f"PT{compute.idle_time_before_scale_down}S",
            },
            "enableNodePublicIp": compute.enable_node_public_ip,
            "remoteLoginPortPublicAccess": "Enabled" if compute.ssh_public_access_enabled else "Disabled",
        },
    }
    more = {"identity": compute.identity} if compute.identity else {}
    id = f"{call.workspace}/computes/{compute.name}"
    return resource(id, compute.name, "computes", properties, tags=compute.tags, **more)
