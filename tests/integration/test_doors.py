"""Which requests the server lets in."""

import os
import pickle
import re
import socket
import subprocess
import sys

import httpx
import pytest
from ingress_server import TOKEN, running_server
from starlette.routing import Mount, Route

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.errors import NotAuthenticated
from batch_endpoints.ingress.authentication import FREE, Authentication
from batch_endpoints.policies.passes import issue_pass
from batch_endpoints.settings import Settings

SIGNED = ("/blob/", "/azure-logs/")
AZURE_CONSTANTS = ("/metadata/endpoints", "/discovery/{workspace}")
"""What Azure's client asks without a token; see test_azure_doors.py."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("doors"), allowed_hosts=("127.0.0.1", "localhost")) as running:
        yield running


@pytest.fixture
def stranger(server):
    with httpx.Client(base_url=server.url) as http:
        yield http


def send(server, head, body=b""):
    """The status of the answer to a request that no library would send."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        lines = "\r\n".join((*head, f"Content-Length: {len(body)}", "Connection: close", "", ""))
        connection.sendall(lines.encode() + body)
        answer = connection.makefile("rb").read()
    return int(answer.split()[1])


def routes(app):
    """Method and path of each route there is, with something for its parameters."""
    for path, operations in app.openapi()["paths"].items():
        yield from ((method.upper(), re.sub(r"\{[^}]*\}", "x", path)) for method in operations)
    for route in app.routes:  # what the description leaves out: that of itself
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/swagger-ui.css"
        elif isinstance(route, Route):
            yield from ((method, route.path) for method in route.methods)


class TestWithoutAToken:
    def test_every_route_but_two_is_closed(self, server, stranger):
        found = {(method, path): stranger.request(method, path).status_code for method, path in routes(server.app)}
        assert len(found) > 50
        signed = {place for place, status in found.items() if status == 403}
        assert signed == {place for place in found if place[1].startswith(SIGNED)}, "these ask for a signature"
        free = {place for place, status in found.items() if status != 401} - signed
        constants = {(method, path) for method in ("GET", "HEAD") for path in AZURE_CONSTANTS}
        assert free == {("GET", path) for path in FREE} | constants, "only these are free"
        assert {found[place] for place in free} == {200}

    @pytest.mark.parametrize(
        "path", ["/nothing", "/healthz/", "//", "/healthz/../jobs", "/%2e/jobs", "/docs/../jobs"]
    )
    def test_what_is_no_route_is_closed_as_well(self, server, stranger, path):
        assert send(server, [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]) == 401

    def test_the_answer_says_where_a_token_is_looked_for(self, stranger):
        answer = stranger.get("/jobs")
        assert answer.headers["www-authenticate"] == "Bearer"
        error = answer.json()["error"]
        assert error["code"] == "Unauthenticated"
        for place in ("Authorization: Bearer", "`batch-endpoints token`", "BATCH_ENDPOINTS_TOKEN_FILE"):
            assert place in error["message"]

    @pytest.mark.parametrize(
        "given",
        [
            ["Bearer"], ["Bearer "], ["Bearer wrong"], [TOKEN], [f"Basic {TOKEN}"], [f"Bearer {TOKEN}x"],
            ["Bearer t\xf6ken"], [f"Bearer {TOKEN}", "Bearer wrong"],
        ],
    )  # fmt: skip
    def test_what_is_not_the_token_opens_nothing(self, server, given):
        head = ["GET /jobs HTTP/1.1", "Host: 127.0.0.1", *(f"Authorization: {value}" for value in given)]
        assert send(server, head) == 401

    def test_a_websocket_is_closed(self, server):
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        assert send(server, ["GET /jobs HTTP/1.1", "Host: 127.0.0.1", *upgrade, key]) in (401, 403)

    def test_a_body_is_not_read(self, server, stranger):
        answer = stranger.put(f"/uploads/blobs/{'a' * 64}", content=b"x" * 1_000_000)
        assert answer.status_code == 401
        assert not list(server.folder.rglob("a" * 64))


def test_the_sdk_says_where_it_looked(server, tmp_path):
    client = BatchEndpointsClient(server.url, settings=Settings(home=tmp_path))
    with pytest.raises(NotAuthenticated, match=r"wants a token\nLooked for one in: .*ENDPOINTS_TOKEN \(not set\)"):
        next(client.jobs())
    client = BatchEndpointsClient(server.url, settings=Settings(home=tmp_path, token="wrong"))
    with pytest.raises(NotAuthenticated, match="does not know this token"):
        next(client.jobs())
    client = BatchEndpointsClient(server.url, settings=Settings(home=tmp_path, token=TOKEN))
    assert list(client.jobs()) == []


def test_a_server_without_a_token_does_not_start():
    with pytest.raises(ValueError, match="needs a token"):
        Authentication(lambda *_: None, token="")


