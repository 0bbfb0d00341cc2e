"""``up``, ``down``, ``status``, ``token``: the server on this machine, as people start, see and end it."""

from __future__ import annotations

import secrets
import shlex
import time
from typing import Any
from urllib.parse import urlsplit

import click

from batch_endpoints.cli.grammar import CommonFlags, Verb
from batch_endpoints.cli.local_ray import access_variables
from batch_endpoints.cli.local_server import clear_away, end_interrupted, start_server, stop_server
from batch_endpoints.cli.running_server import RunningServer, find_server, unfinished_jobs
from batch_endpoints.cli.steps import Steps
from batch_endpoints.cli.terminal import echo
from batch_endpoints.errors import Conflict, NotFound
from batch_endpoints.policies.passes import LINK_SECONDS, issue_pass
from batch_endpoints.settings import DEFAULT_PORT, Settings


@click.command(cls=Verb)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="TCP port.")
@click.option("--ray-address", default="", metavar="HOST:PORT", help="Use this Ray cluster instead of a new one.")
@click.option("--tls", is_flag=True, help="Speak HTTPS; clients on this machine trust its certificate by themselves.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Listen beyond loopback, unencrypted: whoever sees the token there runs code as the server.",
)
@click.pass_context
def up(context: click.Context, host: str, port: int, ray_address: str, tls: bool, insecure: bool) -> dict[str, Any]:
    """Start a server on this machine, with a Ray of its own unless --ray-address names one.

    It goes on running when this command ends; `batch-endpoints down` ends it.
    """
    given = context.get_parameter_source("port") == click.core.ParameterSource.COMMANDLINE
    return start(host=host, port=port, port_given=given, ray_address=ray_address, tls=tls, insecure=insecure)


def start(
    *, host: str, port: int, port_given: bool, ray_address: str = "", tls: bool = False, insecure: bool = False
) -> dict[str, Any]:
    """Start a server, or find the one that is up.

    Returns: what a person wants to know of it.

    Raises:
        Conflict: the one that is up is another one than was asked for.
    """
    home = Settings.read()
    running = find_server(home.home)
    if running is not None:
        other_port = port_given and urlsplit(running.url).port != port
        if other_port or (tls and not running.url.startswith("https:")):
            asked = f"not on port {port}" if other_port else "without TLS"
            raise Conflict(
                f"a server of this home is up at {running.url}, {asked}",
                mend="End it with `batch-endpoints down`, or name another home with BATCH_ENDPOINTS_HOME.",
            )
        echo(f"A server is up already at {running.url}; `batch-endpoints down` ends it.", err=True)
        return _shown(home, running)
    steps = Steps(_say)
    try:
        with steps:
            started = start_server(
                home, steps, host=host, port=port, ray_address=ray_address, insecure=insecure, tls=tls
            )
            steps.keep()
    except BaseException as error:
        if steps.interrupted or isinstance(error, SystemExit):  # what Ray makes of a SIGTERM while it connects
            end_interrupted()
        raise
    return _shown(home, started)


@click.command(cls=Verb)
def ca() -> None:
    """Print the file with the certificate that clients of `up --tls` have to trust."""
    file = Settings.read().authority_at_home
    if not file.exists():
        raise NotFound("this home has no authority", mend="`batch-endpoints up --tls` makes one.")
    echo(str(file))


@click.command(cls=Verb)
def down() -> None:
    """End what `up` started, and nothing else. Jobs that were running go on with the next `up`."""
    settings = Settings.read()
    home = settings.home
    running = find_server(home)
    if running is None:
        killed = clear_away(home)
        told = f"The server at {killed.url} had been killed; ended what it left." if killed else "Nothing is up."
        echo(told, err=True)
        return
    unfinished = unfinished_jobs(running, settings)
    stop_server(home, running)
    echo(f"Ended the server at {running.url}.", err=True)
    if unfinished:
        echo(f"Jobs that have not ended: {unfinished}; they go on with the next `batch-endpoints up`.", err=True)


@click.command(cls=Verb)
@click.option("--ray", is_flag=True, help="Print what the programs of Ray need instead: `eval` it in a shell.")
@click.pass_obj
def token(told: CommonFlags, ray: bool) -> None:
    """Print the token that the server asks for: curl -H "Authorization: Bearer $(batch-endpoints token)".

    With --ray, shell commands that let `ray job submit` and `ray list` in to the Ray that `up` started.
    """
    settings = Settings.read()
    if not ray:
        connection = told.client.connection
        if not connection.token:
            raise NotFound(
                f"there is no token for the server at {connection.url}",
                mend=f"`batch-endpoints up` makes one, in {settings.token_at_home}; for a server elsewhere set "
                "BATCH_ENDPOINTS_TOKEN or BATCH_ENDPOINTS_TOKEN_FILE.",
            )
        echo(connection.token)
        return
    running = find_server(settings.home)
    if running is None or running.ray is None:
        raise NotFound("no Ray of this home is up", mend="Start one with `batch-endpoints up`.")
    variables = {**access_variables(settings.ray_token_at_home), "RAY_API_SERVER_ADDRESS": running.dashboard}
    for name, value in variables.items():
        echo(f"export {name}={shlex.quote(value)}")


@click.command(cls=Verb)
@click.pass_context
def status(context: click.Context) -> dict[str, Any]:
    """Show the server that `up` started on this machine, and its jobs. Exit code 1 when none is up."""
    settings = Settings.read()
    running = find_server(settings.home)
    if running is None:
        echo("Nothing is up; `batch-endpoints up` starts a server.", err=True)
        context.exit(1)
    from batch_endpoints.client import BatchEndpointsClient

    counts: dict[str, int] = {}
    for job in BatchEndpointsClient(running.url, settings=settings).jobs():
        counts[job.status] = counts.get(job.status, 0) + 1
    return {**_shown(settings, running), "jobs": counts}


def docs_link(settings: Settings, running: RunningServer) -> str:
    """An address that opens the documentation in a browser, once."""
    token = settings.token_at_home.read_text().strip()
    link = issue_pass(token, "link", expires=int(time.time()) + LINK_SECONDS, nonce=secrets.token_hex(16))
    return f"{running.url}/docs?link={link}"


def _shown(settings: Settings, running: RunningServer) -> dict[str, Any]:
    return {
        "url": running.url,
        "docs": docs_link(settings, running),
        "ray_address": running.ray_address,
        "ray_dashboard": running.dashboard,
    }


def _say(step: str) -> None:
    echo(f"{step} ...", err=True)
