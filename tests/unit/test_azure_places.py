"""The spellings of a place in Azure's blob storage, and who asks there."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Credentials, Datastore
from batch_endpoints.storage.files.access import Access, credentials_for
from batch_endpoints.storage.files.addresses import CLOUDS, AzurePlace, azure_place, is_azure, kind_of
from batch_endpoints.storage.files.place import writable_place

PLACE = AzurePlace("pond", "core.windows.net", "lake", "a b/c%20d")


@pytest.mark.parametrize(
    "uri",
    [
        "abfss://lake@pond.dfs.core.windows.net/a b/c%20d",
        "abfs://lake@pond.dfs.core.windows.net/a b/c%20d/",
        "ABFSS://lake@Pond.dfs.core.windows.net/a b/c%20d",
        "wasbs://lake@pond.blob.core.windows.net/a b/c%20d",
        "https://pond.blob.core.windows.net/lake/a b/c%20d",
        "https://pond.dfs.core.windows.net/lake/a b/c%20d/",
    ],
)
def test_one_place_has_many_spellings(uri):
    assert azure_place(uri) == PLACE
    assert is_azure(uri)
    assert kind_of(uri) == "azure"
    keys = Credentials(account_key="env:POND_KEY")
    assert credentials_for(uri, Access({"abfss://lake@pond.dfs.core.windows.net": keys})) == keys
    assert credentials_for(uri, Access({"abfss://other@pond.dfs.core.windows.net": keys})) is None


@pytest.mark.parametrize(
    "uri",
    [
        "https://pond.blob.core.windows.net/lake/a.csv?sv=2024&sig=hush",  # one file, with a signature of its own
        "https://pond.blob.core.windows.net",
        "https://core.windows.net/lake/a",
        "https://pond.blob.core.evil.com/lake/a",
        "https://pond.blob.core.windows.net.evil.com/lake/a",
        "https://evil.com#.blob.core.windows.net/lake/a",
        "https://evil\u3002com#.blob.core.windows.net/lake/a",  # a dot, to those who follow IDNA
        "s3://lake/a",
        "/lake/a",
    ],
)
def test_other_places_are_not_in_azure(uri):
    assert azure_place(uri) is None
    assert not is_azure(uri)


@pytest.mark.parametrize("uri", ["abfss://lake/a", "abfss://pond.dfs.core.windows.net/lake", "abfss://lake@pond/a"])
def test_a_uri_without_container_or_account_is_told(uri):
    pytest.importorskip("azure.storage.blob")
    with pytest.raises(InputError, match=r"names no container of an account.*\nWrite abfss://<container>@<account>"):
        writable_place(uri)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_of_azures_is_known(cloud):
    assert azure_place(f"abfss://lake@pond.dfs.{cloud}/a") == AzurePlace("pond", cloud, "lake", "a")
    assert azure_place(f"https://pond.blob.{cloud}/lake/a") == AzurePlace("pond", cloud, "lake", "a")


@pytest.mark.parametrize("host", ["pond.dfs.core.evil.com", "pond.blob.core.windows.net.evil.com", "pond.dfs.core.x"])
def test_nobody_logs_in_to_a_host_that_is_in_no_cloud(monkeypatch, host):
    azure = pytest.importorskip("batch_endpoints.storage.files.azure")
    monkeypatch.setattr(azure, "container_client", None)
    with pytest.raises(InputError, match=rf"'abfss://lake@{host}/a' is in no cloud of Azure's.*core.windows.net"):
        writable_place(f"abfss://lake@{host}/a")
    assert kind_of(f"https://{host}/lake/a") == "web"


@pytest.mark.parametrize("type", [{"type": "azure_blob", "container_name": "c"}, {"type": "azure_data_lake_gen2"}])
def test_a_datastore_is_in_one_of_azures_clouds(tmp_path, type):
    assets = ControlPlane(MemoryRecordStore(), jobs_root=tmp_path, uploads_root=tmp_path).assets
    given = {"name": "x", "account_name": "pond", "filesystem": "f", **type}
    assets.put("datastores", Datastore(**given, endpoint="core.chinacloudapi.cn"))
    with pytest.raises(SpecError, match=r"'core.evil.com' is in no cloud of Azure's\nName one of core.windows.net"):
        assets.patch("datastores", "x", {"endpoint": "core.evil.com"})


def test_a_signature_in_a_uri_is_refused_and_not_repeated():
    pytest.importorskip("azure.storage.blob")
    with pytest.raises(InputError) as told:
        writable_place("abfss://lake@pond.dfs.core.windows.net/a?sv=2024&sig=hush")
    assert "hush" not in str(told.value)


def login(monkeypatch, **credentials):
    client = pytest.importorskip("batch_endpoints.storage.files.azure")
    return client.azure_login(PLACE, Credentials(**credentials) if credentials else None)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in ("CONNECTION_STRING", "ACCOUNT", "KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    monkeypatch.setenv("HUSH", "hush")


@pytest.mark.parametrize(
    ("credentials", "secret"),
    [
        ({"account_key": "env:HUSH"}, lambda login: login.account_key),
        ({"sas_token": "env:HUSH"}, lambda login: login.sas_token),
        ({"tenant_id": "t", "client_id": "c", "client_secret": "env:HUSH"}, lambda login: login.principal[2]),
    ],
)
def test_credentials_of_a_datastore_are_resolved_and_not_shown(monkeypatch, credentials, secret):
    endpoint, found = login(monkeypatch, **credentials)
    assert endpoint == "https://pond.blob.core.windows.net"
    assert secret(found) == "hush"
    assert "hush" not in repr(found)


def test_a_connection_string_says_where_the_account_is(monkeypatch):
    monkeypatch.setenv("STRING", "AccountName=pond;AccountKey=hush==;BlobEndpoint=http://host:1/pond;")
    endpoint, found = login(monkeypatch, connection_string="env:STRING")
    assert (endpoint, found.account_key) == ("http://host:1/pond", "hush==")


@pytest.mark.parametrize(
    ("account", "key"), [pytest.param("pond", "hush", id="this account"), pytest.param("sea", "", id="another one")]
)
def test_what_the_machine_has_is_for_its_own_account(monkeypatch, account, key):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", account)
    monkeypatch.setenv("AZURE_STORAGE_KEY", "hush")
    assert login(monkeypatch)[1].account_key == key
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName={account};AccountKey=hush")
    assert login(monkeypatch)[1].account_key == key


def test_credentials_that_azure_does_not_take_are_told(monkeypatch):
    with pytest.raises(InputError, match=r"none of a datastore's credentials can be used for 'abfss://lake@pond"):
        login(monkeypatch, access_key_id="x")
