"""The protocol of Azure's blob storage, spoken by Azure's own client of it."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

sys.path.append(str(Path(__file__).parent.parent / "azure_client"))
from workspace_server import TOKEN, azure_server, trusting

WS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with azure_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=server.url, headers=headers, verify=trusting(server), timeout=60) as client:
        yield client


def container(server, url, sas):
    return ContainerClient.from_container_url(
        f"{server.url}{url}?{sas}",
        connection_verify=str(server.certificates.authority),
        max_single_put_size=1 << 20,
        max_block_size=1 << 18,
        max_single_get_size=1 << 18,
        max_chunk_get_size=1 << 18,
        retry_total=0,
    )


@pytest.fixture(scope="module")
def store(server, http):
    sas = http.post(f"{WS}/datastores/workspaceblobstore/listSecrets", json={}).json()["sasToken"]
    return container(server, "/blob/ws.blob.local/workspaceblobstore", sas)


@pytest.mark.parametrize(
    "size", [0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, (1 << 20) + 1, 3_000_000], ids=lambda size: f"{size} bytes"
)
def test_content_comes_back_as_it_was_sent(store, size):
    content = random.Random(size).randbytes(size)
    name = f"sizes/{size} & more.bin"
    store.upload_blob(name, content, max_concurrency=4)
    assert store.get_blob_client(name).get_blob_properties().size == size
    assert store.download_blob(name, max_concurrency=4).readall() == content


def test_parts_of_a_blob_are_read_where_they_are_asked_for(store):
    store.upload_blob("parts.txt", b"0123456789")
    assert store.download_blob("parts.txt", offset=3, length=4).readall() == b"3456"
    assert store.download_blob("parts.txt", offset=8, length=40).readall() == b"89"
    with pytest.raises(HttpResponseError) as error:
        store.download_blob("parts.txt", offset=10, length=1).readall()
    assert error.value.error_code == "InvalidRange"


def test_a_blob_that_is_there_is_replaced_only_on_demand(store):
    store.upload_blob("one.txt", b"first")
    with pytest.raises(ResourceExistsError):
        store.upload_blob("one.txt", b"second")
    store.upload_blob("one.txt", b"second", overwrite=True)
    assert store.download_blob("one.txt").readall() == b"second"


def test_what_is_named_by_its_content_never_changes(store):
    name = f"LocalUpload/{'a' * 64}/data/x.txt"
    store.upload_blob(name, b"content")
    store.upload_blob(name, b"content", overwrite=True)
    with pytest.raises(HttpResponseError) as error:
        store.upload_blob(name, b"another", overwrite=True)
    assert error.value.error_code == "BlobImmutableDueToPolicy"
    assert store.download_blob(name).readall() == b"content"


def test_metadata_is_kept_and_listed(store):
    store.upload_blob("meta/a.txt", b"x")
    store.get_blob_client("meta/a.txt").set_blob_metadata({"upload_status": "completed", "name": "n"})
    assert store.get_blob_client("meta/a.txt").get_blob_properties().metadata["upload_status"] == "completed"
    [listed] = store.list_blobs(name_starts_with="meta/", include=["metadata"])
    assert (listed.name, listed.size, listed.metadata["name"]) == ("meta/a.txt", 1, "n")


def test_lists_are_sorted_and_show_folders(store):
    for name in ("tree/b.txt", "tree/a/2.txt", "tree/a/1 ü&<.txt", "treetop.txt"):
        store.upload_blob(name, b"")
    listed = [blob.name for blob in store.list_blobs(name_starts_with="tree/")]
    assert listed == ["tree/a/1 ü&<.txt", "tree/a/2.txt", "tree/b.txt"]
    assert [blob.name for blob in store.walk_blobs("tree/", delimiter="/")] == ["tree/a/", "tree/b.txt"]
    assert list(store.list_blobs(name_starts_with="nothing/")) == []


@pytest.mark.parametrize("name", ["%2e%2e/x", "a/%2e%2e/%2e%2e/x", "a//x", "%2e/x", "a/%2e%2e", "a%5cx", "a%00x"])
def test_no_name_leads_out_of_the_datastore(server, http, name):
    sas = http.post(f"{WS}/datastores/workspaceblobstore/listSecrets", json={}).json()["sasToken"]
    (server.home / "uploads" / "azure" / "x").write_text("outside")
    url = f"/blob/ws.blob.local/workspaceblobstore/{name}?{sas}"
    put = http.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
    assert put.status_code in (400, 404), put.text
    got = http.get(url)
    assert got.status_code in (400, 404), got.text
    assert (server.home / "uploads" / "azure" / "x").read_text() == "outside"


def test_more_uploads_at_once_than_fit_into_memory_are_sent_again_later(server, http, monkeypatch):
    monkeypatch.setattr("batch_endpoints.ingress.azure.blobs.LARGEST_WAITING", 1000)
    sas = http.post(f"{WS}/datastores/workspaceblobstore/listSecrets", json={}).json()["sasToken"]
    headers = {"x-ms-blob-type": "BlockBlob"}
    answers, first_half_sent = [], threading.Event()
    second_answered = threading.Event()

    def slow_body():
        yield b"x" * 400
        first_half_sent.set()
        assert second_answered.wait(60)
        yield b"x" * 500

    def send_slowly():
        url = f"/blob/ws.blob.local/workspaceblobstore/slow.txt?{sas}"
        answers.append(http.put(url, content=slow_body(), headers={**headers, "Content-Length": "900"}))

    sending = threading.Thread(target=send_slowly)
    sending.start()
    try:
        assert first_half_sent.wait(60)
        with httpx.Client(base_url=server.url, verify=trusting(server), timeout=60) as other:
            url = f"/blob/ws.blob.local/workspaceblobstore/quick.txt?{sas}"
            while (busy := other.put(url, content=b"y" * 200, headers=headers)).status_code == 201:
                pass  # the other one has not arrived yet
    finally:
        second_answered.set()
        sending.join()
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    assert [answer.status_code for answer in answers] == [201]
    assert http.put(url, content=b"y" * 200, headers=headers).status_code == 201


def test_what_is_not_there_is_not_found(store):
    assert not store.get_blob_client("no/such.txt").exists()
    with pytest.raises(ResourceNotFoundError):
        store.download_blob("no/such.txt").readall()


def test_code_is_sent_to_a_container_of_its_own_and_kept_once(server, http):
    def send():
        answer = http.post(f"{WS}/codes/x/versions/1/startPendingUpload", json={}).json()
        reference = answer["blobReferenceForConsumption"]
        url, _, sas = reference["credential"]["sasUri"].removeprefix(server.url).partition("?")
        fresh = container(server, url, sas)
        fresh.upload_blob("my code/score.py", b"def init(): pass")
        body = {"properties": {"codeUri": f"{reference['blobUri']}/my code", "properties": {"hash_sha256": "b" * 64}}}
        return http.put(f"{WS}/codes/x/versions/1", json=body).json()

    first, second = send(), send()
    assert first["id"] == second["id"]
    shown = http.get(first["id"]).json()
    assert shown["properties"]["codeUri"].endswith("/my code")
    [known] = http.get(f"{WS}/codes/y/versions", params={"hash": "b" * 64}).json()["value"]
    assert known["id"] == first["id"]
    assert http.get(f"{WS}/codes/y/versions", params={"hash": "c" * 64}).json() == {"value": []}
