"""A server on this machine is started and ended, on a Ray of its own or on a cluster that runs already."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import ipaddress
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

from batch_endpoints.cli.home import make_token, open_home
from batch_endpoints.cli.local_ray import (
    LocalRay,
    access_variables,
    free_ports,
    start_ray,
    stop_ray,
    without_ray_access,
)
from batch_endpoints.cli.running_server import RunningServer, read_server, server_file, write_server
from batch_endpoints.cli.steps import Steps
from batch_endpoints.cli.terminal import echo
from batch_endpoints.errors import Conflict, Refused
from batch_endpoints.settings import DEFAULT_PORT, PRIVATE_UMASK, Settings, default_max_running_jobs


def start_server(
    settings: Settings,
    steps: Steps,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    ray_address: str = "",
    insecure: bool = False,
    tls: bool = False,
) -> RunningServer:
    """Start a server and wait until it answers.

    Args:
        steps: end what is started here, unless it is kept.
        ray_address: an existing cluster; "" starts one.
        tls: speak HTTPS, with a certificate by the home's own authority.

    Raises:
        Refused: it would listen beyond loopback without authentication.
        Conflict: the port is taken, or another ``up`` is at work.
        ServerError: Ray did not start.
    """
    if not tls:
        _check_host(host, insecure, steps.say)
    os.umask(PRIVATE_UMASK)  # also of all that Ray starts: the server, drivers, workers
    open_home(settings.home, steps.say)
    own: LocalRay | None = None
    server_id, url = uuid.uuid4().hex, f"{'https' if tls else 'http'}://{_called(host)}:{port}"
    lock = _lock(settings.home)
    steps.undo.callback(lock.close)
    if clear_away(settings.home):
        steps.say("The server that was up here has been killed; clearing away what it left")
    _check_port_free(host, port)
    from batch_endpoints.records import migrate

    migrate(settings.database_url)
    make_token(settings.token_at_home)
    certificates = _certificates(settings, host) if tls else None
    # this process talks to that cluster only; before Ray is imported, which reads it
    os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"  # it ends this process at a SIGTERM, and nothing else
    if not ray_address:
        make_token(settings.ray_token_at_home)
        opened = without_ray_access(os.environ) | access_variables(settings.ray_token_at_home)
        os.environ.clear()
        os.environ.update(opened)
    importing = threading.Thread(target=import_module, args=("batch_endpoints.ingress.serve",))
    importing.start()  # takes as long as Ray does
    steps.undo.callback(importing.join)
    if not ray_address:
        steps.say("Starting Ray")
        steps.undo.callback(server_file(settings.home).unlink, missing_ok=True)
        own = start_ray(settings.home / "logs" / "ray.log", settings.ray_token_at_home, steps)
        ray_address, dashboard = own.address, own.dashboard
        # from now on `down` finds it, even if this process is killed
        write_server(settings.home, RunningServer(server_id, url, ray_address, dashboard, own))
        os.environ["RAY_TMPDIR"] = own.folder
    with steps.waiting():
        importing.join()
    from batch_endpoints.ingress import serve

    if own is None:
        dashboard = serve.dashboard_of(ray_address)
    steps.say("Starting the server")
    running = RunningServer(server_id, url, ray_address, dashboard, own)
    loopback = (host, "127.0.0.1", "localhost", "::1")
    config = serve.ServerConfig(
        settings=_with_limit(settings),
        server_id=running.id,
        dashboard=dashboard,
        allowed_hosts=loopback if _is_loopback(host) else (),
        local_paths=_is_loopback(host),
    )
    with steps.waiting():
        serve.deploy(config, ray_address=ray_address, host=host, port=port, certificates=certificates)
    write_server(settings.home, running)
    lock.close()
    return running


def end_interrupted() -> NoReturn:
    """End this process at once: threads of a connection to Ray that was broken off crash a slow end."""
    echo("ERROR: interrupted; what was started has been ended", err=True, fg="red")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + signal.SIGINT)


def stop_server(home: Path, running: RunningServer) -> None:
    """End a server, and the Ray that was started for it."""
    if running.ray is not None:
        stop_ray(running.ray)
    else:
        from batch_endpoints.ingress import serve

        serve.withdraw(ray_address=running.ray_address)
    server_file(home).unlink(missing_ok=True)


def clear_away(home: Path) -> RunningServer | None:
    """End what a server has left whose head was killed: it would keep the port, and score on unseen.

    Returns: the server that was; None where there was none, or its Ray is not ours.
    """
    lost = read_server(home)
    server_file(home).unlink(missing_ok=True)
    if lost is None or lost.ray is None:
        return None
    stop_ray(lost.ray)
    return lost


def _lock(home: Path) -> TextIO:
    """Refuse the second of two that start a server in one home: each would take the other's jobs for lost."""
    lock = (home / "up.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Conflict(f"another `up` is starting a server in {home} right now", mend="Wait for it.") from None
    return lock


def port_or_free_one(port: int) -> int:
    """The port if it is free, otherwise any that is."""
    try:
        _check_port_free("127.0.0.1", port)
    except Conflict:
        return free_ports(1)[0]
    return port


def _with_limit(settings: Settings) -> Settings:
    if settings.max_running_jobs:
        return settings
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            memory = min(memory, int(Path(file).read_text()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return dataclasses.replace(settings, max_running_jobs=default_max_running_jobs(memory, cores))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_host(host: str, insecure: bool, say: Callable[[str], None]) -> None:
    if _is_loopback(host):
        return
    if not insecure:
        raise Refused(
            f"the server would listen on {host}, where others reach it: whoever reads the token from the network, "
            "which is not encrypted, runs code as the server",
            mend="Leave --host out, or say --insecure where the network itself keeps others out.",
        )
    say(
        f"Listening on {host} without encryption: whoever reaches the port and has seen the token runs code as the "
        "server; the token is demanded there too"
    )


def _check_port_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"cannot listen on port {port} of {host}: {error.strerror}", mend="Name another one with --port."
            ) from None


def _certificates(settings: Settings, host: str) -> tuple[str, str]:
    """The server's certificate and key, for each name that this machine is called by."""
    from batch_endpoints.cli.certificates import make_certificates

    names = [
        *([] if host in ("0.0.0.0", "::") else [host]),
        "localhost",
        "127.0.0.1",
        "::1",
        socket.gethostname(),
        socket.getfqdn(),
    ]
    made = make_certificates(settings.tls_at_home, names, datetime.now(timezone.utc))
    return str(made.certificate), str(made.key)


def _called(host: str) -> str:
    return f"[{host}]" if ":" in host else host
