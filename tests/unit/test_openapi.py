"""What /openapi.json says of the bodies of requests."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.app import create_app
from batch_endpoints.records.memory import MemoryRecordStore


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    plane = ControlPlane(MemoryRecordStore(), jobs_root=folder / "jobs", uploads_root=folder / "uploads")
    return create_app(plane, server_id="x", token="t").openapi()


def bodies(described):
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                yield f"{method} {path}", content["schema"]


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_body_has_a_schema_of_its_own(described):
    found = dict(bodies(described))
    assert len(found) > 15
    plain = [name for name, schema in found.items() if not {"$ref", "properties", "oneOf"} & set(schema)]
    assert plain == []


def test_every_reference_leads_to_a_component(described):
    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert set(references(described)) - known == set()


def test_limits_are_said_where_bodies_are_described(described):
    models = described["components"]["schemas"]
    assert models["Model"]["properties"]["path"]["maxLength"] == 4096
    assert models["BatchEndpoint"]["properties"]["description"]["maxLength"] == 8192
    assert "name" not in models["BatchEndpoint"].get("required", [])
