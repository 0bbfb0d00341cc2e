"""Inputs, outputs and datastores in Azure's blob storage."""

from datetime import datetime, timedelta, timezone

import azure_server
import pytest
from azure_server import ACCOUNT, CONTAINER, KEY, PLACE
from job_folders import ECHO

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.errors import InputError
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import (
    BatchEndpoint,
    CodeConfiguration,
    Credentials,
    Datastore,
    Invocation,
    JobInput,
    JobOutput,
    Model,
    ModelDeployment,
)
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.fetch import fetch
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.job_folder import JobFolder


@pytest.fixture
def stranger(azure, azure_url, monkeypatch):
    """The store, to a machine that knows where it is and nothing else."""
    azure_client = pytest.importorskip("batch_endpoints.storage.files.azure")
    monkeypatch.setattr(azure_client, "machine_identity", lambda cloud, find: None)
    where = f"AccountName={ACCOUNT};BlobEndpoint={azure_url}/{ACCOUNT}"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", where)
    return azure


def signature():
    from azure.storage.blob import generate_container_sas

    until = datetime.now(timezone.utc) + timedelta(hours=1)
    return generate_container_sas(ACCOUNT, CONTAINER, account_key=KEY, permission="rwdlac", expiry=until)


@pytest.mark.parametrize("kind", ["account_key", "sas_token", "connection_string"])
def test_a_request_reaches_into_a_datastore_with_references_to_its_secrets(
    stranger, azure_url, tmp_path, monkeypatch, kind
):
    secret = {
        "account_key": KEY,
        "sas_token": signature(),
        "connection_string": azure_server.connection_string(azure_url),
    }
    monkeypatch.setenv("POND_SECRET", secret[kind])
    for name in ("1.txt", "2.txt"):
        stranger.upload_blob(f"in/{name}", name.encode())
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(ECHO)
    (tmp_path / "model.bin").write_bytes(b"m")
    plane = ControlPlane(MemoryRecordStore(), jobs_root=tmp_path / "jobs", uploads_root=tmp_path / "uploads")
    credentials = Credentials(**{kind: "env:POND_SECRET"})
    store = Datastore(name="lake", account_name=ACCOUNT, container_name=CONTAINER, credentials=credentials)
    plane.assets.put("datastores", store)
    plane.endpoints.put(BatchEndpoint(name="echo"))
    plane.deployments.put(
        ModelDeployment(
            name="v-1",
            endpoint_name="echo",
            model=Model(path=str(tmp_path / "model.bin")),
            code_configuration=CodeConfiguration(code=str(tmp_path / "code"), scoring_script="score.py"),
        )
    )
    plane.endpoints.patch("echo", {"defaults": {"deployment_name": "v-1"}})
    invocation = Invocation(
        inputs={"data": JobInput(path="azureml://datastores/lake/paths/in")},
        outputs={"score": JobOutput(path="azureml://datastores/lake/paths/out")},
    )

    job = plane.jobs.invoke("echo", invocation)

    folder = JobFolder(writable_place(job.folder), job.folder)
    folder.write_job(job.spec)
    state = run_job(folder, LocalRunner)
    assert state.status == "Completed", state.error
    assert b"1.txt" in stranger.download_blob("out/predictions.csv").readall()
    for name in folder.files.names(""):
        assert secret[kind].encode() not in folder.files.read(name), name


def test_without_credentials_a_closed_container_is_refused(stranger):
    with pytest.raises(InputError, match=r"cannot be read: the store refuses"):
        list_files(f"{PLACE}/in")


def test_a_key_that_is_none_is_told_without_it(stranger, monkeypatch):
    monkeypatch.setenv("POND_SECRET", "hush!")
    with pytest.raises(InputError, match="cannot be read") as told:
        list_files(f"{PLACE}/in", Access({PLACE: Credentials(account_key="env:POND_SECRET")}))
    assert "hush" not in str(told.value)


def test_a_public_container_is_read_by_its_url_without_credentials(stranger, tmp_path):
    stranger.upload_blob("in/deep/a.csv", b"a")
    stranger.set_container_access_policy({}, public_access="container")
    root, files, _ = list_files(f"https://{ACCOUNT}.blob.core.windows.net/{CONTAINER}/in")
    assert [file.path for file in files] == ["deep/a.csv"]
    assert fetch(root, "deep/a.csv", tmp_path).read_bytes() == b"a"


def test_folders_of_a_data_lake_are_no_files(azure):
    azure.upload_blob("in/deep", b"", metadata={"hdi_isfolder": "true"})
    azure.upload_blob("in/deep/a.csv", b"a")
    assert list_files(f"{PLACE}/in/deep")[:2] == list_files(f"{PLACE}/in/deep/")[:2]
    listing = list_files(f"{PLACE}/in")
    assert ([file.path for file in listing.files], listing.skipped) == (["deep/a.csv"], [])
    files = writable_place(f"{PLACE}/in")
    assert files.names("") == ["deep/a.csv"]
    assert not files.exists("deep")
