"""What the bodies of requests look like, for ``/openapi.json``: they are read by hand, so that errors name keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from batch_endpoints.control_plane import deployments, endpoints
from batch_endpoints.control_plane.assets import SPECS
from batch_endpoints.control_plane.uploads import Upload
from batch_endpoints.ingress.bodies import KEYS
from batch_endpoints.interfaces.records import VERSIONED
from batch_endpoints.specs import DEPLOYMENT, BatchEndpoint, Invocation, Spec
from batch_endpoints.specs.job_file import JOB_FILE

_REF = "#/components/schemas/{model}"


def add_body_schemas(schema: dict[str, Any]) -> None:
    """Replace the plain objects that FastAPI knows of by what each operation takes."""
    bodies: dict[tuple[str, str], Any] = {
        ("/uploads", "post"): Upload,
        ("/jobs", "post"): JOB_FILE,
        ("/endpoints/{endpoint}", "put"): BatchEndpoint,
        ("/endpoints/{endpoint}/deployments/{deployment}", "put"): DEPLOYMENT,
    }
    for kind, spec in SPECS.items():
        if kind in VERSIONED:
            bodies[f"/{kind}", "post"] = bodies[f"/{kind}/{{name}}/versions/{{version}}", "put"] = spec
        else:
            bodies[f"/{kind}/{{name}}", "put"] = spec
    components = schema["components"].setdefault("schemas", {})
    for (path, method), spec in bodies.items():
        own = _schema(spec, components)
        for model in _models(own):  # their addresses say these
            required = components[model].get("required", [])
            components[model]["required"] = [key for key in required if key not in ("name", "endpoint_name")]
        _set(schema, path, method, own)
    patches: dict[str, tuple[type[Spec] | TypeAdapter[Any], tuple[str, ...]]] = {
        "/endpoints/{endpoint}": (BatchEndpoint, endpoints.PATCHABLE),
        "/endpoints/{endpoint}/deployments/{deployment}": (DEPLOYMENT, deployments.PATCHABLE),
        "/datastores/{name}": (SPECS["datastores"], ()),
        "/computes/{name}": (SPECS["computes"], ()),
    }
    for path, (spec, keys) in patches.items():
        _set(schema, path, "patch", _patch(_schema(spec, components), components, keys))
    invocation = _invocation(components)
    for path in ("/endpoints/{endpoint}/jobs", "/jobs/{job}/resume", "/jobs/{job}/retry-failed"):
        _set(schema, path, "post", invocation)


def _schema(spec: type[Spec] | TypeAdapter[Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a spec, a reference where it is one model; what it refers to goes into the components."""
    if isinstance(spec, TypeAdapter):
        own: dict[str, Any] = spec.json_schema(ref_template=_REF)
        _add(components, own.pop("$defs", {}))
        return own
    references, definitions = models_json_schema([(spec, "validation")], ref_template=_REF)
    _add(components, definitions.get("$defs", {}))
    return dict(references[spec, "validation"])


def _add(components: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    for name, definition in definitions.items():
        components.setdefault(name, definition)


def _models(own: Mapping[str, Any]) -> list[str]:
    """The components that a schema refers to: one, or those of a union."""
    references = [own] if "$ref" in own else own.get("oneOf", own.get("anyOf", []))
    return [str(one["$ref"]).rpartition("/")[2] for one in references]


def _patch(own: dict[str, Any], components: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """A merge patch (RFC 7396): some of the keys, null to take one away."""
    properties: dict[str, Any] = {}
    for model in _models(own):
        for key, value in components[model]["properties"].items():
            if key not in ("name", "type") and (not keys or key in keys):
                properties.setdefault(key, {"anyOf": [_any_part(value), {"type": "null"}]})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _any_part(value: dict[str, Any]) -> dict[str, Any]:
    """A nested mapping may be given in part."""
    return {"type": "object"} if "$ref" in value or value.get("type") == "object" else value


def _invocation(components: dict[str, Any]) -> dict[str, Any]:
    _schema(Invocation, components)
    known = components["Invocation"]["properties"]
    properties = {wire: known[name] for wire, name in KEYS.items()}
    data = {"description": "by name; jobInputType is UriFolder, UriFile, MLTable or Literal", "type": "object"}
    properties |= {
        "inputData": {**data, "additionalProperties": _place("jobInputType", value={})},
        "outputData": {"type": "object", "additionalProperties": _place("jobOutputType")},
        "compute": {"type": "object", "properties": {"instanceCount": known["instance_count"]}},
        "retrySettings": {
            "type": "object",
            "properties": {"maxRetries": {"type": "integer"}, "timeout": {"type": ["integer", "string"]}},
        },
        "properties": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": "keys in any case, with or without underscores",
        "properties": {"properties": {"type": "object", "properties": properties}},
        "required": ["properties"],
    }


def _place(kind: str, **more: Any) -> dict[str, Any]:
    uri = {"type": "string", "maxLength": 4096}
    return {
        "type": "object",
        "properties": {kind: {"type": "string"}, "uri": uri, "mode": {"type": "string"}, **more},
    }


def _set(schema: dict[str, Any], path: str, method: str, body: dict[str, Any]) -> None:
    content = schema["paths"][path][method]["requestBody"]["content"]["application/json"]
    content["schema"] = body
