"""Endpoints, deployments, assets and uploads over real HTTP."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from ingress_server import running_server

from batch_endpoints.errors import ServerError


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("records")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    return server.http


def error_of(answer):
    """The message of an error answer, whose shape is always the same."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert "Traceback" not in error["message"]
    return error["message"]


def test_the_server_says_what_it_is(http):
    answer = http.get("/").json()

    assert answer["product"] == "batch-endpoints"
    assert answer["id"] == "the-id"
    assert answer["version"]


def test_the_api_describes_itself(http):
    api = http.get("/openapi.json").json()

    assert api["info"]["title"] == "Batch endpoints"
    invoke = api["paths"]["/endpoints/{endpoint}/jobs"]["post"]
    assert invoke["summary"] == "Invoke an endpoint"
    headers = {parameter["name"] for parameter in invoke["parameters"] if parameter["in"] == "header"}
    assert headers == {"azureml-model-deployment", "repeatability_request-id"}
    assert set(invoke["requestBody"]["content"]["application/json"]["examples"]) == {"folder", "overrides"}
    for path, operations in api["paths"].items():
        for verb, operation in operations.items():
            assert operation["summary"], (verb, path)
            assert operation["tags"], (verb, path)
            assert "4XX" in operation["responses"], (verb, path)
            assert "422" not in operation["responses"], (verb, path)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_about_the_interface_need_no_other_server(http, page):
    shown = http.get(page)
    assert shown.status_code == 200
    assert "/openapi.json" in shown.text
    parts = re.findall(r'(?:src|href)="([^"#]+)"', shown.text)
    assert len(parts) >= 2
    for part in parts:
        assert part.startswith("/"), f"{part} is on another server"
        assert http.get(part).content


def test_an_endpoint_lives_from_put_to_delete(server, http):
    created = http.put("/endpoints/heart", json={"description": "beats", "tags": {"a": "1"}})
    assert created.status_code == 201
    assert created.json() == {
        **created.json(),
        "name": "heart",
        "description": "beats",
        "auth_mode": "aad_token",
        "defaults": {"deployment_name": ""},
        "scoring_uri": f"{server.url}/endpoints/heart/jobs",
        "openapi_uri": f"{server.url}/openapi.json",
        "provisioning_state": "Succeeded",
    }
    assert http.put("/endpoints/heart", json=created.json()).status_code == 200  # what it answers, it takes
    assert http.get("/endpoints/heart").json() == created.json()
    patched = http.patch("/endpoints/heart", json={"tags": {"a": None, "b": "2"}, "description": "still"})
    assert (patched.status_code, patched.json()["tags"], patched.json()["description"]) == (200, {"b": "2"}, "still")
    assert "heart" in [endpoint["name"] for endpoint in http.get("/endpoints").json()["value"]]

    gone = http.delete("/endpoints/heart")

    assert (gone.status_code, gone.content) == (204, b"")
    assert http.get("/endpoints/heart").status_code == 404


def test_a_deployment_lives_from_put_to_delete(server, http):
    server.endpoint("lung")

    answer = http.get("/endpoints/lung/deployments/v-1").json()
    assert answer["provisioning_state"] == "Succeeded"
    assert (answer["name"], answer["endpoint_name"], answer["model"]) == ("v-1", "lung", "azureml:lung-v-1:1")
    assert answer["settings"]["mini_batch_size"] == 10
    assert http.put("/endpoints/lung/deployments/v-1", json=answer).status_code == 200
    patched = http.patch("/endpoints/lung/deployments/v-1", json={"settings": {"mini_batch_size": 4}})
    assert patched.json()["settings"]["mini_batch_size"] == 4
    assert [d["name"] for d in http.get("/endpoints/lung/deployments").json()["value"]] == ["v-1"]

    refused = http.delete("/endpoints/lung/deployments/v-1")
    assert refused.status_code == 409
    assert "'v-1' is the default of endpoint 'lung'" in error_of(refused)
    http.patch("/endpoints/lung", json={"defaults": None})
    assert http.delete("/endpoints/lung/deployments/v-1").status_code == 204
    assert http.get("/endpoints/lung/deployments/v-1").status_code == 404


def test_the_legacy_layout_of_a_deployment_is_taken(server, http):
    server.endpoint("liver")

    answer = http.put(
        "/endpoints/liver/deployments/old",
        json=server.deployment(mini_batch_size=2, instance_count=3, output_action="AppendRow"),
    ).json()

    assert answer["settings"]["mini_batch_size"] == 2
    assert answer["resources"]["instance_count"] == 3


