"""Jobs over real HTTP: invoke, look, cancel, logs, outputs."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from ingress_server import running_server

from batch_endpoints.records import migrate, open_store
from batch_endpoints.specs import ItemCounts, JobError, JobOutput, JobState, Progress

SECONDS = 120


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    url = f"sqlite:///{folder / 'records.db'}" if request.param == "sqlite" else "memory://"
    migrate(url)
    with running_server(folder, open_store(url)) as running:
        running.endpoint("heart")
        running.data()
        yield running


@pytest.fixture(scope="module")
def http(server):
    return server.http


def error_of(answer):
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    return error["message"]


def folder_of(server, job):
    folder = Path(unquote(urlsplit(server.store.job(job).folder).path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# invoke


def test_an_invocation_answers_at_once_with_a_job(server, http):
    answer = server.invoke("heart", tags={"run": "1"}, displayName="Nightly", description="all of it")

    assert answer.status_code == 201
    job = answer.json()
    name = job["name"]
    assert name.startswith("batchjob-")
    assert job["id"] == f"/endpoints/heart/jobs/{name}"
    assert job["type"] == "batchEndpoints/jobs"
    assert answer.headers["location"] == f"{server.url}/endpoints/heart/jobs/{name}"
    properties = job["properties"]
    assert properties == {
        **properties,
        "name": "Nightly",
        "status": "NotStarted",
        "description": "all of it",
        "endpointName": "heart",
        "deploymentName": "v-1",
        "provisioningState": "Succeeded",
        "interactionEndpoints": {},
        "output": {},
        "compute": {"isLocal": False, "instanceCount": 1},
        "inputs": {"data": {"type": "uri_folder", "path": (server.folder / "data").as_uri()}},
        "outputs": {"score": {"type": "uri_folder", "path": ""}},
        "error": None,
        "notes": [],
        "launches": 0,
        "experimentName": "",
        "tags": {"run": "1"},
    }
    assert properties["properties"]["azureml.deploymentname"] == "v-1"
    assert set(properties["progress"]) == {
        "miniBatches",
        "miniBatchesDone",
        "items",
        "itemsSucceeded",
        "itemsFailed",
        "itemsSkipped",
        "rows",
        "rowsFailed",
        "itemsPerSecond",
        "etaSeconds",
    }
    assert set(job["systemData"]) == {"createdAt", "createdBy", "lastModifiedAt", "lastModifiedBy"}
    assert http.get(answer.headers["location"]).json() == job
    assert http.get(f"/jobs/{name}").json() == job


def spelled(server, upper, type_):
    """The same body in another spelling of its keys."""
    source = {
        "properties": {
            "inputData": {"Mein Input": {"jobInputType": type_, "uri": str(server.data())}},
            "compute": {"instanceCount": 3, "isLocal": True},
            "retrySettings": {"maxRetries": 1, "timeout": "PT45S"},
            "miniBatchSize": 7,
            "errorThreshold": 2,
            "onError": "isolate",
            "keepFailedInputs": True,
            "outputFileName": "p.jsonl",
            "outputFormat": "jsonl",
            "environmentVariables": {"MyVar": "1"},
            "tags": {"TagName": "x"},
            "properties": {"experimentName": "exp", "myProperty": "y"},
        }
    }
    free = {"Mein Input", "MyVar", "TagName", "myProperty"}

    def walk(value):
        if not isinstance(value, dict):
            return value
        return {key if key in free else upper(key): walk(inner) for key, inner in value.items()}

    return walk(source)


def snake(key):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)


@pytest.mark.parametrize(
    ("spelling", "type_"),
    [
        pytest.param(str, "UriFolder", id="camelCase"),
        pytest.param(lambda key: key[0].upper() + key[1:], "UriFolder", id="PascalCase"),
        pytest.param(snake, "uri_folder", id="snake_case"),
        pytest.param(str.upper, "URIFOLDER", id="capitals"),
        pytest.param(str.lower, "urifolder", id="lower case"),
    ],
)
def test_keys_and_enum_values_may_be_spelled_in_any_case(server, http, spelling, type_):
    answer = http.post("/endpoints/heart/jobs", json=spelled(server, spelling, type_))

    assert answer.status_code == 201, answer.text
    properties = answer.json()["properties"]
    assert properties["compute"]["instanceCount"] == 3
    assert list(properties["inputs"]) == ["Mein Input"]
    assert properties["tags"] == {"TagName": "x"}
    assert properties["experimentName"] == "exp"
    assert properties["properties"]["myProperty"] == "y"
    settings = server.store.job(answer.json()["name"]).spec.deployment.settings
    assert (settings.mini_batch_size, settings.error_threshold) == (7, 2)
    assert (settings.output_file_name, settings.output_format) == ("p.jsonl", "jsonl")
    assert (settings.on_error, settings.keep_failed_inputs) == ("isolate", True)
    assert (settings.retry_settings.max_retries, settings.retry_settings.timeout) == (1, 45)
    assert settings.environment_variables == {"MyVar": "1"}


def test_the_legacy_bodies_are_taken(server, http):
    http.put("/datastores/out", json={"type": "uri", "uri": str(server.folder / "out")}).raise_for_status()
    body = {
        "properties": {
            "dataset": {"dataInputType": "DataUrl", "Path": str(server.data())},
            "outputDataset": {"datastoreId": "azureml:out", "path": "/rows"},
        }
    }

    properties = http.post("/endpoints/heart/jobs", json=body).json()["properties"]

    assert list(properties["inputs"].values()) == [{"type": "uri_folder", "path": server.data().as_uri()}]
    assert properties["outputs"]["score"]["path"] == (server.folder / "out" / "rows").as_uri()


def test_literals_are_told_and_reach_the_script(server):
    inputs = {
        "data": {"jobInputType": "UriFolder", "uri": str(server.data())},
        "threshold": {"jobInputType": "Literal", "value": 0.5},
    }
    job = server.invoke("heart", inputData=inputs).json()

    assert job["properties"]["inputs"]["threshold"] == {"type": "literal", "value": 0.5}
    variables = server.store.job(job["name"]).spec.deployment.settings.environment_variables
    assert variables == {"BATCH_INPUT_THRESHOLD": "0.5"}


def test_a_header_picks_the_deployment(server, http):
    http.put("/endpoints/heart/deployments/v-2", json=server.deployment()).raise_for_status()

    job = server.invoke("heart", headers={"azureml-model-deployment": "v-2"}).json()

    assert job["properties"]["deploymentName"] == "v-2"
    listed = http.get("/endpoints/heart/deployments/v-2/jobs").json()["value"]
    assert [j["name"] for j in listed] == [job["name"]]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "'properties' is missing"),
        ({"inputData": {}}, 400, "unknown key 'inputData' in the body"),
        ({"properties": []}, 400, "'properties': expected an object"),
        ({"properties": {}}, 400, "exactly one data input; it has none"),
        ({"properties": {"inputDate": {}}}, 400, "unknown key 'inputDate' in properties; did you mean 'inputData'?"),
        ({"properties": {"inputData": []}}, 400, "'inputData': expected an object"),
        ({"properties": {"inputData": {"a": "DATA"}}}, 400, "'inputData.a': expected an object"),
        (
            {"properties": {"inputData": {"a": {"url": "DATA"}}}},
            400,
            "unknown key 'url' in inputData.a; did you mean",
        ),
        ({"properties": {"inputData": {"a": {"uri": 5}}}}, 400, "'inputs.a.path': expected a valid string"),
        ({"properties": {"inputData": {"a": {"uri": "DATA", "path": "DATA"}}}}, 400, "Keep one of them"),
        ({"properties": {"inputData": {"a": {"uri": "DATA", "URI": "DATA"}}}}, 400, "'uri' stands twice"),
        ({"properties": {"inputData": {"a": {"uri": "DATA", "jobInputType": "Folder"}}}}, 400, "'inputs.a.type'"),
        ({"properties": {"inputData": {"a": {"uri": "/not/there"}}}}, 400, "does not exist"),
        ({"properties": {"inputData": {"a": {"uri": "file:///not/there"}}}}, 400, "does not exist"),
        ({"properties": {"inputData": {"a": {"uri": "data/"}}}}, 400, "'data/' is relative"),
        ({"properties": {"inputData": {"a": {"uri": "EMPTY"}}}}, 400, "is a folder without files"),
        ({"properties": {"inputData": {"a": {"uri": "azureml:gone:1"}}}}, 404, "gone"),
        (
            {"properties": {"inputData": {"a": {"uri": "DATA", "jobInputType": "CustomModel"}}}},
            400,
            "The supported types are: UriFileJobInput, UriFolderJobInput, MLTableJobInput",
        ),
        (
            {"properties": {"inputData": {"a": {"uri": "DATA", "jobInputType": "MLTable"}}}},
            400,
            "has no file MLTable",
        ),
        ({"properties": {"inputData": {"a": {"jobInputType": "Literal"}}}}, 400, "exactly one data input"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "miniBatchSize": 0}}, 400, "'mini_batch_size'"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "miniBatchSize": "x"}}, 400, "'mini_batch_size'"),
        (
            {"properties": {"inputData": {"a": {"uri": "DATA"}}, "compute": {"instanceCount": 0}}},
            400,
            "instance_count",
        ),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "compute": {"target": "gpu"}}}, 400, "compute.target"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "partitionKeys": ["x"]}}, 400, "partitionKeys"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "retrySettings": {"timeout": 0}}}, 400, "timeout"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "name": "a/b"}}, 400, "'name'"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "name": ".."}}, 400, "'name'"),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "outputData": {"o": {"uri": "out"}}}}, 400, "relative"),
        (
            {
                "properties": {
                    "inputData": {"a": {"uri": "DATA"}},
                    "experimentName": "one",
                    "properties": {"experimentName": "other"},
                }
            },
            400,
            "'experiment_name' stands at two places",
        ),
        (
            {"properties": {"inputData": {"dataset": {"uri": "DATA"}}, "dataset": {"path": "DATA/000.txt"}}},
            400,
            "'path' stands at two places",
        ),
        ({"properties": {"inputData": {"a": {"uri": "DATA"}}, "tags": {"a": "\ud800"}}}, 400, "no Unicode"),
    ],
)
def test_an_invocation_that_cannot_run_makes_no_job(server, http, body, status, told):
    (server.folder / "empty").mkdir(exist_ok=True)
    before = http.get("/jobs?top=1").json()
    content = json.dumps(body).replace("DATA", str(server.data())).replace("EMPTY", str(server.folder / "empty"))

    answer = http.post("/endpoints/heart/jobs", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == status
    assert told in error_of(answer)
    assert http.get("/jobs?top=1").json() == before


def test_routing_fails_in_azures_words(server, http):
    http.put("/endpoints/lonely", json={}).raise_for_status()

    nowhere = server.invoke("lonely")
    unknown = server.invoke("heart", headers={"azureml-model-deployment": "v-9"})

    assert nowhere.status_code == 400
    assert error_of(nowhere).startswith("No valid deployments to route to.")
    assert "use a deployment specific header to route" in error_of(nowhere)
    assert unknown.status_code == 404
    assert error_of(unknown).startswith("Deployment name v-9 not found for this endpoint")
    assert server.invoke("nobody").status_code == 404


def test_an_output_that_exists_is_a_conflict_unless_the_request_says_overwrite(server):
    out = server.folder / "taken.csv"
    out.write_text("rows")
    output = {"score": {"jobOutputType": "UriFile", "uri": str(out)}}

    refused = server.invoke("heart", outputData=output)

    assert refused.status_code == 409
    assert "exists already" in error_of(refused)
    assert server.invoke("heart", outputData=output, overwrite=True).status_code == 201


def test_a_job_name_is_a_conflict_the_second_time(server):
    assert server.invoke("heart", name="only-once").json()["name"] == "only-once"

    again = server.invoke("heart", name="only-once")

    assert again.status_code == 409
    assert "only-once" in error_of(again)


def test_twenty_identical_concurrent_requests_with_one_id_make_one_job(server, http):
    together = threading.Barrier(20)

    def invoke(_):
        together.wait(timeout=SECONDS)
        return server.invoke("heart", headers={"repeatability_request-id": "the-one"}, tags={"of": "twenty"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(invoke, range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["name"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    listed = http.get("/jobs?top=1000").json()["value"]
    assert len([job for job in listed if job["properties"]["tags"] == {"of": "twenty"}]) == 1


# look


def test_a_job_tells_what_its_driver_told(server, http):
    job = server.job("heart")
    state = JobState(
        status="Failed",
        progress=Progress(
            mini_batches=4, mini_batches_done=2, items=8, items_failed=1, rows=3, rows_failed=2, eta_seconds=1.5
        ),
        started_at=datetime(2031, 1, 1, tzinfo=timezone.utc),
        ended_at=datetime(2031, 1, 2, tzinfo=timezone.utc),
        error=JobError(code="InitFailed", message="score.py:3: no", details="stack"),
        notes=("shrunk to 2 workers",),
        outputs={"score": JobOutput(path="file:///out")},
    )
    server.change(job, status="Failed", state=state, launches=2)

    properties = http.get(f"/jobs/{job}").json()["properties"]

    assert properties["status"] == "Failed"
    assert properties["progress"]["miniBatchesDone"] == 2
    assert properties["progress"]["rowsFailed"] == 2
    assert properties["progress"]["etaSeconds"] == 1.5
    assert properties["error"] == {"code": "InitFailed", "message": "score.py:3: no", "details": "stack"}
    assert properties["notes"] == ["shrunk to 2 workers"]
    assert properties["startedAt"] == "2031-01-01T00:00:00+00:00"
    assert properties["endedAt"] == "2031-01-02T00:00:00+00:00"
    assert properties["outputs"]["score"]["path"] == "file:///out"
    assert properties["launches"] == 2


def test_jobs_are_listed_newest_first_page_by_page_and_by_status(server, http):
    server.endpoint("paged")
    names = [server.job("paged") for _ in range(5)]
    server.change(names[1], status="Running")
    server.change(names[3], status="Completed")

    url, seen = "/endpoints/paged/jobs?top=2", []
    while url:
        listing = http.get(url).json()
        seen += [job["name"] for job in listing["value"]]
        url = listing.get("nextLink")
    assert seen == names[::-1]

    def listed(query):
        return [job["name"] for job in http.get(f"/endpoints/paged/jobs?{query}").json()["value"]]

    assert listed("status=running") == [names[1]]
    assert listed("status=Running&status=Completed") == [names[3], names[1]]
    assert names[1] in [job["name"] for job in http.get("/jobs?status=Running&top=1000").json()["value"]]
    unknown = http.get("/jobs?status=Runing")
    assert unknown.status_code == 400
    assert "did you mean 'Running'?" in error_of(unknown)


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/gone",
        "/jobs/gone/logs",
        "/jobs/gone/logs?follow=true",
        "/jobs/gone/outputs/score",
        "/jobs/gone/outputs/score/a.csv",
        "/endpoints/heart/jobs/gone",
        "/endpoints/gone/jobs",
        "/endpoints/heart/deployments/gone/jobs",
    ],
)
def test_what_is_not_there_is_a_404(http, path):
    answer = http.get(path)

    assert answer.status_code == 404
    assert "gone" in error_of(answer)


def test_a_job_of_another_endpoint_is_not_found_here(server, http):
    server.endpoint("other")

    answer = http.get(f"/endpoints/other/jobs/{server.job('heart')}")

    assert answer.status_code == 404
    assert "It belongs to endpoint 'heart'" in error_of(answer)


# cancel


def test_a_job_is_canceled_once(server, http):
    waiting, running = server.job("heart"), server.job("heart")
    server.change(running, status="Running")

    at_once, asked = http.post(f"/jobs/{waiting}/cancel"), http.post(f"/jobs/{running}/cancel")

    assert (at_once.status_code, at_once.json()["properties"]["status"]) == (202, "Canceled")
    assert (asked.status_code, asked.json()["properties"]["status"]) == (202, "CancelRequested")
    again = http.post(f"/jobs/{waiting}/cancel")
    assert again.status_code == 409
    assert "has ended (Canceled)" in error_of(again)
    assert http.post("/jobs/gone/cancel").status_code == 404


# logs


def write_log(server, job, name, text):
    logs = folder_of(server, job) / "logs"
    logs.mkdir(exist_ok=True)
    with (logs / name).open("a") as file:
        file.write(text)


def test_a_job_without_a_folder_has_empty_logs(server, http):
    answer = http.get(f"/jobs/{server.job('heart')}/logs")

    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.fixture
def logged(server):
    """A job with logs of three."""
    job = server.job("heart")
    write_log(
        server,
        job,
        "driver.log",
        "2026-11-24T00:29:20.000Z INFO Running\n2026-11-24T00:29:24.000Z WARNING 1 items failed\n",
    )
    write_log(
        server,
        job,
        "worker-node-7-abcd1234.log",
        "2026-11-24T00:29:21.000Z INFO scores a.csv\nprinted of a\n"
        "2026-11-24T00:29:22.500Z ERROR try 1 failed for a.csv: score.py:4: ValueError: odd\nTraceback\n  odd\n"
        "2026-11-24T00:29:23.500Z INFO scores b.csv\nno line break",
    )
    write_log(server, job, "worker-node-8-wxyz5678.log", "2026-11-24T00:29:22.000Z INFO scores c.csv\nof c\n")
    return job


def test_logs_are_merged_by_time_and_each_line_says_whose_it_is(http, logged):
    assert http.get(f"/jobs/{logged}/logs").text.splitlines() == [
        "driver   | 2026-11-24T00:29:20.000Z INFO Running",
        "abcd1234 | 2026-11-24T00:29:21.000Z INFO scores a.csv",
        "abcd1234 | printed of a",
        "wxyz5678 | 2026-11-24T00:29:22.000Z INFO scores c.csv",
        "wxyz5678 | of c",
        "abcd1234 | 2026-11-24T00:29:22.500Z ERROR try 1 failed for a.csv: score.py:4: ValueError: odd",
        "abcd1234 | Traceback",
        "abcd1234 |   odd",
        "abcd1234 | 2026-11-24T00:29:23.500Z INFO scores b.csv",
        "driver   | 2026-11-24T00:29:24.000Z WARNING 1 items failed",
        "abcd1234 | no line break",
    ]


def test_the_errors_are_failed_tries_and_warnings_without_what_was_printed(http, logged):
    assert http.get(f"/jobs/{logged}/logs?errors=true").text.splitlines() == [
        "abcd1234 | 2026-11-24T00:29:22.500Z ERROR try 1 failed for a.csv: score.py:4: ValueError: odd",
        "abcd1234 | Traceback",
        "abcd1234 |   odd",
        "driver   | 2026-11-24T00:29:24.000Z WARNING 1 items failed",
    ]


def test_the_log_of_one_worker_is_as_it_was_written(http, logged):
    alone = http.get(f"/jobs/{logged}/logs?worker=wxyz5678").text
    assert alone == "2026-11-24T00:29:22.000Z INFO scores c.csv\nof c\n"
    assert http.get(f"/jobs/{logged}/logs?worker=driver&errors=true").text.endswith("WARNING 1 items failed\n")

    missing = http.get(f"/jobs/{logged}/logs?worker=gpu")

    assert missing.status_code == 404
    assert "no log of this job has 'gpu' in its name" in error_of(missing)
    assert "driver, worker-node-7-abcd1234" in error_of(missing)


def test_followed_logs_are_merged_and_filtered_too(server, http, logged):
    server.change(logged, status="Failed")
    told = {}
    for query in ("", "&errors=true", "&worker=abcd1234&errors=true"):
        with http.stream("GET", f"/jobs/{logged}/logs?follow=true{query}", timeout=SECONDS) as response:
            told[query] = [data for name, data in events(response) if name == "log"]

    assert told[""] == http.get(f"/jobs/{logged}/logs").text.splitlines()
    assert told["&errors=true"] == http.get(f"/jobs/{logged}/logs?errors=true").text.splitlines()
    assert [line.partition(" ")[2] for line in told["&worker=abcd1234&errors=true"]] == [
        "ERROR try 1 failed for a.csv: score.py:4: ValueError: odd",
        "",
        " odd",
    ]


def test_what_a_job_tells_of_itself_is_listed_and_downloaded(server, http, logged):
    folder = folder_of(server, logged)
    (folder / "report.json").write_text("{}")
    (folder / "failed_items.jsonl").write_text('{"file": "a.csv"}\n')

    listed = [one["path"] for one in http.get(f"/jobs/{logged}/artifacts").json()["value"]]

    assert listed[:3] == ["report.json", "failed_items.jsonl", "logs/driver.log"]
    assert len(listed) == 5
    assert http.get(f"/jobs/{logged}/artifacts/failed_items.jsonl").text == '{"file": "a.csv"}\n'
    assert "INFO Running" in http.get(f"/jobs/{logged}/artifacts/logs/driver.log").text
    for path in ("job.json", "logs/other.log", "logs/../job.json", "..%2Fjob.json"):
        assert http.get(f"/jobs/{logged}/artifacts/{path}").status_code == 404


def test_the_report_of_a_job_comes_with_its_end_and_its_schema_is_documented(server, http):
    job = server.job("heart")
    assert http.get(f"/jobs/{job}/report").status_code == 409
    items = ItemCounts(given=3, succeeded=1, failed=1, skipped=1)
    server.change(job, status="Completed", state=JobState(status="Completed", items=items, seconds={"queue": 1.5}))

    report = http.get(f"/jobs/{job}/report").json()

    assert report["items"] == {"given": 3, "succeeded": 1, "failed": 1, "skipped": 1, "not_scored": 0}
    assert report["seconds"] == {"queue": 1.5}
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    assert set(report) == set(schemas["JobState"]["properties"])
    assert "first_mini_batch" in schemas["JobState"]["properties"]["seconds"]["description"]


def events(response):
    """(event, data) of a stream, as they come."""
    event = {}
    for line in response.iter_lines():
        if not line and event:
            yield event["event"], event["data"]
            event = {}
        elif line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            event[key] = value


def test_followed_logs_grow_with_the_job_and_end_with_it(server, http):
    job = server.job("heart")

    with http.stream("GET", f"/jobs/{job}/logs?follow=true", timeout=SECONDS) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = events(response)
        name, data = next(stream)
        assert (name, json.loads(data)["properties"]["status"]) == ("progress", "NotStarted")

        server.change(job, status="Running")
        name, data = next(stream)
        assert (name, json.loads(data)["properties"]["status"]) == ("progress", "Running")

        write_log(server, job, "driver.log", "first\nsecond\nhalf a ")
        assert [next(stream) for _ in range(2)] == [
            ("log", "driver   | first"),
            ("log", "driver   | second"),
        ]

        write_log(server, job, "driver.log", "line\nbar 1\rbar 2\n")
        assert [next(stream) for _ in range(2)] == [
            ("log", "driver   | half a line"),
            ("log", "driver   | bar 1 bar 2"),
        ]

        write_log(server, job, "worker-0.log", "from a worker\nlast words without a line break")
        server.change(job, status="Completed")
        rest = list(stream)

    logged = [data for name, data in rest if name == "log"]
    assert logged == ["0        | from a worker", "0        | last words without a line break"]
    assert rest[-1][0] == "end"
    assert json.loads(rest[-1][1])["properties"]["status"] == "Completed"
    assert [name for name, _ in rest].count("end") == 1


def test_following_a_job_that_has_ended_gives_all_of_its_logs(server, http):
    job = server.job("heart")
    lines = [f"line {number} {'x' * 100}" for number in range(20_000)]
    write_log(server, job, "driver.log", "\n".join(lines) + "\n")
    server.change(job, status="Failed")

    with http.stream("GET", f"/jobs/{job}/logs?follow=true", timeout=SECONDS) as response:
        found = list(events(response))

    assert [data for name, data in found if name == "log"] == [f"driver   | {line}" for line in lines]
    assert found[-1][0] == "end"


def test_a_follower_that_goes_away_is_forgotten(server, http):
    job = server.job("heart")

    with http.stream("GET", f"/jobs/{job}/logs?follow=true", timeout=SECONDS) as response:
        assert next(events(response))[0] == "progress"

    assert http.get(f"/jobs/{job}").status_code == 200  # and the server, which ends with this module, does not hang


# outputs


@pytest.fixture
def completed(server):
    """A completed job with files in its output folder."""
    job = server.job("heart")
    out = folder_of(server, job) / "named-outputs" / "score"
    (out / "deep").mkdir(parents=True)
    (out / "predictions.csv").write_text("file,label\na,1\n")
    (out / "deep" / "größe 1.txt").write_text("x")
    (out.parent / "secret.txt").write_text("secret")
    (out / "link.txt").symlink_to(out.parent / "secret.txt")
    state = JobState(status="Completed", outputs={"score": JobOutput(path=out.as_uri())})
    server.change(job, status="Completed", state=state)
    return job


def test_outputs_are_listed_and_downloaded(http, server, completed):
    listing = http.get(f"/jobs/{completed}/outputs/score").json()

    assert listing["uri"] == server.store.job(completed).state.outputs["score"].path
    assert listing["value"] == [{"path": "deep/größe 1.txt", "size": 1}, {"path": "predictions.csv", "size": 15}]
    file = http.get(f"/jobs/{completed}/outputs/score/predictions.csv")
    assert (file.status_code, file.text) == (200, "file,label\na,1\n")
    assert "attachment" in file.headers["content-disposition"]
    assert http.get(f"/jobs/{completed}/outputs/score/deep/größe 1.txt").text == "x"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2Fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "deep/..%2f..%2fsecret.txt",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "link.txt",
        "nothing.csv",
        "deep",
        "a%00b",
        "predictions.csv%00",
        "x" * 250,
    ],
)
def test_downloads_cannot_leave_the_output(http, completed, path):
    answer = http.get(f"/jobs/{completed}/outputs/score/{path}")

    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_an_output_that_is_one_file_is_listed_by_its_name(http, server):
    job = server.job("heart")
    out = folder_of(server, job) / "p.csv"
    out.write_text("rows")
    state = JobState(status="Completed", outputs={"score": JobOutput(type="uri_file", path=out.as_uri())})
    server.change(job, status="Completed", state=state)

    assert http.get(f"/jobs/{job}/outputs/score").json()["value"] == [{"path": "p.csv", "size": 4}]
    assert http.get(f"/jobs/{job}/outputs/score/p.csv").text == "rows"


def test_outputs_are_there_when_the_job_has_completed(http, server, completed):
    running = server.job("heart")

    early = http.get(f"/jobs/{running}/outputs/score")

    assert early.status_code == 409
    assert "is NotStarted" in error_of(early)
    assert http.get(f"/jobs/{running}/outputs/score/a.csv").status_code == 409
    unknown = http.get(f"/jobs/{completed}/outputs/other")
    assert unknown.status_code == 404
    assert "It has: score." in error_of(unknown)


@pytest.mark.parametrize("closed", ["a.csv", "."], ids=["the file", "the folder"])
def test_an_input_that_may_not_be_read_is_refused_at_once(open_folder, unprivileged, closed):
    data = open_folder / "data"
    data.mkdir()
    (data / "a.csv").write_text("x\n1\n")
    given = {"properties": {"inputData": {"data": {"jobInputType": "UriFolder", "uri": str(data)}}}}
    open_folder.chmod(0o777)
    with running_server(open_folder) as server:
        with unprivileged():  # who reads what was uploaded
            server.endpoint("heart")
        (data / closed).chmod(0)
        with unprivileged():
            refused = server.http.post("/endpoints/heart/jobs", json=given)
        data.chmod(0o700)

        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "InvalidInput"
        assert "permission denied" in refused.json()["error"]["message"].lower()
        assert server.http.get("/jobs").json()["value"] == []
