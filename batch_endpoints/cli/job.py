"""``job``: what became of invocations."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch_endpoints.cli.changes import assignments, flags_of, job_settings, set_option
from batch_endpoints.cli.grammar import CommonFlags, Noun, Verb
from batch_endpoints.cli.terminal import echo, write_bytes

if TYPE_CHECKING:
    from batch_endpoints.client import Job
    from batch_endpoints.specs import Invocation

JOB_COLUMNS = {
    "name": "name",
    "step": "step?",
    "status": "status",
    "endpoint": "endpoint_name",
    "items": "progress.items",
    "failed": "progress.items_failed",
}
"""As many as fit into 80 columns beside a name that the server has made up, which takes 45."""

name_option = click.option("-n", "--name", required=True, help="Name of the job.")


@click.group(cls=Noun)
def job() -> None:
    """Jobs: runs of deployments, started with `endpoint invoke`, and pipelines by themselves."""


@job.command()
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="YAML file of a pipeline job.")
@click.option("-n", "--name", default="", help="Name of the job; otherwise one is made up.")
@set_option
@click.option("--stream", is_flag=True, help="Follow it to its end; exit code 1 unless it completes.")
@click.option("--skip-validation", is_flag=True, hidden=True, expose_value=False)
@click.option("--request-id", default="", metavar="ID", help="The same id makes the same job, whenever it is asked.")
@click.pass_obj
def create(
    told: CommonFlags, file: Path, name: str, set_: tuple[str, ...], stream: bool, request_id: str
) -> dict[str, Any]:
    """Run a pipeline, or one command, by itself.

    \b
    batch-endpoints job create -f pipeline.yml --stream
    batch-endpoints job create -f pipeline.yml --set inputs.rows.path=data/ --query name -o tsv
    """
    changes = assignments(set_)
    flags = dict.fromkeys(changes, "--set") | flags_of({"name": name})
    job = told.client.create_job(file, changes | ({"name": name} if name else {}), flags=flags, request_id=request_id)
    return _followed(told, job, stream)


@job.command()
@name_option
@click.option("--web", is_flag=True, hidden=True, expose_value=False)
@click.pass_obj
def show(told: CommonFlags, name: str) -> Any:
    """Show a job.

    \b
    batch-endpoints job show -n JOB --query status -o tsv
    """
    return told.client.job(name).document


@job.command("list", cls=Verb, columns=JOB_COLUMNS)
@click.option("-e", "--endpoint-name", default="", help="Only jobs of this endpoint.")
@click.option("--deployment-name", default="", help="Only jobs of this deployment; needs --endpoint-name.")
@click.option("--status", default="", help="Only jobs in this status, e.g. Running.")
@click.option("-r", "--max-results", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--all-results", is_flag=True, help="All of them.")
@click.option("-p", "--parent-job-name", default="", help="The steps of this job, which have begun.")
@click.option("--recursive", is_flag=True, help="Of --parent-job-name: also the steps in steps that are pipelines.")
@click.pass_obj
def list_(
    told: CommonFlags,
    endpoint_name: str,
    deployment_name: str,
    status: str,
    max_results: int,
    all_results: bool,
    parent_job_name: str,
    recursive: bool,
) -> Any:
    """List jobs, newest first."""
    if parent_job_name:
        if endpoint_name or deployment_name or status:
            raise click.UsageError("--parent-job-name takes no other filter")
        steps = told.client.jobs(parent=parent_job_name, recursive=recursive)
        return [found.document for found in islice(steps, None if all_results else max_results)]
    if recursive:
        raise click.UsageError("--recursive needs --parent-job-name")
    if deployment_name and not endpoint_name:
        raise click.UsageError("--deployment-name needs --endpoint-name")
    jobs = told.client.jobs(endpoint=endpoint_name, deployment=deployment_name, status=status)
    return [found.document for found in islice(jobs, None if all_results else max_results)]


@job.command()
@name_option
@set_option
@click.option("--stream", is_flag=True, help="Follow it to its end.")
@click.pass_obj
def resume(told: CommonFlags, name: str, set_: tuple[str, ...], stream: bool) -> Any:
    """Let a failed or canceled job go on.

    It goes on from what it has committed.

    \b
    batch-endpoints job resume -n JOB --set retry_settings.timeout=600
    """
    return _followed(told, told.client.job(name).resume(_changes(set_)), stream)


@job.command("retry-failed")
@name_option
@set_option
@click.option("--stream", is_flag=True, help="Follow it to its end.")
@click.pass_obj
def retry_failed(told: CommonFlags, name: str, set_: tuple[str, ...], stream: bool) -> Any:
    """Let a job that has ended try its failed items and rows again.

    What succeeds joins the same output.

    \b
    batch-endpoints job retry-failed -n JOB --set retry_settings.timeout=600
    """
    return _followed(told, told.client.job(name).retry_failed(_changes(set_)), stream)


@job.command()
@name_option
@click.pass_obj
def stream(told: CommonFlags, name: str) -> None:
    """Follow a job to its end; exit code 1 unless it completes. Ctrl-C leaves the job running."""
    from batch_endpoints.cli.stream import follow

    follow(told.client.job(name), quiet=told.quiet)


@job.command()
@name_option
@click.option("--worker", default="", help="Only logs with this in their names, as a line shows it; driver is one.")
@click.option("--errors", is_flag=True, help="Only failed tries with their stacks, and warnings of the driver.")
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--raw", is_flag=True, help="On a terminal too, control characters as they were printed: colours.")
@click.pass_obj
def logs(told: CommonFlags, name: str, worker: str, errors: bool, follow: bool, raw: bool) -> None:
    """Show the logs of a job, driver and workers merged by time.

    \b
    batch-endpoints job logs -n JOB --errors
    """
    from batch_endpoints.cli.stream import watching

    found = told.client.job(name)
    shown = False
    if follow:
        with watching(found):
            for event in found.stream(worker=worker, errors=errors):
                if event.kind == "log":
                    shown = True
                    echo(event.line, raw=raw)
    if not shown:  # by following: there is nothing, or no such worker, which the server says here
        pieces = found.log_pieces(worker=worker, errors=errors)
        if raw:
            write_bytes(pieces)
        for text in _as_text(pieces):  # none where they have been written
            echo(text, nl=False)


@job.command()
@name_option
@click.pass_obj
def cancel(told: CommonFlags, name: str) -> Any:
    """Ask a job to end; what it has committed stays."""
    return told.client.job(name).cancel().document


@job.command()
@name_option
@click.option("-p", "--download-path", type=click.Path(path_type=Path), default=Path(), help="Folder; default here.")
@click.option("--output-name", default="", help="Only this output.")
@click.option("--all", "all_", is_flag=True, help="All outputs, the report, failed items and logs.")
@click.option("--partial", is_flag=True, help="What is committed by now, of a job that has not completed.")
@click.pass_obj
def download(told: CommonFlags, name: str, download_path: Path, output_name: str, all_: bool, partial: bool) -> Any:
    """Download the outputs of a job.

    They come into PATH/named-outputs/OUTPUT/, and with --all the rest into PATH/artifacts/. With --partial the rows
    that a failed, canceled or running job has committed by now come into PATH/partial-outputs/OUTPUT/.

    \b
    batch-endpoints job download -n JOB --output-name score -p results
    """
    found = told.client.job(name)
    if all_:
        found.download_artifacts(download_path / "artifacts")
    named = found.partial_outputs if partial else found.outputs
    outputs = [named[output_name]] if output_name else list(named.values())
    folder = download_path / ("partial-outputs" if partial else "named-outputs")
    return [
        {"output": output.name, "path": str(file), "size": file.stat().st_size}
        for output in outputs
        for file in output.download(folder / output.name)
    ]


def _changes(set_: tuple[str, ...]) -> Invocation:
    from batch_endpoints.specs import Invocation, check, set_value

    changes: dict[str, Any] = {}
    for dotted, value in job_settings(set_).items():
        set_value(changes, dotted, value)
    return check(Invocation, changes, where="--set")


def _followed(told: CommonFlags, job: Job, stream: bool) -> dict[str, Any]:
    if stream:
        from batch_endpoints.cli.stream import follow

        follow(job, err=True, quiet=told.quiet)
    return job.document


def _as_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """A log as text, whatever a script has printed: what is no UTF-8 is written out, and so is NUL."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    for piece in pieces:
        yield decoder.decode(piece).replace("\0", "\\x00")
    yield decoder.decode(b"", final=True)
