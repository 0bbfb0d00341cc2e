"""Which paths on its own disk a server opens to its clients."""

import re

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import InputError, NotFound, Refused, SpecError
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Credentials, Data, Datastore, JobInput, Model


def plane(tmp_path, *datastores, **more):
    """A server whose datastores were registered while it listened on loopback."""
    store = MemoryRecordStore()
    folders = {"jobs_root": tmp_path / "jobs", "uploads_root": tmp_path / "uploads"}
    before = ControlPlane(store, **folders)
    before.assets.put("datastores", Datastore(name="disk", type="uri", uri="file:///data/shared"))
    before.assets.put("datastores", Datastore(name="lake", type="uri", uri="s3://lake/x"))
    for datastore in datastores:
        before.assets.put("datastores", datastore)
    return ControlPlane(store, **folders, **more)


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
        open_to_others.places.uri(path, "the uri of input 'x'")


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
    assert open_to_others.places.uri(path, "x") == uri


@pytest.mark.parametrize("path", PATHS)
def test_in_local_mode_all_paths_are_open(tmp_path, path):
    assert plane(tmp_path).assets.places.uri(path, "x").startswith("file:///etc/")


@pytest.mark.parametrize("local_paths", [True, False])
@pytest.mark.parametrize("name", ["disk", "lake"])
def test_a_path_does_not_lead_out_of_its_datastore(tmp_path, local_paths, name):
    with pytest.raises(SpecError, match="leads out of the datastore"):
        plane(tmp_path, local_paths=local_paths).assets.places.uri(
            f"azureml://datastores/{name}/paths/a/../../b", "x"
        )


@pytest.mark.parametrize("local_paths", [True, False])
@pytest.mark.parametrize(
    "uri",
    [
        "local:///etc/passwd",
        "fsspec+file:///etc/passwd",
        "mock:///x",
        "ssh://localhost/etc/passwd",
        "gcs://bucket/x",
        "nothing://x",
    ],
)
def test_no_other_scheme_is_opened_than_those_that_are_named(tmp_path, local_paths, uri):
    with pytest.raises(InputError, match=rf"cannot open '{re.escape(uri)}'.*the uri of input 'x'.*\n.*s3://, gs://"):
        plane(tmp_path, local_paths=local_paths).assets.places.uri(uri, "the uri of input 'x'")


def test_a_job_knows_what_of_a_disk_was_open_to_who_asked_for_it(tmp_path, open_to_others):
    uploaded = tmp_path / "uploads" / "trees" / "digest" / "in"
    access = open_to_others.places.access([uploaded.as_uri(), "file:///data/shared/x", "s3://lake/x"])
    assert access.folders == ("/data/shared", str(uploaded))
    assert plane(tmp_path).assets.places.access(["file:///etc"]).folders is None


LOCAL = ["file:///etc", "/etc", "data", "file:/etc", "FILE:///", "file://localhost/etc", "/"]


@pytest.mark.parametrize("type", ["uri", "one_lake"])
@pytest.mark.parametrize("uri", LOCAL)
def test_clients_elsewhere_register_no_folder_of_the_servers_disk(open_to_others, uri, type):
    with pytest.raises(Refused, match=r"datastore 'x': '.*' is a path on the server's disk.*\n.*without --host"):
        open_to_others.put("datastores", Datastore(name="x", type=type, uri=uri))
    with pytest.raises(NotFound):
        open_to_others.get("datastores", "x")


@pytest.mark.parametrize("uri", LOCAL)
def test_nor_do_they_turn_a_datastore_to_it(open_to_others, uri):
    with pytest.raises(Refused, match="datastore 'lake'"):
        open_to_others.patch("datastores", "lake", {"uri": uri})
    assert open_to_others.get("datastores", "lake").uri == "s3://lake/x"


@pytest.mark.parametrize(
    "document",
    [
        {"type": "one_lake", "endpoint": "onelake.dfs.fabric.microsoft.com"},
        {"type": "azure_data_lake_gen1", "store_name": "s"},
        {"type": "azure_file", "account_name": "a", "file_share_name": "s"},
    ],
    ids=lambda document: document["type"],
)
def test_datastores_that_cannot_be_opened_are_kept_all_the_same(open_to_others, document):
    stored, _ = open_to_others.put("datastores", Datastore(name="x", **document))
    assert open_to_others.get("datastores", "x") == stored


