"""``azure up``, ``azure env``, ``azure check``: this server for the unmodified client of Azure ML."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from batch_endpoints.cli.azure_check import Finding, findings
from batch_endpoints.cli.azure_variables import AUTHORITIES, azure_variables, combined_authorities
from batch_endpoints.cli.grammar import CommonFlags, Noun, Verb
from batch_endpoints.cli.server import start
from batch_endpoints.cli.terminal import echo
from batch_endpoints.errors import NotFound, Refused
from batch_endpoints.settings import DEFAULT_PORT, Settings

_FORM = "batch_endpoints.form"
_LINES: dict[str, Callable[[str, str], str]] = {
    "bash": lambda name, value: f"export {name}={shlex.quote(value)}",
    "powershell": lambda name, value: f"$env:{name} = '{value.replace(chr(39), 2 * chr(39))}'",
    "dotenv": lambda name, value: f'{name}="{value}"',
    "notebook": lambda name, value: f"%env {name}={value}",
}


class _LinesVerb(Verb):
    """A verb that can also show its answer as lines for a shell."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        for param in self.params:
            if param.name == "output":
                assert isinstance(param.type, click.Choice)
                more = [form for form in _LINES if form != "notebook"]
                param.type = click.Choice([*param.type.choices, *more], case_sensitive=False)

    def invoke(self, ctx: click.Context) -> Any:
        form = ctx.params["output"] or "bash"
        ctx.meta[_FORM] = "notebook" if ctx.params.get("notebook") else form if form in _LINES else ""
        if form in _LINES:
            ctx.params["output"] = ""
        return super().invoke(ctx)


@click.group(cls=Noun)
def azure() -> None:
    """Serve the unmodified client of Azure ML, `azure-ai-ml`: no line of a notebook changes.

    \b
    batch-endpoints azure up
    eval "$(batch-endpoints azure env)"
    batch-endpoints azure check
    """


@azure.command(cls=Verb)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="TCP port.")
@click.option("--ray-address", default="", metavar="HOST:PORT", help="Use this Ray cluster instead of a new one.")
@click.pass_context
def up(context: click.Context, host: str, port: int, ray_address: str) -> dict[str, Any]:
    """Start a server over HTTPS, as Azure's client needs it.

    The same as `up --tls`.
    """
    given = context.get_parameter_source("port") == click.core.ParameterSource.COMMANDLINE
    shown = start(host=host, port=port, port_given=given, ray_address=ray_address, tls=True)
    echo('Let a shell, and what it starts, use it: eval "$(batch-endpoints azure env)"', err=True)
    return shown


@azure.command(cls=_LinesVerb)
@click.option("--notebook", is_flag=True, help="As lines of a notebook's first cell.")
@click.option(
    "--ca",
    "authority",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The authority of a server elsewhere: what `batch-endpoints ca` prints there.",
)
@click.pass_context
def env(context: click.Context, notebook: bool, authority: Path | None) -> dict[str, str] | None:
    """Print the variables by which Azure's client finds it.

    \b
    eval "$(batch-endpoints azure env)"

    They let whoever has them act as you: keep them out of files that others read.
    """
    told: CommonFlags = context.obj
    connection, settings = told.client.connection, Settings.read()
    if not connection.url.startswith("https:"):
        raise Refused(
            f"the server at {connection.url} speaks plain HTTP, over which Azure's client sends no token",
            mend="End it with `batch-endpoints down`, and start it with `batch-endpoints azure up`.",
        )
    if not connection.token:
        raise NotFound(f"there is no token for the server at {connection.url}", mend="Set BATCH_ENDPOINTS_TOKEN.")
    own = connection.authority
    trusted = authority or (Path(own) if own else None)
    if trusted is None:
        raise NotFound(
            f"the authority of the server at {connection.url} is not known here",
            mend="Copy the file that `batch-endpoints ca` prints on its machine, and name it with --ca.",
        )
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    bundle = combined_authorities(trusted, settings.home / "azure-authorities.pem", os.environ.get(AUTHORITIES))
    variables = azure_variables(connection.url, connection.token, bundle)
    if not (form := context.meta[_FORM]):
        return variables
    for name, value in variables.items():
        echo(_LINES[form](name, value))
    return None


@azure.command(cls=Verb)
@click.pass_context
def check(context: click.Context) -> list[dict[str, str]]:
    """Look whether Azure's client, started here, would reach it.

    Exit code 1 where it would not.
    """
    found: list[Finding] = findings(os.environ)
    if any(finding.mend for finding in found):
        context.call_on_close(lambda: context.exit(1))
    return [finding._asdict() for finding in found]
