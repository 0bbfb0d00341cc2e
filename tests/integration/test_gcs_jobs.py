"""Inputs, outputs and datastores in Google's Cloud Storage."""

import json

import pytest
from gcs_server import BUCKET, PLACE
from job_folders import ECHO

from batch_endpoints.engine.driver.run_job import run_job
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.errors import InputError
from batch_endpoints.specs import Credentials, ScoringJob
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.job.job_folder import JobFolder

KEY = Credentials(service_account_key="env:LAKE_KEY")


@pytest.fixture
def closed(gcs, gcs_url, monkeypatch):
    """The store, where only who has the key of a service account gets in."""
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives import serialization

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "scorer@lake.example",
        "private_key": pem.decode(),
        "token_uri": f"{gcs_url}/token",
    }
    monkeypatch.setenv("LAKE_KEY", json.dumps(account))
    gcs.tokens.add("granted")
    return gcs


def test_a_job_reaches_into_a_bucket_with_a_reference_to_a_key(closed, tmp_path):
    for name in ("1.txt", "2.txt"):
        writable_place(f"{PLACE}/in", Access({PLACE: KEY})).replace(name, name.encode())
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(ECHO)
    (tmp_path / "model.bin").write_bytes(b"m")
    spec = ScoringJob.model_validate(
        {
            "name": "job",
            "deployment": {
                "name": "echo",
                "model": {"name": "m", "version": "1", "path": (tmp_path / "model.bin").as_uri()},
                "code_configuration": {"code": (tmp_path / "code").as_uri(), "scoring_script": "score.py"},
            },
            "inputs": {"data": {"type": "uri_folder", "path": f"{PLACE}/in"}},
            "outputs": {"score": {"type": "uri_folder", "path": f"{PLACE}/out"}},
            "credentials": {PLACE: {"service_account_key": "env:LAKE_KEY"}},
        }
    )
    folder = JobFolder(writable_place((tmp_path / "job").as_uri()), (tmp_path / "job").as_uri())
    folder.write_job(spec)

    state = run_job(folder, LocalRunner)

    assert state.status == "Completed", state.error
    assert b"1.txt" in closed.buckets[BUCKET]["out/predictions.csv"].content
    for name in folder.files.names(""):
        assert b"PRIVATE KEY" not in folder.files.read(name), name


def test_without_credentials_a_closed_bucket_is_refused(closed):
    with pytest.raises(InputError, match="cannot be read: there are no credentials for it on this machine"):
        list_files(f"{PLACE}/in")


@pytest.mark.parametrize("key", ["hush", '{"private_key": "hush"}'])
def test_a_key_that_is_none_is_told_without_it(closed, monkeypatch, key):
    monkeypatch.setenv("LAKE_KEY", key)
    with pytest.raises(InputError, match="is not the JSON file of a service account's key") as told:
        list_files(f"{PLACE}/in", Access({PLACE: KEY}))
    assert "hush" not in str(told.value)


def test_credentials_that_google_does_not_take_are_told(gcs):
    with pytest.raises(InputError, match=r"none of a datastore's credentials can be used for 'gs://lake'"):
        list_files(f"{PLACE}/in", Access({PLACE: Credentials(account_key="env:LAKE_KEY")}))


@pytest.mark.parametrize("uri", ["gs://", "gs:///a", "gs://lake/a?generation=hush"])
def test_a_uri_without_a_bucket_is_told(uri):
    pytest.importorskip("google.cloud.storage")
    with pytest.raises(InputError, match=r"names no bucket.*\nWrite gs://<bucket>/<path>") as told:
        writable_place(uri)
    assert "hush" not in str(told.value)
