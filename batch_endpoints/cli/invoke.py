"""``batch-endpoint invoke``: start a job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from batch_endpoints.cli.changes import assignments, file_option, job_settings, set_option
from batch_endpoints.cli.grammar import CommonFlags, Verb


@click.command(cls=Verb)
@click.option("-n", "--name", default="", help="Name of the endpoint.")
@click.option("-d", "--deployment-name", default="", help="Deployment; otherwise the endpoint's default.")
@click.option("--input", "input_", default="", metavar="PATH|URI|azureml:ASSET", help="The data to score.")
@click.option("--input-data", default="", hidden=True)
@click.option("--input-path", default="", hidden=True)
@click.option("--input-local-path", default="", hidden=True)
@click.option(
    "--input-type",
    type=click.Choice(["uri_file", "uri_folder"]),
    help="Default: uri_file for a local file, otherwise uri_folder.",
)
@file_option
@click.option("--inputs", multiple=True, metavar="NAME=PATH ...", help="Inputs by name; also NAME.type=…, or JSON.")
@click.option("--outputs", multiple=True, metavar="NAME=URI ...", help="Where outputs go, by name; or JSON.")
@click.option("--output-path", default="", metavar="URI", help="Folder for the output; default: with the job.")
@click.option("-c", "--instance-count", default="", metavar="NODES", help="Default: as the deployment says.")
@click.option(
    "-m",
    "--mini-batch-size",
    default="",
    metavar="FILES",
    help="Files for one run() call; or '64MB', '5000 rows'. Default: as the deployment says.",
)
@click.option("--experiment-name", default="", help="Kept with the job.")
@click.option("--job-name", default="", help="Name of the job; otherwise one is made up.")
@set_option
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--stream", is_flag=True, help="Follow the job; exit code 1 unless it completes.")
@click.option("--request-id", default="", metavar="ID", help="The same id makes the same job, whenever it is asked.")
@click.pass_obj
def invoke(
    told: CommonFlags, /, file: Path | None, set_: tuple[str, ...], stream: bool, request_id: str, **flags: Any
) -> Any:
    """Score data: start a job and print it.

    \b
    batch-endpoints endpoint invoke -n tumor --input data/ --stream
    batch-endpoints endpoint invoke -n tumor --input azureml:heart@latest --query name -o tsv
    batch-endpoints endpoint invoke -f invocation.yml --set retry_settings.max_retries=2
    batch-endpoints endpoint invoke -n tumor --input data/ --set retry_settings.timeout=600  # seconds

    What is not given is as the deployment says. What is not said there either is 1 node, 10 files (tables for a model
    without a script), 3 retries, and 30 seconds for one run() call.
    """
    from batch_endpoints.specs import Invocation, Origins, check, load_yaml, read_yaml

    flags = with_one_input(flags)
    said = read_yaml(file) if file else {}
    given, origins = asked(said, file.absolute().parent if file else Path.cwd(), set_, flags)
    if not given.get("endpoint") and not said.get("endpoint"):
        raise click.UsageError("give --name, the endpoint")
    if file:
        invocation = load_yaml(Invocation, file, given, origins)
    else:
        invocation = check(Invocation, given, where=Origins("invoke").changed(origins))
    if told.client.connection.is_anothers():
        told.note(
            f"The server at {told.client.url} was not started with this BATCH_ENDPOINTS_HOME, so local input is\n"
            "sent to it. Say --server or set BATCH_ENDPOINTS_URL if it is the one you mean."
        )
    job = told.client.submit(invocation, request_id=request_id)
    if stream:
        from batch_endpoints.cli.stream import follow

        told.note(f"job {job.name}")
        follow(job, err=True, quiet=told.quiet)
    return job.document


def with_one_input(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with what ``--input`` was called before version 2.5 of az's extension as ``--input``.

    ``--input-path`` says there what it is: ``folder:…`` or ``file:…``.
    """
    old = ("input_data", "input_path", "input_local_path")
    now = {key: value for key, value in flags.items() if key not in old}
    given = [(key, flags[key]) for key in ("input_", *old) if flags[key]]
    if len(given) > 1:
        raise click.UsageError(
            f"give one of {', '.join('--' + key.strip('_').replace('_', '-') for key, _ in given)}"
        )
    for key, value in given:
        kind, colon, path = value.partition(":")
        if key == "input_path" and colon and kind in ("folder", "file") and not value.startswith("file://"):
            return {**now, "input_": path, "input_type": flags["input_type"] or f"uri_{kind}"}
        return {**now, "input_": value}
    return now


