"""Which hosts a server asks for a client: none that the client names, unless an operator has."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import InputError, Refused
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Credentials, Data, Datastore, JobInput, MLTable, Model
from batch_endpoints.specs.mltable import MLTablePath
from batch_endpoints.storage.files.access import AMBIENT, credentials_for
from batch_endpoints.storage.files.addresses import s3_place
from batch_endpoints.storage.inputs.mltable import list_mltable

KEYS = Credentials(access_key_id="env:LAKE_ID", secret_access_key="env:LAKE_KEY")


def plane(tmp_path, **more):
    """A server whose datastores were registered while it listened on loopback."""
    store = MemoryRecordStore()
    folders = {"jobs_root": tmp_path / "jobs", "uploads_root": tmp_path / "uploads"}
    before = ControlPlane(store, **folders)
    for name, uri in {
        "lake": "s3://lake/in",
        "pond": "s3://pond?endpoint_override=http://minio:9000",
        "bay": "s3://bay?endpoint_override=minio:9000",
    }.items():
        credentials = KEYS if uri.startswith("s3:") else None
        before.assets.put("datastores", Datastore(name=name, type="uri", uri=uri, credentials=credentials))
    return ControlPlane(store, **folders, **more)


@pytest.fixture
def open_to_others(tmp_path):
    return plane(tmp_path, local_paths=False).assets


CHOSEN = [
    "s3://mine/x?endpoint_override=http://evil",
    "S3://mine/x?region=eu&endpoint_override=evil&scheme=http",
    "s3://mine/x?region=eu&%65ndpoint_override=evil",
    "s3://lake/in/x?endpoint_override=evil",
    "s3://lake/in/**/*.csv?endpoint_override=evil",
    "s3://pond/x?endpoint_override=http://evil",
    "s3://pond/x?endpoint_override=minio:9000",
    "s3://bay/x?endpoint_override=minio:9000&scheme=http",
    "s3://other/x?endpoint_override=http://minio:9000",
    "azureml://datastores/lake/paths/x?endpoint_override=evil",
    "azureml://datastores/pond/paths/x?endpoint_override=http://evil",
]


@pytest.mark.parametrize("uri", CHOSEN)
def test_a_client_elsewhere_does_not_choose_the_host_of_a_store(open_to_others, uri):
    with pytest.raises(Refused, match=r"the uri of input 'x'.*endpoint_override.*\n.*register a datastore") as told:
        open_to_others.places.uri(uri, "the uri of input 'x'")
    assert "evil" not in str(told.value)


@pytest.mark.parametrize("uri", ["ftp://evil/x", "webhdfs://evil/x", "hdfs://evil/x", "viewfs://evil/x"])
def test_a_protocol_that_is_not_supported_is_named_with_what_to_do(tmp_path, open_to_others, uri):
    for places in (open_to_others.places, plane(tmp_path).assets.places):
        with pytest.raises(InputError, match=r"cannot open '.*': .*:// is not supported \(x\)\nCopy the data"):
            places.uri(uri, "x")


@pytest.mark.parametrize("kind", ["models", "data"])
def test_neither_do_assets(open_to_others, kind):
    asset = {"models": Model, "data": Data}[kind](name="x", path=CHOSEN[0])
    with pytest.raises(Refused, match=r"the path of x.*endpoint_override"):
        open_to_others.put(kind, asset)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://mine/x",
        "s3://mine/x?region=eu-west-1",
        "s3://mine/what?.csv",
        "s3://pond/x",
        "s3://pond/x?endpoint_override=http://minio:9000",
        "s3://pond/x?region=eu&endpoint_override=http://minio:9000",
        "s3://pond/x?endpoint_override=minio:9000&scheme=http",
        "s3://bay/x?endpoint_override=https://minio:9000",
        "gs://mine/x",
        "abfss://mine@account.dfs.core.windows.net/x",
        "https://host/x?endpoint_override=evil",
    ],
)
def test_what_is_below_a_datastore_or_chooses_no_host_is_open(open_to_others, uri):
    assert open_to_others.places.uri(uri, "x") == uri


def test_the_host_of_a_datastore_goes_with_its_name(open_to_others):
    uri = open_to_others.places.uri("azureml://datastores/pond/paths/x", "x")
    assert uri == "s3://pond/x?endpoint_override=http://minio:9000"
    assert credentials_for(uri, open_to_others.places.access([uri])) == KEYS


@pytest.mark.parametrize("uri", CHOSEN)
def test_whoever_is_on_the_servers_machine_chooses(tmp_path, uri):
    plane(tmp_path).assets.places.uri(uri, "x")


@pytest.mark.parametrize("uri", ["s3://x?endpoint_override=evil", "s3://x?scheme=http&endpoint_override=evil"])
def test_clients_elsewhere_register_no_host_of_a_store(open_to_others, uri):
    with pytest.raises(Refused, match=r"datastore 'x'.*\n.*without --host"):
        open_to_others.put("datastores", Datastore(name="x", type="uri", uri=uri))
    with pytest.raises(Refused, match="datastore 'lake'"):
        open_to_others.patch("datastores", "lake", {"uri": uri})
    assert open_to_others.get("datastores", "lake").uri == "s3://lake/in"


@pytest.mark.parametrize(
    "table",
    [
        "paths: [{file: 's3://mine/x?endpoint_override=evil'}]",
        "paths: [{folder: a}, {file: 'azureml://datastores/lake/paths/x?endpoint_override=evil'}]",
    ],
)
def test_nor_does_an_mltable_choose_one(tmp_path, open_to_others, table):
    (tmp_path / "MLTable").write_text(table)
    with pytest.raises(Refused, match="endpoint_override"):
        open_to_others.places.table(JobInput(type="mltable", path=tmp_path.as_uri()), AMBIENT)


def test_a_relative_path_of_an_mltable_in_a_store_chooses_none_either(s3, open_to_others):
    s3.put_object(Bucket="lake", Key="t/MLTable", Body=b"paths: [{file: 'a?endpoint_override=evil'}]")
    with pytest.raises(Refused, match="endpoint_override"):
        open_to_others.places.table(JobInput(type="mltable", path="s3://lake/t"), AMBIENT)


def test_nor_does_the_name_of_an_object(tmp_path, s3):
    """Where an MLTable is of several stores, each file goes to a worker as one URI."""
    s3.put_object(Bucket="lake", Key="x?endpoint_override=evil/a.csv", Body=b"a")
    (tmp_path / "b.csv").write_text("b")
    table = MLTable(paths=[MLTablePath(folder="s3://lake/"), MLTablePath(file=str(tmp_path / "b.csv"))])
    with pytest.raises(InputError, match="cannot stand beside paths of other stores"):
        list_mltable(table)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://x/y?endpoint_override=a&endpoint_override=b", "endpoint_override twice"),
        ("s3://x/y?region=evil.com/", "region"),
        ("s3://x/y?region=a&region=b", "region twice"),
    ],
)
def test_a_query_that_names_a_host_in_a_roundabout_way_is_refused(uri, told):
    with pytest.raises(InputError, match=told):
        s3_place(uri)
