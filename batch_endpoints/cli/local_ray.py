"""A Ray cluster of our own on this machine: one supervised head process, with its own ports and temporary folder.

Nothing here touches another Ray: the head gets free ports and a folder of its own (two clusters that share one
redirect each other's ``ray.init``), and is ended by its process id. Nobody else reaches it: all its listeners are on
loopback, and answer only to who has the token in a file of ours.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests

from batch_endpoints.cli.steps import Steps
from batch_endpoints.errors import ServerError

PROC = Path("/proc")  # where there is none (macOS), `ps` tells the same
START_SECONDS = 180.0
START_TRIES = 2
STOP_SECONDS = 20.0
_PORTS = range(20_000, 32_768)
_ELSEWHERE = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_JOB_HEADERS", "RAY_AUTH_TOKEN")


@dataclass(frozen=True)
class LocalRay:
    """A head that runs.

    Args:
        pid: of the process that ends them all.
        began: when it was started, as the system tells it: a pid alone may mean another process by now.
        folder: its temporary folder.
    """

    pid: int
    began: str
    folder: str
    address: str
    dashboard: str


def access_variables(token_file: Path) -> dict[str, str]:
    """What the head, and whatever talks to it, must have in its environment before Ray is imported."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Without this Ray takes 127.0.0.1 for "any address" and listens on all of them. The name is misleading: "0"
        # keeps the node's address on every system, and the head then takes no other nodes.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def without_ray_access(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment that does not lead to a Ray cluster of the user's, nor to a token other than our own."""
    return {name: value for name, value in environment.items() if name not in _ELSEWHERE}


def start_ray(log: Path, token_file: Path, steps: Steps) -> LocalRay:
    """Start a head, which the steps end again unless it is kept, and wait until it takes jobs.

    One that ends by itself is started once more: Ray gives up where a step of its start takes more than 30 seconds,
    as on a busy machine it may, or where another program was faster with one of its ports.

    Args:
        log: file for what it prints.
        token_file: its content is the token that the head asks for.

    Raises:
        ServerError: it ended, or was not up in time.
    """
    tries = 0
    while True:
        tries += 1
        process, ray, agent = _begin(log, token_file)
        steps.undo.callback(stop_ray, ray)
        with steps.waiting():
            if _comes_up(process, ray, agent, token_file.read_text().strip()):
                return ray
        ended = process.poll()
        stop_ray(ray)
        if ended is None:
            raise ServerError(f"Ray was not up after {START_SECONDS:g} seconds", mend=_last_lines(log))
        if tries == START_TRIES:
            raise ServerError(f"Ray did not start (exit code {ended})", mend=_last_lines(log))


def is_running(ray: LocalRay) -> bool:
    """Does the head still run?"""
    return bool(ray.began) and _began(ray.pid) == ray.began


def stop_ray(ray: LocalRay) -> None:
    """End a head and all that it started, also what a head that was killed has left; harmless when all have ended."""
    ours = set(processes_of(ray))
    if is_running(ray):
        os.kill(ray.pid, signal.SIGTERM)  # it drains and ends its processes
        deadline = time.monotonic() + STOP_SECONDS
        while is_running(ray) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(ray.pid, os.WNOHANG)  # it may be a child of this process
            time.sleep(0.05)
    deadline = time.monotonic() + STOP_SECONDS
    while ours and time.monotonic() < deadline:
        _kill(ours)
        ours = processes_of(ray)  # what they started meanwhile
    shutil.rmtree(ray.folder, ignore_errors=True)


def processes_of(ray: LocalRay) -> set[tuple[int, str]]:
    """All that a head has started, each with when it was started; also when it has been killed itself.

    Most carry its folder in their environment, the drivers of jobs among them. Ray's workers write their titles over
    theirs, and are known by the head's session, unless that number may be another session's by now. Hosts of jobs
    have an environment and a session of their own, and are found below these.
    """
    processes = list(_running_processes(f"RAY_TMPDIR={ray.folder}"))
    session = [one for one in processes if one.session == ray.pid]
    sure = is_running(ray) or any(one.marked for one in session)
    ours = {one.pid for one in processes if one.marked or (sure and one in session)}
    while more := {one.pid for one in processes if one.parent in ours} - ours:
        ours |= more
    return {(one.pid, one.began) for one in processes if one.pid in ours}


