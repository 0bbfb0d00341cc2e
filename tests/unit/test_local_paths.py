"""Which paths on its own disk a server opens to its clients."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import Refused, SpecError
from batch_endpoints.specs import Data, Datastore, Model
from batch_endpoints.stores.memory import MemoryRecordStore


def plane(tmp_path, **more):
    plane = ControlPlane(MemoryRecordStore(), jobs_root=tmp_path / "jobs", uploads_root=tmp_path / "uploads", **more)
    plane.assets.put("datastores", Datastore(name="disk", type="uri", uri="file:///data/shared"))
    plane.assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://lake/x"))
    return plane


@pytest.fixture
def open_to_others(tmp_path):
    return plane(tmp_path, local_paths=False).assets


PATHS = ["/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "file://localhost/etc/x"]
AROUND = [
    "/data/shared/../../etc/passwd",
    "file:///data/shared/%2e%2e/x",
    "/data/shared-not/x",
    "/data",
    "/data/shared/..",
]


@pytest.mark.parametrize("path", PATHS + AROUND)
def test_a_server_that_others_reach_does_not_open_its_disk(open_to_others, path):
    with pytest.raises(Refused, match=r"is a path on the server's disk.*\n.*register a datastore"):
        open_to_others.uri(path, "the uri of input 'x'")


@pytest.mark.parametrize("kind", ["models", "data"])
def test_neither_do_assets_lead_there(open_to_others, kind):
    asset = {"models": Model, "data": Data}[kind](name="x", path="file:///etc")
    with pytest.raises(Refused, match="the path of x"):
        open_to_others.put(kind, asset)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/data/shared", "file:///data/shared"),
        ("file:///data/shared/a%20b", "file:///data/shared/a%20b"),
        ("azureml://datastores/disk/paths/a", "file:///data/shared/a"),
        ("azureml://datastores/disk/paths//a", "file:///data/shared/a"),
        ("s3://other/x", "s3://other/x"),
    ],
)
def test_what_is_below_a_datastore_or_in_a_store_is_open(open_to_others, path, uri):
    assert open_to_others.uri(path, "x") == uri


@pytest.mark.parametrize("path", PATHS)
def test_in_local_mode_all_paths_are_open(tmp_path, path):
    assert plane(tmp_path).assets.uri(path, "x").startswith("file:///etc/")


@pytest.mark.parametrize("local_paths", [True, False])
@pytest.mark.parametrize("name", ["disk", "lake"])
def test_a_path_does_not_lead_out_of_its_datastore(tmp_path, local_paths, name):
    with pytest.raises(SpecError, match="leads out of the datastore"):
        plane(tmp_path, local_paths=local_paths).assets.uri(f"azureml://datastores/{name}/paths/a/../../b", "x")
