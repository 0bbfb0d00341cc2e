"""Connections that stall, against uvicorn as Serve's proxy runs it."""

import asyncio
import select
import socket
import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from batch_endpoints.ingress import proxy_hook
from batch_endpoints.ingress.proxy_hook import READ_AHEAD_BYTES, ServeDoors, StalledBodies, cut_stalled_heads

SOON, LATE = 0.3, 600.0


class Application:
    """Answers how large the body was and which headers it saw; keeps what it has been asked."""

    def __init__(self):
        self.begun, self.disconnected, self.go_on = [], threading.Event(), threading.Event()

    async def __call__(self, scope, receive, send):
        self.begun.append(scope["path"])
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        seen = " ".join(sorted(name.decode() for name, _ in scope["headers"] if name.startswith(b"x-")))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (f"{size} {seen}".encode(), b" slow"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if scope["path"] == "/held":
                await asyncio.to_thread(self.go_on.wait, 120)
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def serving(protocol, *, head=LATE, body=LATE):
    """The application behind the middlewares; a short time for what is looked at, a long one for the rest."""
    application = Application()
    watched = type("Watched", (protocol,), {})
    cut_stalled_heads(watched, head)
    app = ServeDoors(StalledBodies(application, seconds=body))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=watched, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        application.address = listening.getsockname()
        application.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield application
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listening.close()


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol])
def protocol(request):
    return request.param


def connect(application, data):
    connection = socket.create_connection(application.address, timeout=120)
    connection.sendall(data)
    return connection


def rest(connection):
    """All that comes until the server closes."""
    with connection, connection.makefile("rb") as answer:
        try:
            return answer.read()
        except ConnectionResetError:
            return b""


HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"abc"], ids=["nothing", "a part"])
def test_a_body_that_stalls_is_answered_408_and_never_takes_a_place(protocol, sent):
    with serving(protocol, body=SOON) as application:
        answer = rest(connect(application, HEAD % 10 + sent))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"RequestTimeout"' in answer
    assert application.begun == []


def test_a_large_body_that_stalls_later_is_answered_408_as_well(protocol):
    with serving(protocol, body=SOON) as application:
        answer = rest(connect(application, HEAD % 10_000_000 + b"x" * (2 * READ_AHEAD_BYTES)))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert application.disconnected.wait(60)


def test_a_chunked_body_that_stalls_is_answered_408(protocol):
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(protocol, body=SOON) as application:
        assert rest(connect(application, head + b"3\r\nabc\r\n")).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "], ids=["nothing", "a part"])
def test_a_head_that_stalls_is_cut(protocol, sent):
    with serving(protocol, head=SOON) as application:
        assert rest(connect(application, sent)) == b""
    assert application.begun == []


def test_a_head_that_trickles_is_cut(protocol):
    with serving(protocol, head=SOON) as application:
        connection = connect(application, b"GET / HTTP/1.1\r\nHost: x\r\n")
        while not select.select([connection], [], [], SOON / 10)[0]:  # until the server closes it
            connection.sendall(b"X-A: b\r\n")
        assert rest(connection) == b""


def test_the_head_of_a_later_request_is_cut_too(protocol):
    with serving(protocol, head=SOON) as application:
        connection = connect(application, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b" slow" not in answer:
            answer += connection.recv(1000)
        connection.sendall(b"GET /2 HTTP/1.1\r\nHost:")
        assert b"HTTP/1.1" not in rest(connection)
    assert application.begun == ["/1"]


def test_what_does_not_stall_is_not_touched(protocol):
    with serving(protocol, head=LATE, body=LATE) as application, httpx.Client(base_url=application.url) as http:
        for size in (0, 1, READ_AHEAD_BYTES, READ_AHEAD_BYTES + 1, 5_000_000):
            assert http.post("/x", content=b"x" * size).text == f"{size}  slow"
        assert http.post("/x", content=iter([b"a", b"b" * 100_000])).text == "100001  slow"


def test_an_answer_that_takes_long_is_not_cut(protocol):
    """The times are for what a client sends: an answer may take many of them."""
    with serving(protocol, head=SOON, body=SOON) as application:
        connection = connect(application, (HEAD % 0).replace(b"/x", b"/held"))
        first = connection.recv(1000)
        for _ in range(3):  # each takes as long as a client may be silent
            assert b" 408 " in rest(connect(application, HEAD % 10))
        application.go_on.set()
        while b" slow" not in first:
            first += (more := connection.recv(1000))
            assert more
        connection.close()


def test_hints_for_serve_do_not_come_from_clients(protocol):
    hints = {"X-Request-Timeout-Seconds": "0", "x-request-disconnect-disabled": "1", "X-Other": "1"}
    with serving(protocol) as application:
        assert httpx.get(f"{application.url}/x", headers=hints).text == "0 x-other slow"


@pytest.mark.parametrize("path", ["/-/routes", "/-/routes/", "/%2D/routes"])
def test_the_list_of_applications_is_closed(protocol, path):
    with serving(protocol) as application:
        answer = httpx.get(application.url + path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")
    assert application.begun == []


def test_serve_gets_what_it_asks_the_hook_for(monkeypatch):
    watched = []
    monkeypatch.setattr(proxy_hook, "cut_stalled_heads", lambda protocol, seconds: watched.append(protocol))
    assert [middleware.cls for middleware in proxy_hook.middlewares()] == [StalledBodies, ServeDoors]
    assert watched == [H11Protocol, HttpToolsProtocol]
