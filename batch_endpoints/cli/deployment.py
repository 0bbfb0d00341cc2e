"""``batch-deployment``: what answers behind an endpoint."""

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
from batch_endpoints.cli.job import JOB_COLUMNS
from batch_endpoints.client.records import merge_patch

COLUMNS = ("name", "endpoint_name", "type", "model", "compute", "resources.instance_count", "description")

name_option = click.option("-n", "--name", required=True, help="Name of the deployment.")
endpoint_option = click.option("-e", "--endpoint-name", required=True, help="Name of the endpoint.")


@click.group(cls=Noun)
def deployment() -> None:
    """Batch deployments: a model with its compute, and a script and environment where it needs them."""


@deployment.command()
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="YAML file that describes it.")
@click.option("-e", "--endpoint-name", default="", help="Endpoint; overrides the one in the YAML.")
@click.option("-n", "--name", default="", help="Name; overrides the one in the YAML.")
@set_option
@click.option("--set-default", is_flag=True, help="Make it the default of its endpoint.")
@click.option("--skip-script-validation", is_flag=True, help="Do not check the scoring script's syntax.")
@no_wait_option
@click.pass_obj
def create(
    told: CommonFlags,
    file: Path,
    endpoint_name: str,
    name: str,
    set_: tuple[str, ...],
    set_default: bool,
    skip_script_validation: bool,
) -> Any:
    """Create a deployment, or replace one.

    Code and model are uploaded, where the server does not have them yet.

    \b
    batch-endpoints deployment create -f deployment.yml --set-default
    batch-endpoints deployment create -f deployment.yml -e tumor -n xgb-v2 --set settings.mini_batch_size=20
    """
    created = _create(told, file, endpoint_name, name, set_, skip_script_validation)
    endpoint, deployment = created["endpoint_name"], created["name"]
    if set_default:
        told.client.endpoints.update(endpoint, {"defaults": {"deployment_name": deployment}})
    elif not (told.client.endpoints.get(endpoint).get("defaults") or {}).get("deployment_name"):
        told.note(
            f"Endpoint '{endpoint}' has no default deployment yet. To make this one the default:\n"
            f"batch-endpoints endpoint update -n {endpoint} --set defaults.deployment_name={deployment}"
        )
    return created


@deployment.command()
@name_option
@click.option("-e", "--endpoint-name", default="", help="Name of the endpoint; may stand in the YAML.")
@file_option
@edit_options
@click.option("--skip-script-validation", is_flag=True, help="Do not check the scoring script's syntax.")
@no_wait_option
@click.pass_obj
def update(
    told: CommonFlags,
    name: str,
    endpoint_name: str,
    file: Path | None,
    set_: tuple[str, ...],
    add: tuple[str, ...],
    remove: tuple[str, ...],
    skip_script_validation: bool,
) -> Any:
    """Change the settings of a deployment; jobs that run keep theirs.

    \b
    batch-endpoints deployment update -e tumor -n xgb-v1 --set settings.mini_batch_size=20
    """
    if file:
        return _create(told, file, endpoint_name, name, set_, skip_script_validation)
    if not endpoint_name:
        raise click.UsageError("give --endpoint-name")
    deployments = told.client.deployments(endpoint_name)
    before = deployments.get(name)
    after = changed(before, [_at_home(pair) for pair in set_], add, remove)
    return deployments.update(name, merge_patch(before, after))


@deployment.command()
@name_option
@endpoint_option
@click.pass_obj
def show(told: CommonFlags, name: str, endpoint_name: str) -> Any:
    """Show a deployment."""
    return told.client.deployments(endpoint_name).get(name)


@deployment.command("list", cls=Verb, columns=COLUMNS)
@endpoint_option
@click.pass_obj
def list_(told: CommonFlags, endpoint_name: str) -> Any:
    """List the deployments of an endpoint."""
    return list(told.client.deployments(endpoint_name).list())


@deployment.command()
@name_option
@endpoint_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@no_wait_option
@click.pass_obj
def delete(told: CommonFlags, name: str, endpoint_name: str, yes: bool) -> None:
    """Delete a deployment; its jobs stay."""
    confirmed(f"deployment '{name}' of endpoint '{endpoint_name}'", yes)
    told.client.deployments(endpoint_name).delete(name)


@deployment.command("list-jobs", cls=Verb, columns=JOB_COLUMNS)
@name_option
@endpoint_option
@click.pass_obj
def list_jobs(told: CommonFlags, name: str, endpoint_name: str) -> Any:
    """List the jobs of a deployment, newest first."""
    return [job.document for job in told.client.jobs(endpoint=endpoint_name, deployment=name)]


def _create(
    told: CommonFlags, file: Path, endpoint_name: str, name: str, set_: tuple[str, ...], skip_script_validation: bool
) -> dict[str, Any]:
    from batch_endpoints.specs import read_yaml

    changes = assignments(set_)
    flags = dict.fromkeys(changes, "--set") | flags_of({"name": name, "endpoint_name": endpoint_name})
    changes |= {"name": name} if name else {}
    endpoint = endpoint_name or changes.get("endpoint_name") or read_yaml(file).get("endpoint_name")
    if not endpoint:
        raise click.UsageError(f"give --endpoint-name: {file} names no endpoint")
    return told.client.deployments(str(endpoint)).create(
        file,
        {**changes, "endpoint_name": str(endpoint)},
        flags=flags,
        skip_script_validation=skip_script_validation,
    )


def _at_home(pair: str) -> str:
    """A setting named as in the legacy layout, at the place where it is kept."""
    from batch_endpoints.specs import ModelDeploymentSettings

    first = pair.partition("=")[0].partition(".")[0]
    if first == "instance_count":
        return f"resources.{pair}"
    return f"settings.{pair}" if first in ModelDeploymentSettings.model_fields else pair
