"""Who has neither of the two tokens gets nowhere, on the machine itself as from elsewhere."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
import requests

from batch_endpoints.cli.local_ray import LocalRay, processes_of

PROC = Path("/proc")
LISTENS = "0A"

pytestmark = pytest.mark.skipif(not (PROC / "net/tcp").exists(), reason="this system has no /proc/net")


def address(text):
    """An address as the kernel prints it: words of four bytes in the machine's order."""
    words = bytes.fromhex(text)
    found = ipaddress.ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))
    return getattr(found, "ipv4_mapped", None) or found


def listeners(server):
    """Address and port of each socket that a process of the session listens on."""
    session = LocalRay(**json.loads((server.home / "server.json").read_text())["ray"])
    sockets = set()
    for pid, _ in processes_of(session):
        for descriptor in (PROC / str(pid) / "fd").glob("*"):
            try:
                sockets.add(os.readlink(descriptor))
            except FileNotFoundError:  # closed, or the process has ended
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS and f"socket:[{inode}]" in sockets:
                host, _, port = local.partition(":")
                found.add((address(host), int(port, 16)))
    return found


def test_all_listeners_of_the_session_are_on_loopback(server):
    found = listeners(server)
    assert len(found) >= 10  # the GCS, raylet, dashboard, agents, Serve's proxy and replicas
    assert [f"{host}:{port}" for host, port in found if not host.is_loopback] == []


def test_ray_tells_nothing_to_who_has_not_its_token(server):
    """Each port is asked as if it spoke HTTP; those that speak gRPC end the connection.

    Two give Prometheus their numbers, whatever the path: docs/security.md says so.
    """
    told = []
    for _, port in listeners(server):
        for path in ("/api/jobs/", "/nodes?view=summary", "/api/job_agent/jobs/", "/logs", "/jobs"):
            try:
                answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)
            except requests.RequestException:
                break
            if answer.ok and not answer.text.startswith("# HELP"):
                told.append((port, path, answer.text[:80]))
    assert told == []
    assert requests.get(f"{server.dashboard}/api/jobs/", timeout=30).status_code == 401
    job = {"entrypoint": "true"}
    assert requests.post(f"{server.dashboard}/api/jobs/", json=job, timeout=30).status_code == 401


def test_what_the_command_line_prints_lets_ray_job_submit_in(server):
    command = f'eval "$({shlex.join(server.command("token", "--ray"))})" && ray job submit -- echo "let in"'
    path = f"{Path(server.command()[0]).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], env={**server.environment, "PATH": path}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "let in\n" in done.stdout


def test_nobody_else_can_read_what_the_server_has(server, deploy, numbered_files):
    endpoint = deploy("private", "def run(mini_batch):\n    return [len(mini_batch)] * len(mini_batch)\n")
    server.client.invoke(endpoint, input=str(numbered_files(2))).wait(timeout_seconds=240)
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
    open_to_others = [
        path for path in server.home.rglob("*") if not path.is_symlink() and path.stat().st_mode & stat.S_IRWXO
    ]
    assert open_to_others == []


def test_the_token_is_printed_for_other_programs(server):
    token = server("token").strip()
    answer = requests.get(f"{server.url}/jobs", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200
