"""Connections that stall, against the real server: Serve's proxy is prepared by a hook that Ray does not document."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from processes import command_of

from batch_endpoints.cli.local_ray import PROC

MANY = 250


def proxy_memory(server):
    """Bytes that Serve's proxy holds."""
    (pid,) = [pid for pid in server.pids("") if command_of(pid).startswith("ray::ProxyActor")]
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def rest(connection):
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


@pytest.mark.chaos
@pytest.mark.skipif(not PROC.is_dir(), reason="this system has no /proc")
def test_five_hundred_connections_that_stall_neither_stop_the_server_nor_fill_its_memory(server):
    place = urlsplit(server.url)
    token = server.http.headers["Authorization"]
    head = f"POST /endpoints HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: {token}\r\n".encode()
    body = head + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    before = proxy_memory(server)
    with ExitStack() as stack:

        def connect(data):
            connection = stack.enter_context(socket.create_connection((place.hostname, place.port), timeout=300))
            connection.sendall(data)
            return connection

        bodies = [connect(body) for _ in range(MANY)]
        heads = [connect(head) for _ in range(MANY)]
        for path in ("/healthz", "/-/healthz", "/jobs"):
            assert server.http.get(f"{server.url}{path}", timeout=60).ok
        assert proxy_memory(server) - before < 200_000_000
        assert {rest(connection)[:12] for connection in bodies} == {b"HTTP/1.1 408"}
        assert {rest(connection) for connection in heads} == {b""}


def test_serve_itself_answers_nothing_but_that_it_lives(server):
    assert requests.get(f"{server.url}/-/healthz", timeout=30).text == "success"
    assert requests.get(f"{server.url}/-/routes", timeout=30).status_code == 404
    assert server.http.get(f"{server.url}/-/routes", timeout=30).status_code == 404


@pytest.mark.parametrize("hint", ["X-Request-Timeout-Seconds", "X-Request-Disconnect-Disabled"])
def test_clients_give_serve_no_hints(server, hint):
    """Serve would end a request after a millisecond that asks for it."""
    answer = server.http.get(f"{server.url}/jobs", headers={hint: "0.001"}, timeout=60)
    assert answer.status_code == 200
