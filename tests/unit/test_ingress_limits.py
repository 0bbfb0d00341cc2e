"""What a server does with requests that are larger, deeper or longer than anybody needs."""

import json

import pytest
from fastapi.testclient import TestClient

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.ingress.app import create_app
from batch_endpoints.records.memory import MemoryRecordStore
from batch_endpoints.specs import Data
from batch_endpoints.specs.limits import (
    DEEPEST,
    LARGEST_DOCUMENT,
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    LONGEST_PATH,
    LONGEST_TEXT,
    LONGEST_URI,
)

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all tests: to make one takes longer than most of them."""
    store, home = MemoryRecordStore(), tmp_path_factory.mktemp("home")
    plane = ControlPlane(store, jobs_root=home / "jobs", uploads_root=home / "uploads")
    client = TestClient(create_app(plane, server_id="the-id", token="t"), raise_server_exceptions=False)
    client.headers["authorization"] = "Bearer t"
    return client, store


@pytest.fixture
def store(server):
    _, store = server
    yield store
    store.__init__()


@pytest.fixture
def http(server, store):
    client, _ = server
    return client


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


def refused(answer, status=400):
    assert answer.status_code == status, answer.text[:300]
    message = answer.json()["error"]["message"]
    assert len(message) < 9000
    return message


def upload(path):
    name = path.split("/")[0]
    return {"name": name, "files": [{"path": path, "sha256": "0" * 64, "size": 1}]}


@pytest.mark.parametrize(
    ("path", "document", "why"),
    [
        pytest.param("/endpoints/heart", {"description": "x" * (LONGEST_DESCRIPTION + 1)}, "8192", id="description"),
        pytest.param("/endpoints/heart", {"tags": {"a": "x" * (LONGEST_TEXT + 1)}}, "65536", id="a tag"),
        pytest.param("/endpoints/heart", {"tags": {"x" * (LONGEST_NAME + 1): "a"}}, "256", id="a tag's name"),
        pytest.param("/endpoints/heart", {"identity": nested(DEEPEST + 1)}, "more than 64 levels", id="deep"),
        pytest.param("/endpoints/heart", {"identity": nested(200)}, "more than 64 levels", id="200 levels deep"),
        pytest.param("/endpoints/heart", {"tags": {"a": nested(900)}}, "more than 64 levels", id="900 in a text"),
        pytest.param("/data/rows/versions/1", {"path": "s3://" + "a" * LONGEST_URI}, "4096 bytes", id="a URI"),
        pytest.param("/models/m/versions/1", {"path": "/" + "a" * LONGEST_URI}, "4096 bytes", id="a path"),
        pytest.param("/datastores/lake", {"type": "uri", "uri": "s3://" + "a" * LONGEST_URI}, "4096", id="a store"),
    ],
)
def test_what_is_longer_or_deeper_than_anybody_needs_is_refused(http, store, path, document, why):
    assert why in refused(http.put(path, json=document))
    assert not store.endpoints().items
    assert not store.assets("data").items


@pytest.mark.parametrize("path", ["/endpoints/x", "/endpoints/x/jobs", "/jobs/x/resume", "/uploads"])
def test_a_text_of_brackets_is_no_crash(http, path):
    method = "PUT" if path == "/endpoints/x" else "POST"
    for opening, closing in (('{"properties":', "}"), ("[", "]"), ('{"files":[', "]}")):
        for text in (opening * 20_000, f"{opening * 150}{{}}{closing * 150}"):
            refused(http.request(method, path, content=text, headers=JSON))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        pytest.param("a/" * 500 + "b", "at most 64 names", id="many folders"),
        pytest.param("/".join("x" * 250 for _ in range(20)), "at most 1024 bytes", id="beyond what a disk takes"),
        pytest.param("a/" * 30_000 + "b", "at most 1024 bytes", id="60 kB"),
        pytest.param("a/" + "é" * 128, "at most 255 bytes", id="a long name"),
    ],
)
def test_a_path_that_no_disk_needs_is_refused(http, path, why):
    assert len(path) < LONGEST_PATH or "1024" in why
    assert why in refused(http.post("/uploads", json=upload(path)))


@pytest.mark.parametrize("path", ["/" + "x" * 300, "/" + "x/" * 2040], ids=["a long name", "a long path"])
def test_a_path_that_no_disk_can_have_is_no_crash(http, path):
    for kind in ("models", "data"):
        assert http.put(f"/{kind}/a/versions/1", json={"path": path}).status_code == 201
    http.put("/endpoints/heart", json={})
    script = {"code": path, "scoring_script": "x" * 300}
    for document in ({"model": {"path": path}}, {"model": {"path": path}, "code_configuration": script}):
        assert http.put("/endpoints/heart/deployments/v-1", json=document).status_code in (400, 404)


@pytest.mark.parametrize("value", [{}, [], {"a": []}, 1, None, True], ids=str)
@pytest.mark.parametrize(
    "properties",
    [
        lambda value: {"inputData": {"data": {"jobInputType": value, "uri": "s3://b/a"}}},
        lambda value: {"outputData": {"data": {"jobOutputType": value}}},
        lambda value: {"retrySettings": {"timeout": value}},
        lambda value: {"onError": value, "loggingLevel": value, "outputFormat": value},
        lambda value: {"dataset": {"dataInputType": value, "path": value}},
    ],
    ids=["input", "output", "timeout", "words", "legacy"],
)
def test_a_value_of_another_kind_is_no_crash(http, properties, value):
    http.put("/endpoints/heart", json={})
    assert http.post("/endpoints/heart/jobs", json={"properties": properties(value)}).status_code == 400


@pytest.mark.parametrize("key", ["inputData", "outputData"])
@pytest.mark.parametrize("path", ["/" + "x" * 300, "/" + "x/" * 2040, "/dev/null/x", "/proc/1/root/x"])
def test_a_job_over_a_path_that_no_disk_can_have_is_no_crash(http, tmp_path, key, path):
    http.put("/endpoints/heart", json={})
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text("flavors: {}")
    (tmp_path / "a.csv").write_text("x\n1\n")
    model = {"path": str(tmp_path / "m"), "type": "mlflow_model"}
    assert http.put("/endpoints/heart/deployments/v-1", json={"model": model}).status_code == 201
    places = {"inputData": {"data": {"uri": str(tmp_path / "a.csv"), "jobInputType": "uri_file"}}}
    places[key] = {"data": {"uri": path}}
    answer = http.post(
        "/endpoints/heart/jobs", json={"properties": places}, headers={"azureml-model-deployment": "v-1"}
    )
    assert answer.status_code < 500, answer.text


def test_a_body_that_is_too_large_is_refused_by_what_it_says_of_its_length(http):
    body = json.dumps({"tags": {"a": "x" * LARGEST_DOCUMENT}})
    assert "more than 1048576 bytes" in refused(http.put("/endpoints/heart", content=body, headers=JSON), 413)
    refused(http.put("/endpoints/heart", content=b"", headers={"content-length": "9" * 30, **JSON}), 413)


def test_a_body_that_does_not_say_its_length_is_refused_once_it_is_too_large(http):
    pieces = [b'{"tags": {"a": "'] + [b"x" * (1 << 18)] * 40
    refused(http.put("/endpoints/heart", content=iter(pieces), headers=JSON), 413)


def test_a_list_of_files_may_be_larger_than_other_documents(http):
    files = [{"path": f"d/{number}", "sha256": f"{number:064}", "size": 1} for number in range(15_000)]
    answer = http.post("/uploads", json={"name": "d", "files": files})
    assert len(answer.request.content) > LARGEST_DOCUMENT
    assert len(answer.json()["missing"]) == 15_000


def test_patches_do_not_add_up_to_more_than_a_document_may_have(http):
    http.put("/endpoints/heart", json={})
    statuses = []
    for number in range(5):
        tags = {f"tag-{number}-{each}": "x" * 30_000 for each in range(10)}
        statuses.append(http.patch("/endpoints/heart", json={"tags": tags}).status_code)
    assert statuses == [200, 200, 200, 400, 400]


def test_a_record_from_before_there_were_limits_is_still_listed(http, store):
    store.save_asset("data", Data(name="rows", version="1", path="s3://" + "a" * 9000))
    assert len(http.get("/data").json()["value"][0]["path"]) == 9005