@pytest.mark.parametrize("local_paths", [True, False])
@pytest.mark.parametrize("uri", ["local:///etc", "/etc/x://y", "file://another/etc", "file:etc"])
def test_a_datastore_is_for_a_place_that_can_be_opened(tmp_path, local_paths, uri):
    with pytest.raises(InputError):
        plane(tmp_path, local_paths=local_paths).assets.put("datastores", Datastore(name="x", type="uri", uri=uri))


@pytest.fixture
def linked(tmp_path):
    """A server that others reach, with a datastore whose folder has a link out of it, and is named by one."""
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "real" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "real" / "loop").symlink_to("loop")
    (tmp_path / "named").symlink_to(tmp_path / "real")
    return plane(tmp_path, Datastore(name="links", type="uri", uri=str(tmp_path / "named")), local_paths=False).assets


@pytest.mark.parametrize("path", ["named/out", "named/out/a", "real/out/a", "named/a\0"])
def test_a_link_does_not_lead_out_of_a_datastore(tmp_path, linked, path):
    with pytest.raises(Refused, match="is a path on the server's disk"):
        linked.places.uri(f"{tmp_path}/{path}", "x")
    if path.startswith("named/"):
        with pytest.raises(Refused, match="leads out of the datastore, by a link"):
            linked.places.uri(f"azureml://datastores/links/paths/{path.removeprefix('named/')}", "x")


@pytest.mark.parametrize("path", ["named", "named/in", "named/not/there/yet", "real/in", "named/loop"])
def test_what_links_lead_to_within_it_is_open(tmp_path, linked, path):
    assert linked.places.uri(f"{tmp_path}/{path}", "x") == (tmp_path / path).as_uri()
    if path.startswith("named/"):
        below = path.removeprefix("named/")
        assert linked.places.uri(f"azureml://datastores/links/paths/{below}", "x") == (tmp_path / path).as_uri()


def test_a_relative_path_of_an_mltable_does_not_lead_out_of_it_by_a_link(tmp_path, linked):
    (tmp_path / "real" / "in" / "MLTable").write_text("paths: [{file: a.csv}, {folder: out}]")
    given = JobInput(type="mltable", path=(tmp_path / "named" / "in").as_uri())
    assert len(linked.places.table(given, linked.places.access([given.path])).paths) == 2
    (tmp_path / "real" / "in" / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match=r"a path of the MLTable, '.*/in/out', leads out of the folders that are open"):
        linked.places.table(given, linked.places.access([given.path]))


def test_links_are_followed_where_the_disk_is_open(tmp_path):
    (tmp_path / "out").symlink_to("/etc")
    assets = plane(tmp_path, Datastore(name="links", type="uri", uri=str(tmp_path))).assets
    assert assets.places.uri("azureml://datastores/links/paths/out/x", "x") == f"{tmp_path.as_uri()}/out/x"


@pytest.mark.parametrize("uri", ["file:///", "file:/", "/", "file://localhost/"])
def test_a_datastore_can_be_the_whole_disk(tmp_path, uri):
    assets = plane(tmp_path, Datastore(name="all", type="uri", uri=uri)).assets
    assert assets.places.uri("azureml://datastores/all/paths/etc/x", "x") == "file:///etc/x"
    assert assets.places.uri("azureml://datastores/all/paths/", "x") == "file:///"


@pytest.mark.parametrize("reference", ["file:/etc/passwd", "env:PASSWORD_OF_ANOTHER"])
def test_clients_elsewhere_have_nothing_of_the_server_sent_to_a_store_of_theirs(open_to_others, reference):
    credentials = Credentials(sas_token=reference)
    with pytest.raises(Refused, match=rf"'{reference}'.*datastore 'x', credentials.sas_token.*\n.*without --host"):
        open_to_others.put("datastores", Datastore(name="x", type="uri", uri="s3://x", credentials=credentials))


@pytest.mark.parametrize("local_paths", [True, False])
def test_the_servers_own_settings_are_no_credentials(tmp_path, local_paths):
    credentials = Credentials(access_key_id="env:BATCH_ENDPOINTS_DATABASE", secret_access_key="env:LAKE_KEY")
    with pytest.raises(SpecError, match=r"BATCH_ENDPOINTS_DATABASE is a setting of the server"):
        plane(tmp_path, local_paths=local_paths).assets.put(
            "datastores", Datastore(name="x", type="uri", uri="s3://x", credentials=credentials)
        )