def _kill(processes: Iterable[tuple[int, str]]) -> None:
    """Kill those that still run, and wait until they have let go of their ports."""
    left = [(pid, began) for pid, began in processes if began and _began(pid) == began]
    for pid, _ in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + STOP_SECONDS
    while any(_began(pid) == began for pid, began in left) and time.monotonic() < deadline:
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Different TCP ports of loopback that nobody listens on.

    They lie below those that Linux and macOS give to outgoing connections, of which one could take a port in the
    time between this answer and its use; and above those that Ray gives to its workers.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise ServerError(f"there are no {count} free ports between {_PORTS.start} and {_PORTS.stop - 1}")


def _begin(log: Path, token_file: Path) -> tuple[subprocess.Popen[bytes], LocalRay, int]:
    """A head that is about to come up, with the port of its agent."""
    # the paths of Ray's sockets lie below and may have 107 characters
    folder = tempfile.mkdtemp(prefix="be-", dir="/tmp" if os.path.isdir("/tmp") else None)
    gcs, dashboard, agent, client = free_ports(4)
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats",
        "--node-ip-address=127.0.0.1", f"--port={gcs}", f"--temp-dir={folder}/ray",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={client}",
    ]  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(folder, token_file),
            start_new_session=True,  # Ctrl-C is for us: we end it in order
        )
    ray = LocalRay(process.pid, _began(process.pid), folder, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}")
    return process, ray, agent


def _environment(folder: str, token_file: Path) -> dict[str, str]:
    scratch = Path(folder) / "scratch"
    scratch.mkdir()
    return {
        **without_ray_access(os.environ),
        "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "0",  # a worker that crashes prints its stack
        **access_variables(token_file),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "batch_endpoints.ingress.proxy_hook.middlewares",
        "RAY_TMPDIR": folder,
        # a driver that is told to end ends its workers, within 5 seconds, and writes its report; Ray would kill it
        # after 3
        "RAY_JOB_STOP_WAIT_TIME_S": "20",
        "TMPDIR": str(scratch),  # what workers leave behind when they are killed goes with the folder
        "RAY_DISABLE_IMPORT_WARNING": "1",
        # a Ray worker would otherwise talk of GPUs it does not have
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # one node has nowhere to move its work to: `down` need not wait for that
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def _comes_up(process: subprocess.Popen[bytes], ray: LocalRay, agent: int, token: str) -> bool:
    """Waits until it does, or ends, or there is no time left."""
    urls = (f"{ray.dashboard}/api/jobs/", f"http://127.0.0.1:{agent}/api/local_raylet_healthz")
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if all(_answers(url, token) for url in urls):
            return True
        time.sleep(0.1)
    return False


def _answers(url: str, token: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a password from ~/.netrc
            return session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=2).ok
    except requests.RequestException:
        return False


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return f"Its last words ({log}):\n" + "\n".join(lines)


def _began(pid: int) -> str:
    """When a process was started; "" when there is none (or it is only waiting to be reaped)."""
    if PROC.is_dir():
        stat = _stat(pid)
        return "" if stat.ended else stat.began
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, began = told.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int
    began: str
    marked: bool


def _running_processes(mark: str) -> Iterator[_Process]:
    """Args: mark: what is looked for in their environments."""
    if PROC.is_dir():
        for entry in PROC.iterdir():
            if entry.name.isdecimal() and (stat := _stat(int(entry.name))).began:
                with contextlib.suppress(OSError):  # it has ended, or is not ours to look into
                    marked = mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                    yield _Process(int(entry.name), stat.parent, stat.session, stat.began, marked)
        return
    told = subprocess.run(
        ["ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,sess=,command="], capture_output=True, text=True
    )
    for line in told.stdout.splitlines():
        pid, parent, session, command = line.split(None, 3)
        yield _Process(int(pid), int(parent), int(session), _began(int(pid)), mark in command.split())


class _Stat(NamedTuple):
    """Parent, session and start time (clock ticks since boot) of a process; -1 and "" where there is none."""

    ended: bool
    parent: int = -1
    session: int = -1
    began: str = ""


def _stat(pid: int) -> _Stat:
    try:
        # the name in parentheses may hold anything; fields are counted behind it (proc(5))
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return _Stat(ended=True)
    # a zombie with threads is being killed: they hold its ports and files still
    ended = fields[0] == "Z" and fields[17] == "1"
    return _Stat(ended, parent=int(fields[1]), session=int(fields[3]), began=fields[19])
