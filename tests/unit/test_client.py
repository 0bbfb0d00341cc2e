"""The client against a small scripted HTTP server: what is sent again, and what errors become."""

import bz2
import gzip
import json
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.client.connection import PAUSES, Connection, at
from batch_endpoints.client.wire import invocation_body, is_local
from batch_endpoints.errors import Conflict, InputError, InvocationError, NotFound, ServerError, SpecError
from batch_endpoints.settings import Settings
from batch_endpoints.specs import Invocation

JOB = {"name": "one", "properties": {"status": "NotStarted"}}
DONE = {"name": "one", "properties": {"status": "Completed", "outputs": {"score": {"path": "s3://b/o"}}}}


class Scripted(BaseHTTPRequestHandler):
    """Gives the answers it was told to give, in order, then the last one again."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.received.append((self.command, self.path, dict(self.headers), body))
        answers = self.server.answers
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 0:
            self.close_connection = True
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if isinstance(answer, dict) else "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as running:
        running.received, running.answers = [], [(200, {})]
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def client(server, tmp_path, pauses):
    client = BatchEndpointsClient(server.url, settings=Settings(home=tmp_path))
    client.connection._pause = pauses.append
    return client


def test_an_invocation_is_sent_again_with_the_same_id_until_it_is_answered(server, client, pauses):
    server.answers = [(503, {}), (0, {}), (502, {}), (201, JOB)]
    assert client.invoke("tumor", input="s3://bucket/data").name == "one"
    ids = {headers["repeatability_request-id"] for _, _, headers, _ in server.received}
    assert (len(server.received), len(ids)) == (4, 1)
    assert pauses == list(PAUSES[:3])


def test_a_server_that_is_lost_while_it_answers_is_asked_again(server, client, pauses):
    server.answers = [(500, b"Internal Server Error"), (200, JOB)]
    assert client.job("one").name == "one"
    assert pauses == list(PAUSES[:1])


def test_each_invocation_has_an_id_and_a_deployment_of_its_own(server, client):
    server.answers = [(201, JOB)]
    client.invoke("tumor", input="s3://bucket/data", deployment="xgb")
    client.invoke("tumor", input="s3://bucket/data")
    client.invoke("tumor", input="s3://bucket/data", request_id="mine")
    headers = [headers for _, _, headers, _ in server.received]
    assert [h.get("azureml-model-deployment") for h in headers] == ["xgb", None, None]
    assert headers[2]["repeatability_request-id"] == "mine"
    assert len({h["repeatability_request-id"] for h in headers}) == 3


def test_steps_of_steps_that_are_pipelines_are_listed_where_they_are_asked_for(server, client):
    def listed(**kinds):
        properties = {"status": "Running"}
        return 200, {"value": [{"name": n, "properties": {**properties, "jobType": k}} for n, k in kinds.items()]}

    server.answers = [listed(inner="pipeline", last="command"), listed(first="scoring")]
    assert [job.name for job in client.jobs(parent="outer", recursive=True)] == ["inner", "first", "last"]
    assert [path for _, path, _, _ in server.received] == ["/jobs?parent=outer", "/jobs?parent=inner"]
    server.answers = [listed(inner="pipeline", last="command")]
    assert [job.name for job in client.jobs(parent="outer")] == ["inner", "last"]


def test_what_might_have_happened_is_not_done_twice(server, client, pauses):
    server.answers = [(0, {}), (201, {"name": "m", "version": "1"})]
    with pytest.raises(ServerError):
        client.environments.create({"name": "env"})
    assert len(server.received) == 1


def test_a_server_that_stays_away_is_an_error_after_all_pauses(server, client, pauses):
    server.answers = [(503, b"no healthy replica")]
    with pytest.raises(ServerError, match="answered 503: no healthy replica"):
        client.job("one")
    assert pauses == list(PAUSES)


def test_a_server_that_never_was_there_is_given_up_soon(tmp_path, pauses):
    connection = Connection("127.0.0.1:1", settings=Settings(home=tmp_path), pause=pauses.append)
    with pytest.raises(ServerError, match="cannot reach the server at http") as told:
        connection.json("GET", "/")
    assert "http://127.0.0.1:1\n" in str(told.value)
    assert "batch-endpoints up" in str(told.value)
    assert len(pauses) == 2


def test_an_address_that_is_none_says_so(tmp_path):
    with pytest.raises(ServerError, match="is not the address of a server"):
        Connection("ftp://x", settings=Settings(home=tmp_path)).json("GET", "/")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (400, "ValidationError", SpecError),
        (400, "BadRequest", InvocationError),
        (400, "InvalidInput", InputError),
        (500, "InternalError", ServerError),
    ],
)
def test_errors_arrive_as_our_own_with_their_whole_text(server, client, status, code, kind):
    server.answers = [(status, {"error": {"code": code, "message": "what (where)\nmend", "details": []}})]
    with pytest.raises(kind) as told:
        client.job("one")
    assert type(told.value) is kind
    assert str(told.value) == "what (where)\nmend"
    assert len(server.received) == 1


def test_something_that_is_no_batch_endpoints_server_says_so(server, client):
    server.answers = [(200, b"<html>")]
    with pytest.raises(ServerError, match="did not answer in JSON"):
        client.job("one")


def test_the_url_is_said_or_in_the_environment_or_the_one_that_up_started(tmp_path):
    (tmp_path / "server.json").write_text('{"url": "http://here:1", "id": "x"}')
    assert Connection("http://said:2/", settings=Settings(tmp_path, url="http://set:3")).url == "http://said:2"
    assert Connection(settings=Settings(tmp_path, url="http://set:3")).url == "http://set:3"
    assert Connection(settings=Settings(tmp_path)).url == "http://here:1"
    assert Connection(settings=Settings(tmp_path / "empty")).url == "http://127.0.0.1:8700"


def test_a_proxy_is_not_asked_for_this_machine(server, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.answers = [(200, JOB)]
    assert client.job("one").status == "NotStarted"


def test_a_client_can_be_sent_to_another_process(client):
    assert pickle.loads(pickle.dumps(client)).url == client.url


def test_a_page_behind_another_address_is_asked_where_the_first_came_from(server, client):
    server.answers = [
        (200, {"value": [{"name": "a"}], "nextLink": "http://inside:8700/endpoints?top=1&skiptoken=a%2Fb"}),
        (200, {"value": [{"name": "b"}]}),
    ]
    assert [endpoint["name"] for endpoint in client.endpoints.list()] == ["a", "b"]
    assert server.received[1][1] == "/endpoints?top=1&skiptoken=a%2Fb"


def test_a_stream_that_breaks_goes_on_without_telling_anything_twice(server, client):
    def event(kind, data):
        return f"event: {kind}\r\ndata: {data}\r\n\r\n".encode()

    running = json.dumps({"name": "one", "properties": {"status": "Running"}})
    ended = json.dumps({"name": "one", "properties": {"status": "Completed"}})
    first = event("progress", running) + event("log", "a") + event("log", "a") + b": keep-alive\n\n"
    second = b"".join(event("log", line) for line in ("a", "a", "ü: b")) + event("end", ended)
    server.answers = [(200, JOB), (200, first), (0, {}), (200, second)]
    pauses = []
    events = list(client.job("one").stream(pause=pauses.append))
    assert [event.line for event in events if event.kind == "log"] == ["a", "a", "ü: b"]
    assert (events[-1].kind, events[-1].job.status) == ("end", "Completed")
    assert pauses


def test_overrides_are_sent_in_azures_shape():
    invocation = Invocation.model_validate(
        {
            "endpoint": "tumor",
            "inputs": {"heart": {"path": "s3://b/f"}, "level": {"type": "literal", "value": 0}},
            "outputs": {"score": {"type": "uri_file", "path": "s3://b/p.csv"}},
            "name": "mine",
            "instance_count": 4,
            "retry_settings": {"max_retries": 0, "timeout": 90},
            "experiment_name": "exp",
            "tags": {"a": 1},
            "overwrite": True,
        }
    )
    assert invocation_body(invocation) == {
        "properties": {
            "inputData": {"heart": {"uri": "s3://b/f"}, "level": {"jobInputType": "literal", "value": 0}},
            "outputData": {"score": {"jobOutputType": "uri_file", "uri": "s3://b/p.csv"}},
            "compute": {"instanceCount": 4},
            "retrySettings": {"maxRetries": 0, "timeout": "PT90S"},
            "properties": {"experimentName": "exp"},
            "name": "mine",
            "tags": {"a": "1"},
            "overwrite": True,
        }
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "either input or inputs"),
        ({"input": "s3://b/f", "mini_batch_sice": 3}, "did you mean 'mini_batch_size'"),
        ({"input": "s3://b/f", "error_threshold": -2}, "error_threshold"),
        ({"input": "does/not/exist"}, "does not exist"),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_anything_is_sent(server, client, given, told):
    with pytest.raises((SpecError, InvocationError), match=told):
        client.invoke("tumor", **given)
    assert not [request for request in server.received if request[0] == "POST"]


@pytest.mark.parametrize("path", ["data", "./data", "/data/x.csv", "~/data", "x:y"])
def test_paths_on_this_machine(path):
    assert is_local(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "s3://b/f",
        "azureml:heart:1",
        "azureml://datastores/d/paths/p",
        "/subscriptions/s/data/d/versions/1",
        "${{x}}",
    ],
)
def test_paths_that_are_somewhere_else(path):
    assert not is_local(path)


def test_names_are_quoted_in_paths():
    assert at("jobs", "a/b c") == "/jobs/a%2Fb%20c"


def zstd(text):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv.gz", gzip.compress(b"a,b\n1,x\n")),
        ("p.csv.bz2", bz2.compress(b"a,b\n1,x\n")),
        ("p.jsonl.zst", zstd(b'{"a": 1, "b": "x"}\n')),
    ],
    ids=["gzip", "bzip2", "zstd"],  # not the content, in which gzip puts the time: processes must agree on names
)
def test_rows_of_compressed_text_are_read(server, client, name, content):
    files = {"uri": "s3://b/o", "value": [{"path": name, "size": len(content)}]}
    server.answers = [(200, DONE), (200, files), (200, content)]
    output = client.job("one").outputs["score"]
    assert output.to_pandas().to_dict("list") == {"a": [1], "b": ["x"]}


def test_rows_in_azures_layout_are_not_read_as_if_they_had_a_header(server, client):
    files = {"uri": "s3://b/o", "format": "azureml", "value": [{"path": "predictions.csv", "size": 9}]}
    server.answers = [(200, DONE), (200, files)]
    with pytest.raises(NotFound, match=r"is in Azure ML's layout(.|\n)*sep=' ', header=None"):
        client.job("one").outputs["score"].to_pandas()
