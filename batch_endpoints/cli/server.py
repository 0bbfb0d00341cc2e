"""``up``, ``down``, ``status``: a server on this machine, on a Ray of its own or on a cluster that runs already."""

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
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click

from batch_endpoints.cli.grammar import Verb
from batch_endpoints.cli.local_ray import LocalRay, free_ports, start_ray, stop_ray
from batch_endpoints.cli.running_server import (
    RunningServer,
    find_server,
    read_server,
    server_file,
    unfinished_jobs,
    write_server,
)
from batch_endpoints.errors import Conflict, Refused
from batch_endpoints.settings import DEFAULT_PORT, Settings, default_max_running_jobs


@click.command(cls=Verb)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="TCP port.")
@click.option("--ray-address", default="", metavar="HOST:PORT", help="Use this Ray cluster instead of a new one.")
@click.option("--insecure", is_flag=True, help="Listen beyond loopback although there is no authentication.")
@click.pass_context
def up(context: click.Context, host: str, port: int, ray_address: str, insecure: bool) -> dict[str, Any]:
    """Start a server on this machine, with a Ray of its own unless --ray-address names one.

    It goes on running when this command ends; `batch-endpoints down` ends it.
    """
    home = Settings.read()
    running = find_server(home.home)
    if running is not None:
        given = context.get_parameter_source("port") == click.core.ParameterSource.COMMANDLINE
        if given and urlsplit(running.url).port != port:
            raise Conflict(
                f"a server of this home is up at {running.url}, not on port {port}",
                mend="End it with `batch-endpoints down`, or name another home with BATCH_ENDPOINTS_HOME.",
            )
        click.echo(f"A server is up already at {running.url}; `batch-endpoints down` ends it.", err=True)
        return _shown(running)
    try:
        started = start_server(home, host=host, port=port, ray_address=ray_address, insecure=insecure, say=_say)
    except KeyboardInterrupt:
        end_interrupted()
    return _shown(started)


@click.command(cls=Verb)
def down() -> None:
    """End what `up` started, and nothing else. Jobs that were running go on with the next `up`."""
    home = Settings.read().home
    running = find_server(home)
    if running is None:
        killed = _clear_away(home)
        told = f"The server at {killed.url} had been killed; ended what it left." if killed else "Nothing is up."
        click.echo(told, err=True)
        return
    unfinished = unfinished_jobs(running)
    stop_server(home, running)
    click.echo(f"Ended the server at {running.url}.", err=True)
    if unfinished:
        click.echo(
            f"Jobs that have not ended: {unfinished}; they go on with the next `batch-endpoints up`.", err=True
        )


@click.command(cls=Verb)
@click.pass_context
def status(context: click.Context) -> dict[str, Any]:
    """Show the server that `up` started on this machine, and its jobs. Exit code 1 when none is up."""
    running = find_server(Settings.read().home)
    if running is None:
        click.echo("Nothing is up; `batch-endpoints up` starts a server.", err=True)
        context.exit(1)
    from batch_endpoints.client import BatchEndpointsClient

    counts: dict[str, int] = {}
    for job in BatchEndpointsClient(running.url).jobs():
        counts[job.status] = counts.get(job.status, 0) + 1
    return {**_shown(running), "jobs": counts}


def start_server(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    ray_address: str = "",
    insecure: bool = False,
    say: Callable[[str], None],
) -> RunningServer:
    """Start a server and wait until it answers.

    Args:
        ray_address: an existing cluster; "" starts one.
        say: is told each step, for people.

    Raises:
        Refused: it would listen beyond loopback without authentication.
        Conflict: the port is taken, or another ``up`` is at work.
        ServerError: Ray did not start; nothing is left of it.
    """
    _check_host(host, insecure)
    settings.home.mkdir(parents=True, exist_ok=True)
    own: LocalRay | None = None
    server_id, url = uuid.uuid4().hex, f"http://{_named(host)}:{port}"
    with _alone(settings.home), contextlib.ExitStack() as undo:
        if _clear_away(settings.home):
            say("The server that was up here has been killed; clearing away what it left")
        _check_port_free(host, port)
        from batch_endpoints.stores import migrate

        migrate(settings.database_url)
        # this process talks to that cluster only; before Ray is imported, which reads it
        if not ray_address:
            os.environ["RAY_AUTH_MODE"] = "disabled"
        importing = threading.Thread(target=import_module, args=("batch_endpoints.ingress.serve",))
        importing.start()  # takes as long as Ray does
        undo.callback(importing.join)
        if not ray_address:
            say("Starting Ray")
            own = start_ray(settings.home / "logs" / "ray.log")
            undo.callback(stop_ray, own)
            ray_address, dashboard = own.address, own.dashboard
            # from now on `down` finds it, even if this process is killed
            write_server(settings.home, RunningServer(server_id, url, ray_address, dashboard, own))
            undo.callback(server_file(settings.home).unlink, missing_ok=True)
            os.environ["RAY_TMPDIR"] = own.folder
        from batch_endpoints.ingress import serve

        if own is None:
            dashboard = serve.dashboard_of(ray_address)
        say("Starting the server")
        running = RunningServer(server_id, url, ray_address, dashboard, own)
        loopback = (host, "127.0.0.1", "localhost", "::1")
        config = serve.ServerConfig(
            settings=_with_limit(settings),
            server_id=running.id,
            dashboard=dashboard,
            allowed_hosts=loopback if _is_loopback(host) else (),
            local_paths=_is_loopback(host),
        )
        serve.deploy(config, ray_address=ray_address, host=host, port=port)
        write_server(settings.home, running)
        undo.pop_all()
    return running


def end_interrupted() -> NoReturn:
    """End this process at once: threads of a connection to Ray that was broken off crash a slow end."""
    click.secho("ERROR: interrupted; what was started has been ended", err=True, fg="red")
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


def _clear_away(home: Path) -> RunningServer | None:
    """End what a server has left whose head was killed: it would keep the port, and score on unseen.

    Returns: the server that was; None where there was none, or its Ray is not ours.
    """
    lost = read_server(home)
    server_file(home).unlink(missing_ok=True)
    if lost is None or lost.ray is None:
        return None
    stop_ray(lost.ray)
    return lost


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Of two that start a server in one home, the second is refused: each would take the other's jobs for lost."""
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"another `up` is starting a server in {home} right now", mend="Wait for it.") from None
        yield


def port_or_free_one(port: int) -> int:
    """The port if it is free, otherwise any that is."""
    try:
        _check_port_free("127.0.0.1", port)
    except Conflict:
        return free_ports(1)[0]
    return port


def _shown(running: RunningServer) -> dict[str, Any]:
    return {
        "url": running.url,
        "docs": f"{running.url}/docs",
        "ray_address": running.ray_address,
        "ray_dashboard": running.dashboard,
    }


def _say(step: str) -> None:
    click.echo(f"{step} ...", err=True)


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


def _check_host(host: str, insecure: bool) -> None:
    if not _is_loopback(host) and not insecure:
        raise Refused(
            f"the server would listen on {host}, where others can reach it, and there is no authentication yet",
            mend="Leave --host out, or say --insecure where the network itself keeps others out.",
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


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