class TestDocumentationInABrowser:
    @pytest.fixture
    def link(self):
        number = iter(range(100))

        def make(token=TOKEN, kind="link", expires=4_000_000_000):
            return issue_pass(token, kind, expires=expires, nonce=f"{id(number):016x}{next(number):016x}")

        return make

    def test_a_link_opens_it_once_and_leaves_a_session(self, stranger, link):
        once = link()
        answer = stranger.get("/docs", params={"link": once})
        assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        for page in ("/docs", "/redoc", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
            assert stranger.get(page).status_code == 200
        stranger.cookies.clear()
        assert stranger.get("/docs", params={"link": once}).status_code == 401

    def test_a_session_opens_nothing_else(self, stranger, link):
        stranger.get("/docs", params={"link": link()})
        assert stranger.get("/jobs").status_code == 401
        assert stranger.post("/jobs/x/cancel").status_code == 401
        assert stranger.post("/docs").status_code == 401

    @pytest.mark.parametrize(
        "bad", [{"token": "another"}, {"kind": "session"}, {"expires": 1000}], ids=lambda bad: next(iter(bad))
    )
    def test_a_link_that_is_not_ours_or_old_opens_nothing(self, stranger, link, bad):
        answer = stranger.get("/docs", params={"link": link(**bad)})
        assert answer.status_code == 401
        assert "`batch-endpoints status` prints a link" in answer.json()["error"]["message"]


class TestRequestsOfABrowser:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "http://127.0.0.1.evil.example"},
        ],
        ids=lambda headers: " ".join(headers.values()),
    )
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_a_page_of_another_origin_changes_nothing(self, server, method, headers):
        answer = server.http.request(method, "/jobs/x/cancel", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Refused")

    def test_a_page_of_the_server_itself_may_try_its_documentation(self, server):
        headers = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        assert server.http.post("/jobs/x/cancel", headers=headers).status_code == 404

    def test_reading_is_answered_without_a_permission_to_read_the_answer(self, server):
        answer = server.http.get("/jobs", headers={"Origin": "http://evil.example"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["127.0.0.1"], 200),
        (["localhost:8700"], 200),
        ([], 400),
        (["127.0.0.1", "127.0.0.1"], 400),
        (["127.0.0.1", "evil.example"], 400),
        (["evil.example"], 403),
        (["[127.0.0.1"], 200),
    ],
)
def test_a_request_names_one_host_and_it_is_this_one(server, hosts, status):
    assert send(server, ["GET / HTTP/1.1", *(f"Host: {host}" for host in hosts)]) == status


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("text/plain; application/json", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("place", ["POST /endpoints/x/jobs", "POST /jobs/x/cancel", "POST /jobs/x/resume"])
def test_a_body_has_to_say_that_it_is_json(server, place, kind, taken):
    method, path = place.split()
    body = b'{"properties": {}}'
    answer = server.http.request(method, path, content=body, headers={"content-type": kind} if kind else {})
    message = answer.json()["error"]["message"]
    assert (answer.status_code == 400 and "the header content-type" in message) is not taken


@pytest.mark.parametrize(
    ("kind", "taken"),
    [(None, True), ("application/octet-stream", True), ("text/plain", False), ("multipart/form-data", False)],
)
def test_a_file_does_not_say_that_it_is_a_form(server, kind, taken):
    headers = {"content-type": kind} if kind else {}
    answer = server.http.put(f"/uploads/blobs/{'0' * 64}", content=b"x", headers=headers)
    assert ("the header content-type" in answer.text) is not taken


def test_the_interface_says_that_it_wants_a_token(server):
    described = server.http.get("/openapi.json").json()
    assert described["security"] == [{"token": []}]
    assert described["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}


ON_ANOTHER_NODE = "import pickle, sys; print(len(list(pickle.load(sys.stdin.buffer).endpoints.list())), 'endpoints')"


def run_there(server, here, **variables):
    """Send a client that holds the token to a process where there is no home of the server, and let it ask there."""
    client = BatchEndpointsClient(server.url, settings=Settings(here / "home", token=TOKEN))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_ENDPOINTS_")}
    return subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_NODE],
        input=pickle.dumps(client),
        env={**kept, "BATCH_ENDPOINTS_HOME": str(here / "nothing"), **variables},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("variable", ["BATCH_ENDPOINTS_TOKEN", "BATCH_ENDPOINTS_TOKEN_FILE"])
def test_a_client_that_was_sent_to_another_node_takes_the_token_that_is_there(server, tmp_path, variable):
    (tmp_path / "secret").write_text(f"{TOKEN}\n")
    value = str(tmp_path / "secret") if variable.endswith("FILE") else TOKEN
    done = run_there(server, tmp_path, **{variable: value})
    assert done.stdout.split()[1:] == [b"endpoints"], done.stderr.decode()


def test_a_client_that_was_sent_where_there_is_no_token_is_refused_with_all_places(server, tmp_path):
    done = run_there(server, tmp_path)
    assert done.returncode != 0
    for place in ("/home/token (not used", "BATCH_ENDPOINTS_TOKEN (not set)", "BATCH_ENDPOINTS_TOKEN_FILE (not set)"):
        assert place in done.stderr.decode()