def asked(
    said: Mapping[str, Any], base: Path, set_: Iterable[str], flags: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """An invocation's values: what the file says of inputs and outputs, changed by the flags, then by ``--set``.

    Args:
        said: the invocation file; relative paths in it are relative to ``base``.
        base: its folder.
        set_: ``key=value``; relative paths on the command line are relative to the current folder.
        flags: values of the other flags, empty where they are not given.

    Returns: the values, and which flag gave a key, by dotted key.
    """
    from batch_endpoints.specs import set_value

    here = Path.cwd()
    inputs, outputs = (
        {name: _long(value, base) for name, value in (said.get(key) or {}).items()}
        if isinstance(said.get(key) or {}, dict)
        else said[key]
        for key in ("inputs", "outputs")
    )
    given: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
    path, folder = flags["input_"], flags["output_path"]
    names = [*(inputs if isinstance(inputs, dict) else ()), *(["input"] if path else [])]
    plain: list[tuple[str, str, Any]] = [
        ("--name", "endpoint", flags["name"]),
        ("--deployment-name", "deployment", flags["deployment_name"]),
        ("--instance-count", "instance_count", flags["instance_count"]),
        ("--mini-batch-size", "mini_batch_size", flags["mini_batch_size"]),
        ("--experiment-name", "experiment_name", flags["experiment_name"]),
        ("--job-name", "name", flags["job_name"]),
        ("--overwrite", "overwrite", flags["overwrite"]),
        ("--input", "inputs.input", path and {"path": path}),
        *(("--input-type", f"inputs.{name}.type", flags["input_type"]) for name in names),
        ("--output-path", "outputs.score", folder and {"type": "uri_folder", "path": folder}),
    ]
    words = [(flag, key, value) for flag, key, value in plain if value]
    words += [("--inputs", *word) for word in _named("inputs", flags["inputs"])]
    words += [("--outputs", *word) for word in _named("outputs", flags["outputs"])]
    words += [("--set", key, value) for key, value in job_settings(set_).items()]
    for _, key, value in words:
        set_value(given, key, value)
    for key in ("inputs", "outputs"):
        if isinstance(given[key], dict):
            given[key] = {name: _long(value, here) for name, value in given[key].items()}
    return given, {key: flag for flag, key, _ in words}


def _named(what: str, words: Iterable[str]) -> list[tuple[str, Any]]:
    """``heart=data/`` and ``heart.type=uri_file``, or a JSON object, as dotted keys and values."""
    found: list[tuple[str, Any]] = []
    for word in words:
        if word.startswith("{"):
            try:
                found += [(f"{what}.{name}", value) for name, value in json.loads(word).items()]
            except ValueError as error:
                raise click.UsageError(f"--{what} is not JSON: {error}") from None
        else:
            for key, value in assignments([word], f"--{what}").items():
                found.append((f"{what}.{key}", value if "." in key else {"path": value}))
    return found


def _long(value: Any, base: Path) -> Any:
    """An input or output in its long form, its local path absolute; ``default`` is Azure's word for a literal."""
    from batch_endpoints.client.wire import is_local

    if isinstance(value, bool | int | float):
        return {"type": "literal", "value": value}
    if isinstance(value, str):
        value = {"path": value}
    if not isinstance(value, dict):
        return value
    value = {("value" if key == "default" else key): inner for key, inner in value.items()}
    if "value" in value:
        value.setdefault("type", "literal")
    if isinstance(path := value.get("path"), str) and is_local(path):
        value["path"] = str(base / Path(path).expanduser())
    return value
