"""Azure's addresses over the same records as our own: what one side writes, the other shows unchanged."""

import pytest
from ingress_server import running_server

WS = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def http(server):
    return server.http


def test_paths_and_keys_are_read_in_any_case(server, http):
    body = {"Properties": {"Description": "d", "AuthMode": "AADToken"}, "TAGS": {"Kept": "Case"}}
    answer = http.put(f"{WS.lower()}/BATCHENDPOINTS/any-case?Api-Version=1999-01-01", json=body)
    assert answer.status_code == 201, answer.text
    assert http.get("/endpoints/any-case").json()["tags"] == {"Kept": "Case"}
    assert answer.json()["properties"]["description"] == "d"


def test_an_endpoint_that_is_put_again_keeps_its_deployments_and_its_default(server, http):
    name = server.endpoint("put-again")
    http.put(f"{WS}/batchEndpoints/{name}", json={"properties": {"description": "new"}}).raise_for_status()
    shown = http.get(f"/endpoints/{name}").json()
    assert (shown["description"], shown["defaults"]["deployment_name"]) == ("new", "v-1")


def test_a_deployment_that_is_read_and_put_again_keeps_what_azure_does_not_have(server, http):
    name = server.endpoint("own-settings")
    settings = {
        "mini_batch_size": "64MB",
        "mini_batch_format": "pandas",
        "output_file_name": "rows.parquet",
        "output_columns": ["x"],
        "keep_failed_inputs": True,
    }
    own = server.deployment(settings=settings, environment={"python": "/usr/bin/python3"})
    http.put(f"/endpoints/{name}/deployments/own-1", json=own).raise_for_status()
    before = http.get(f"/endpoints/{name}/deployments/own-1").json()

    address = f"{WS}/batchEndpoints/{name}/deployments/own-1"
    read = http.get(address).json()
    http.put(address, json=read).raise_for_status()
    assert http.get(f"/endpoints/{name}/deployments/own-1").json() == before

    read["properties"]["maxConcurrencyPerInstance"] = 3
    http.put(address, json=read).raise_for_status()
    after = http.get(f"/endpoints/{name}/deployments/own-1").json()
    assert after["settings"] == {**before["settings"], "max_concurrency_per_instance": 3}


def test_a_new_deployment_writes_its_rows_as_azure_does(server, http):
    name = server.endpoint("azures-layout")
    read = http.get(f"{WS}/batchEndpoints/{name}/deployments/v-1").json()
    for deployment, file, layout in (("new-1", "p.csv", "azureml"), ("new-2", "p.parquet", None)):
        read["properties"]["outputFileName"] = file
        http.put(f"{WS}/batchEndpoints/{name}/deployments/{deployment}", json=read).raise_for_status()
        settings = http.get(f"/endpoints/{name}/deployments/{deployment}").json()["settings"]
        assert settings.get("output_format") == layout


def test_one_request_for_a_job_that_is_sent_again_makes_one_job(server, http):
    name = server.endpoint("sent-again")
    body = {"properties": {"inputData": {"d": {"jobInputType": "UriFolder", "uri": str(server.data())}}}}
    headers = {"repeatability_request-id": "one"}
    jobs = {http.post(f"{WS}/batchEndpoints/{name}/jobs", json=body, headers=headers).json()["name"] for _ in "ab"}
    assert len(jobs) == 1
    assert http.get(f"/jobs/{jobs.pop()}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/registries/r", None, 404, "docs/azure.md"),
        ("PUT", "/onlineEndpoints/x", {"properties": {}}, 404, "docs/azure.md"),
        ("DELETE", "/jobs/{job}", None, 400, "archive"),
        ("PUT", "/jobs/new", {"properties": {"jobType": "Sweep", "command": "x"}}, 400, "type Sweep"),
        (
            "PUT",
            "/datastores/d",
            {"properties": {"datastoreType": "AzureBlob", "credentials": {"credentialsType": "AccountKey"}}},
            400,
            "secrets are not kept here",
        ),
        ("PUT", "/models/m/versions/1", {"properties": {"modelUri": "azureml://registries/r/models/m"}}, 400, "m"),
        ("PUT", "/batchEndpoints/x", {"properties": {}}, 400, "expected 3 to 32 letters"),
    ],
    ids=["registries", "online endpoints", "delete a job", "sweep", "secret", "model of a registry", "name"],
)
def test_what_is_not_served_is_named_in_the_clients_own_shape(server, http, method, path, body, status, says):
    path = path.replace("{job}", server.job(server.endpoint("refused"))) if "{job}" in path else path
    answer = http.request(method, WS + path, json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]


def test_a_job_is_archived_and_named_without_losing_its_tags(server, http):
    job = server.job(server.endpoint("described"), tags={"run": "nightly"})
    address = f"/history/v1.0{WS}/experiments/described/runs/{job}"
    http.patch(address, json={"displayName": "Mine"}).raise_for_status()
    http.patch(address, json={"hidden": True}).raise_for_status()
    listed = {one["name"] for one in http.get(f"{WS}/jobs").json()["value"]}
    archived = {one["name"]: one for one in http.get(f"{WS}/jobs?listViewType=ArchivedOnly").json()["value"]}
    assert job not in listed
    assert archived[job]["properties"]["displayName"] == "Mine"
    assert archived[job]["properties"]["tags"]["run"] == "nightly"
    http.patch(address, json={"hidden": False}).raise_for_status()
    assert http.get(f"{WS}/jobs/{job}").json()["properties"]["isArchived"] is False
