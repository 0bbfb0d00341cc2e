"""Secrets in URIs: found where they are not to be kept, and never repeated."""

import pytest

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.engine.driver.headline import named
from batch_endpoints.errors import InputError, SpecError, StoreUnavailable
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.scoring.worker_log import WorkerLog
from batch_endpoints.specs import Data, Datastore, Model
from batch_endpoints.specs.uris import secret_in, shown, shown_text
from batch_endpoints.storage.files.patience import patience
from batch_endpoints.storage.files.place import open_place, writable_place
from batch_endpoints.storage.inputs.fetch import fetch, fetch_tree
from batch_endpoints.storage.inputs.listing import check_readable, list_files
from batch_endpoints.storage.job.commits import FailedItem
from batch_endpoints.storage.tables.parts import open_table

WITH_SECRETS = {
    "https://h/a.csv?sv=2024&sig=hush": "https://h/a.csv?sv=…&sig=…",
    "https://h/a.csv?%73ig=hush": "https://h/a.csv?%73ig=…",
    "https://h/a?X-Amz-Credential=hush&X-Amz-Signature=hush": "https://h/a?X-Amz-Credential=…&X-Amz-Signature=…",
    "https://me:hush@h:8080/a": "https://h:8080/a",
    "https://me:h@hush@h/a": "https://h/a",
    "ftp://hush@h/a": "ftp://h/a",
    "s3://KEY:hush@bucket/a": "s3://bucket/a",
    "s3://KEY:hu/sh@bucket/a": "s3://bucket/a",
    "s3://bucket/a?access_key=hush&region=eu": "s3://bucket/a?access_key=…&region=…",
    "s3://bucket/a?region=eu;secret-key=hush": "s3://bucket/a?region=…",
    "abfss://lake:hu/sh==@pond.dfs.core.windows.net/a": "abfss://lake@pond.dfs.core.windows.net/a",
    "hdfs://hush@host:8020/a": "hdfs://host:8020/a",
    "azureml://datastores/lake/paths/a?sig=hush": "azureml://datastores/lake/paths/a?sig=…",
}
WITHOUT = {
    "https://h/a?version=3": "https://h/a?version=…",
    "https://h/a?3": "https://h/a?…",
    "s3://bucket/x-?.png": "s3://bucket/x-?.png",
    "s3://bucket/a@b/c:d@e?region=eu": "s3://bucket/a@b/c:d@e?region=…",
    "abfss://lake@pond.dfs.core.windows.net/a@b": "abfss://lake@pond.dfs.core.windows.net/a@b",
    "hdfs://host:8020/a@b": "hdfs://host:8020/a@b",
    "file:///a?sig=b": "file:///a?sig=b",
    "/a?sig=b@c": "/a?sig=b@c",
    "upload://00/a": "upload://00/a",
    "": "",
}


@pytest.mark.parametrize(("uri", "expected"), (WITH_SECRETS | WITHOUT).items())
def test_a_uri_is_shown_without_secrets(uri, expected):
    assert shown(uri) == expected
    assert "hush" not in shown_text(f"what a library says of {uri}: it is gone")


@pytest.mark.parametrize("uri", WITH_SECRETS)
def test_secrets_in_a_uri_are_found_and_not_repeated(uri):
    assert secret_in(uri)
    assert "hush" not in secret_in(uri)


@pytest.mark.parametrize("uri", WITHOUT)
def test_nothing_else_passes_for_a_secret(uri):
    assert not secret_in(uri)


def test_what_a_library_says_of_a_path_has_no_query():
    said = "HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /a?sig=hush (Caused by nothing)"
    assert shown_text(ValueError(said)) == said.replace("hush", "…")


@pytest.fixture
def assets(tmp_path):
    return ControlPlane(MemoryRecordStore(), jobs_root=tmp_path, uploads_root=tmp_path).assets


@pytest.mark.parametrize("uri", WITH_SECRETS)
def test_assets_with_secrets_in_their_uri_are_refused(assets, uri):
    for kind, asset in {
        "data": Data(name="x", path=uri),
        "models": Model(name="x", path=uri),
        "datastores": Datastore(name="x", type="uri", uri=uri),
    }.items():
        with pytest.raises(SpecError, match=r"has a secret in it(.|\n)*`credentials: .*env:NAME") as told:
            assets.put(kind, asset)
        assert "hush" not in str(told.value)
    with pytest.raises(SpecError, match="has a secret in it"):
        assets.register("models", Model(name="x", path=uri))


def test_an_input_may_be_signed(assets):
    assert assets.places.uri("https://h/a.csv?sig=hush", "x") == "https://h/a.csv?sig=hush"


SIGNED = "http://127.0.0.1:1/a.csv?sig=hush"  # where nobody listens


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda folder: list_files(SIGNED), id="list"),
        pytest.param(lambda folder: check_readable(SIGNED, "uri_file"), id="check"),
        pytest.param(lambda folder: fetch(SIGNED, "a.csv", folder), id="fetch"),
        pytest.param(lambda folder: fetch("", SIGNED, folder), id="fetch one of several stores"),
        pytest.param(lambda folder: fetch_tree(SIGNED, folder), id="fetch a tree"),
        pytest.param(lambda folder: open_place("nothing://me:hush@x/y?sig=hush"), id="unknown scheme"),
        pytest.param(lambda folder: writable_place(SIGNED), id="output"),
        pytest.param(lambda folder: open_table("", SIGNED, folder), id="table"),
        pytest.param(lambda folder: open_table("", "http://h/a?sig=hush", folder), id="no table"),
        pytest.param(lambda folder: list_files("s3://KEY:hu/sh@bucket/x"), id="s3"),
    ],
)
def test_what_cannot_be_read_is_told_without_its_secrets(tmp_path, read):
    with pytest.raises((InputError, StoreUnavailable)) as told, patience(0):
        read(tmp_path)
    assert "hush" not in str(told.value)


def test_logs_and_headlines_do_not_repeat_a_signature(tmp_path):
    WorkerLog(tmp_path / "log").begins([SIGNED])
    assert "scores http://127.0.0.1:1/a.csv?sig=…" in (tmp_path / "log").read_text()
    assert named(FailedItem(file=SIGNED, mini_batch=0, reason="gone")) == "'http://127.0.0.1:1/a.csv?sig=…'"
