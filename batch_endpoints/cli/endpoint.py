"""``batch-endpoint``: stable addresses for batch scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batch_endpoints.cli.changes import (
    assignments,
    changed,
    edit_options,
    file_option,
    flags_of,
    no_wait_option,
    set_option,
)
from batch_endpoints.cli.grammar import CommonFlags, Noun, Verb, confirmed
from batch_endpoints.cli.invoke import invoke
from batch_endpoints.cli.job import JOB_COLUMNS
from batch_endpoints.client.records import merge_patch

COLUMNS = ("name", "defaults.deployment_name", "scoring_uri", "description")

name_option = click.option("-n", "--name", required=True, help="Name of the endpoint.")
defaults_option = click.option(
    "--defaults", multiple=True, metavar="deployment_name=NAME", help="Default deployment."
)


@click.group(cls=Noun)
def endpoint() -> None:
    """Batch endpoints: stable addresses, each routing jobs to its deployments."""


endpoint.add_command(invoke)


@endpoint.command()
@file_option
@click.option("-n", "--name", default="", help="Name; overrides the one in the YAML.")
@set_option
@defaults_option
@no_wait_option
@click.pass_obj
def create(told: CommonFlags, file: Path | None, name: str, set_: tuple[str, ...], defaults: tuple[str, ...]) -> Any:
    """Create an endpoint, or replace one.

    \b
    batch-endpoints endpoint create -f endpoint.yml
    batch-endpoints endpoint create -n tumor --set tags.team=oncology
    """
    if not (file or name):
        raise click.UsageError("give --file, --name, or both")
    return _create(told, file or {}, name, set_, defaults)


@endpoint.command()
@name_option
@file_option
@edit_options
@defaults_option
@no_wait_option
@click.pass_obj
def update(
    told: CommonFlags,
    name: str,
    file: Path | None,
    set_: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    defaults: tuple[str, ...],
) -> Any:
    """Change an endpoint, most often its default deployment.

    \b
    batch-endpoints endpoint update -n tumor --set defaults.deployment_name=xgb-v2
    """
    before = told.client.endpoints.get(name)
    if file:
        return _create(told, file, name, set_, defaults)
    after = changed(before, [*_dotted(defaults), *set_], add, remove)
    return told.client.endpoints.update(name, merge_patch(before, after))


@endpoint.command()
@name_option
@click.pass_obj
def show(told: CommonFlags, name: str) -> Any:
    """Show an endpoint."""
    return told.client.endpoints.get(name)


@endpoint.command("list", cls=Verb, columns=COLUMNS)
@click.pass_obj
def list_(told: CommonFlags) -> Any:
    """List the endpoints."""
    return list(told.client.endpoints.list())


@endpoint.command()
@name_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@no_wait_option
@click.pass_obj
def delete(told: CommonFlags, name: str, yes: bool) -> None:
    """Delete an endpoint and its deployments; its jobs stay."""
    confirmed(f"endpoint '{name}' and its deployments", yes)
    told.client.endpoints.delete(name)


@endpoint.command("list-jobs", cls=Verb, columns=JOB_COLUMNS)
@name_option
@click.pass_obj
def list_jobs(told: CommonFlags, name: str) -> Any:
    """List the jobs of an endpoint, newest first."""
    return [job.document for job in told.client.jobs(endpoint=name)]


def _create(
    told: CommonFlags, source: Path | dict[str, Any], name: str, set_: tuple[str, ...], defaults: tuple[str, ...]
) -> dict[str, Any]:
    default, set_values = assignments(_dotted(defaults)), assignments(set_)
    flags = dict.fromkeys(default, "--defaults") | dict.fromkeys(set_values, "--set") | flags_of({"name": name})
    changes = {**default, **set_values, **({"name": name} if name else {})}
    return told.client.endpoints.create(source, changes, flags=flags)


def _dotted(defaults: tuple[str, ...]) -> list[str]:
    return [f"defaults.{pair}" for pair in defaults]