def test_a_script_that_is_no_python_is_refused_unless_the_caller_insists(server, http):
    server.endpoint("brain")
    code = {"code": server.upload("src", {"score.py": b"def run(:\n"}), "scoring_script": "score.py"}
    document = server.deployment(code_configuration=code)

    refused = http.put("/endpoints/brain/deployments/v-2", json=document)

    assert refused.status_code == 400
    assert error_of(refused).startswith("score.py:1: ")
    insisted = http.put("/endpoints/brain/deployments/v-2?skip_script_validation=true", json=document)
    assert insisted.status_code == 201


def test_a_pipeline_deployment_is_kept_and_invoked_by_the_inputs_that_it_has(server, http):
    server.endpoint("spine")
    pipeline = {"type": "pipeline", "jobs": {"one": {"type": "command", "command": "echo"}}}
    assert http.put("/components/steps/versions/1", json=pipeline).status_code == 201
    document = {"type": "pipeline", "component": "azureml:steps:1"}

    assert http.put("/endpoints/spine/deployments/steps", json=document).status_code == 201
    assert http.get("/endpoints/spine/deployments/steps").json()["component"] == "azureml:steps:1"
    refused = server.invoke("spine", headers={"azureml-model-deployment": "steps"})
    assert refused.status_code == 400
    assert "the pipeline has no input 'data'" in error_of(refused)
    header = {"azureml-model-deployment": "steps"}
    invoked = http.post("/endpoints/spine/jobs", json={"properties": {}}, headers=header)
    assert (invoked.status_code, invoked.json()["properties"]["jobType"]) == (201, "pipeline")


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "told"),
    [
        ("GET", "/endpoints/nobody", None, 404, "nobody"),
        ("PATCH", "/endpoints/nobody", {}, 404, "nobody"),
        ("DELETE", "/endpoints/nobody", None, 404, "nobody"),
        ("GET", "/endpoints/nobody/deployments", None, 404, "nobody"),
        ("PUT", "/endpoints/nobody/deployments/v-1", {"model": "azureml:m:1"}, 404, "nobody"),
        ("DELETE", "/endpoints/nobody/deployments/v-1", None, 404, "nobody"),
        ("PUT", "/endpoints/ab", {}, 400, "3 to 32 letters"),
        ("PUT", "/endpoints/heart2", {"name": "other"}, 400, "'other' in the body and 'heart2' in the address"),
        ("PUT", "/endpoints/heart2", {"descripton": "x"}, 400, "'descripton'; did you mean 'description'?"),
        ("PUT", "/endpoints/heart2", [], 400, "expected a JSON object"),
        ("PUT", "/endpoints/heart2", {"auth_mode": "key"}, 400, "'auth_mode'"),
        ("PUT", "/endpoints/heart2", {"description": "\ud800"}, 400, "no Unicode"),
        ("PUT", "/endpoints/heart2", {"tags": {"a": ["x\0"]}}, 400, "with NUL in it"),
        ("PUT", "/endpoints/heart2", {"tags": {"a": float("nan")}}, 400, "nan is no JSON number"),
        ("PUT", "/endpoints/heart2", {"\ud800": "x"}, 400, ""),
        ("PATCH", "/endpoints/liver", {"name": "x"}, 400, "'name' of an endpoint cannot be changed"),
        ("PATCH", "/endpoints/liver", {"defaults": {"deployment_name": "v-9"}}, 404, "no deployment 'v-9'"),
        ("PATCH", "/endpoints/liver/deployments/v-1", {"compute": "x"}, 400, "'compute' of a deployment"),
        ("PUT", "/endpoints/liver/deployments/v-2", {}, 400, "'model' is missing"),
        ("PUT", "/endpoints/liver/deployments/v-2", {"endpoint_name": "lung"}, 400, "'endpoint_name' is 'lung'"),
        ("PUT", "/endpoints/liver/deployments/v-2", {"model": "azureml:gone:1"}, 404, "gone"),
        ("PUT", "/endpoints/liver/deployments/v-2", {"model": "m", "mini_batch_sise": 1}, 400, "mini_batch_size"),
        ("PUT", "/models/m/versions/latest", {"path": "/m"}, 400, "'latest' is not a version"),
        ("PUT", "/models/m/versions/1", {"path": "m"}, 400, "'m' is relative"),
        ("POST", "/models", {"path": "/m"}, 400, "'name' is missing"),
        ("GET", "/models/nothing/versions", None, 404, "nothing"),
        ("GET", "/models/nothing/versions/latest", None, 404, "nothing"),
        ("DELETE", "/models/nothing/versions/1", None, 404, "nothing"),
        ("GET", "/datastores/nothing", None, 404, "nothing"),
        ("PUT", "/datastores/lake", {"type": "uri"}, 400, "needs uri"),
        ("DELETE", "/computes/local", None, 409, "the server's own cluster"),
        ("PUT", "/computes/local", {}, 409, "the server's own cluster"),
        ("GET", "/endpoints?top=0", None, 400, "'top' (query)"),
        ("GET", "/endpoints?top=many", None, 400, "'top' (query)"),
        ("GET", "/endpoints?top=1001", None, 400, "'top' (query)"),
        ("GET", "/nowhere", None, 404, "there is nothing at GET /nowhere"),
        ("DELETE", "/endpoints", None, 405, "DELETE is not possible at /endpoints"),
        ("POST", "/uploads", {"name": "x", "files": []}, 400, "'files'"),
        ("POST", "/uploads", {"name": "x"}, 400, "'files' is missing"),
        ("PUT", "/uploads/blobs/abc", None, 400, "is not a SHA-256"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_with_status_and_reason(server, http, verb, path, body, status, told):
    server.endpoint("liver")

    content = None if body is None else json.dumps(body)
    answer = http.request(verb, path, content=content, headers={"content-type": "application/json"})

    assert answer.status_code == status
    assert told in error_of(answer)


@pytest.mark.parametrize("kind", ["models", "data", "environments", "components"])
def test_versioned_assets_live_from_post_to_delete(http, kind):
    content = {
        "models": lambda n: {"path": f"/m/{n}"},
        "data": lambda n: {"path": f"s3://d/{n}"},
        "environments": lambda n: {"image": f"ubuntu:{n}"},
        "components": lambda n: {"type": "command", "command": f"echo {n}"},
    }[kind]

    first = http.post(f"/{kind}", json={"name": "thing", **content(1)})
    second = http.post(f"/{kind}", json={"name": "thing", **content(2)})
    named = http.put(f"/{kind}/thing/versions/9", json=content(9))

    assert [answer.status_code for answer in (first, second, named)] == [201, 201, 201]
    assert [answer.json()["version"] for answer in (first, second, named)] == ["1", "2", "9"]
    versions = http.get(f"/{kind}/thing/versions").json()["value"]
    assert [asset["version"] for asset in versions] == ["9", "2", "1"]
    assert http.get(f"/{kind}/thing/versions/latest").json()["version"] == "9"
    assert [asset["version"] for asset in http.get(f"/{kind}").json()["value"] if asset["name"] == "thing"] == ["9"]
    assert http.put(f"/{kind}/thing/versions/9", json={**content(9), "description": "d"}).status_code == 200
    conflict = http.put(f"/{kind}/thing/versions/9", json=content(8))
    assert conflict.status_code == 409
    assert "has a version 9 already" in error_of(conflict)
    assert http.delete(f"/{kind}/thing/versions/9").status_code == 204
    assert http.get(f"/{kind}/thing/versions/latest").json()["version"] == "2"


@pytest.mark.parametrize(
    ("kind", "document", "patch"),
    [
        ("datastores", {"type": "uri", "uri": "s3://a"}, {"uri": "s3://b"}),
        ("computes", {"type": "amlcompute", "max_instances": 3}, {"max_instances": 5}),
    ],
)
def test_unversioned_assets_live_from_put_to_delete(http, kind, document, patch):
    assert http.put(f"/{kind}/thing", json=document).status_code == 201
    assert http.put(f"/{kind}/thing", json=document).status_code == 200
    assert http.get(f"/{kind}/thing").json().items() >= document.items()
    assert http.patch(f"/{kind}/thing", json=patch).json().items() >= patch.items()
    assert "thing" in [asset["name"] for asset in http.get(f"/{kind}").json()["value"]]
    assert http.delete(f"/{kind}/thing").status_code == 204
    assert http.get(f"/{kind}/thing").status_code == 404


def test_the_compute_local_is_always_there(http):
    assert http.get("/computes/local").json()["type"] == "local"
    assert http.get("/computes").json()["value"][0]["name"] == "local"


def test_a_list_is_read_page_by_page(server, http):
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        http.put(f"/datastores/{name}", json={"type": "uri", "uri": "s3://x"}).raise_for_status()

    url, seen, pages = "/datastores?top=2", [], 0
    while url:
        listing = http.get(url).json()
        assert len(listing["value"]) <= 2
        seen += [datastore["name"] for datastore in listing["value"]]
        url, pages = listing.get("nextLink"), pages + 1
        assert url is None or url.startswith(f"{server.url}/datastores?")

    assert [name for name in seen if name.startswith("page-")] == names
    assert pages >= 3


# uploads


def test_content_is_sent_once(http):
    content = b"x" * 3_000_000
    sha256 = hashlib.sha256(content).hexdigest()
    body = {"name": "big", "files": [{"path": "big/a", "sha256": sha256, "size": len(content)}]}

    assert http.post("/uploads", json=body).json()["missing"] == [sha256]
    sent = http.put(f"/uploads/blobs/{sha256}", content=iter([content[:1_000_001], content[1_000_001:]]))
    assert (sent.status_code, sent.json()["size"]) == (201, len(content))
    answer = http.post("/uploads", json=body).json()
    assert answer["missing"] == []
    assert answer["uri"].startswith("upload://")
    assert answer["uri"].endswith("/big")
    assert http.post("/uploads", json=body).json() == answer


def test_damaged_content_is_refused(http):
    sha256 = hashlib.sha256(b"whole").hexdigest()

    answer = http.put(f"/uploads/blobs/{sha256}", content=b"broken")

    assert answer.status_code == 400
    assert "was damaged on its way" in error_of(answer)
    body = {"name": "a", "files": [{"path": "a", "sha256": sha256, "size": 5}]}
    assert http.post("/uploads", json=body).json()["missing"] == [sha256]


@pytest.mark.parametrize("path", ["../x", "up/../../x", "/etc/passwd", "up\\..\\x", "up//x"])
def test_uploads_cannot_leave_their_folder(http, path):
    answer = http.post("/uploads", json={"name": "up", "files": [{"path": path, "sha256": "0" * 64, "size": 1}]})

    assert answer.status_code == 400
    assert "files.0.path" in error_of(answer)


def test_identical_uploads_at_once_do_no_harm(server):
    files = {f"{number}.txt": str(number).encode() for number in range(20)}

    with ThreadPoolExecutor(8) as pool:
        uris = list(pool.map(lambda _: server.upload("many", files), range(8)))

    assert len(set(uris)) == 1


# the edge


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"{", "application/json", "the body is not JSON"),
        (b"{'a': 1}", "application/json", "the body is not JSON"),
        (b"", "application/json", "the body is missing"),
        (b"null", "application/json", "expected a JSON object"),
        (b'"text"', "application/json", "expected a JSON object"),
        (b"[" * 100_000, "application/json", ""),
        (b"\xff\xfe\x00", "application/json", ""),
        (b"{}", "text/plain", "Send content-type: application/json"),
        (b"a=b", "application/x-www-form-urlencoded", "Send content-type: application/json"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_400(http, content, kind, told):
    answer = http.put("/endpoints/heart", content=content, headers={"content-type": kind})

    assert answer.status_code == 400
    assert told in error_of(answer)


def test_a_bug_shows_no_stack_trace_to_the_client_and_one_in_the_log(server, http, caplog):
    @server.app.get("/bug-of-this-test")
    def bug():
        raise RuntimeError("the secret of the house")

    # the server closes this connection after its answer
    answer = httpx.get(f"{server.url}/bug-of-this-test", headers=http.headers)

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "InternalError"
    assert "secret" not in answer.text
    assert "the secret of the house" in caplog.text
    assert "Traceback" in caplog.text


def test_a_database_that_is_away_is_a_503_with_its_reason(server, http):
    @server.app.get("/no-database-of-this-test")
    def away():
        raise ServerError("the database cannot be used: connection refused")

    answer = http.get("/no-database-of-this-test")

    assert answer.status_code == 503
    assert error_of(answer) == "the database cannot be used: connection refused"


def test_only_known_names_of_the_server_are_answered(tmp_path):
    with running_server(tmp_path, allowed_hosts=("127.0.0.1", "localhost", "::1")) as server:
        for host, status in {
            "127.0.0.1": 200,
            "localhost:8700": 200,
            "LOCALHOST": 200,
            "[::1]:8700": 200,
            "evil.example": 403,
            "127.0.0.1.evil.example:80": 403,
            "localhost.evil.example": 403,
        }.items():
            answer = httpx.get(f"{server.url}/", headers={"Host": host})
            assert answer.status_code == status, host
        assert "this server is not called 'localhost.evil.example'" in error_of(answer)
