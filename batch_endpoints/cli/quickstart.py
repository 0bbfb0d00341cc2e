"""``quickstart``: from nothing to predictions, on this machine, through HTTP.

It does what a person would do with the other commands: starts a server if none is up, trains a model, creates an
endpoint and a deployment from the YAML files in ``examples/tumor``, invokes it and shows what came out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch_endpoints.cli.grammar import Failed, Verb
from batch_endpoints.cli.home import open_home
from batch_endpoints.cli.local_server import end_interrupted, port_or_free_one, start_server
from batch_endpoints.cli.running_server import find_server
from batch_endpoints.cli.server import docs_link
from batch_endpoints.cli.steps import Steps
from batch_endpoints.cli.stream import follow
from batch_endpoints.cli.terminal import echo
from batch_endpoints.settings import DEFAULT_PORT, Settings
from batch_endpoints.terminal_text import visible

if TYPE_CHECKING:
    from batch_endpoints.client import Job

EXAMPLE = Path(__file__).parents[1] / "examples" / "tumor"
SHOWN_ROWS = 8


@click.command(cls=Verb)
@click.option("--keep", is_flag=True, help="Leave the server up.")
@click.option("--files", default=40, show_default=True, help="Input files to score.")
def quickstart(keep: bool, files: int) -> None:
    """Train a model, deploy it, score files through HTTP and show the predictions.

    Everything it started is ended again, unless --keep is given.
    """
    settings = Settings.read()
    open_home(settings.home, click.echo)
    folder = settings.home / "quickstart" / "tumor"
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model", "data", "ml*"))
    steps = Steps(echo)
    try:
        with steps:
            prepare = _begin_preparing(folder, files, steps)
            url = _server(settings, steps)
            steps.say(f"Training a classifier on scikit-learn's breast cancer data: {folder}/prepare.py")
            with steps.waiting():
                if prepare.wait() != 0:
                    last = (folder / "prepare.log").read_text(errors="replace").splitlines()[-5:]
                    raise Failed(f"{folder}/prepare.py failed (exit code {prepare.returncode}):\n" + "\n".join(last))
                job = _invoke(url, folder, steps)
                follow(job)
                _show(job)
            kept = find_server(settings.home) if keep else None
            _say_next(folder, docs_link(settings, kept) if kept else "")
            if keep:
                steps.keep()
    except BaseException as error:
        if steps.interrupted or isinstance(error, SystemExit):  # what Ray makes of a SIGTERM while it connects
            end_interrupted()
        raise


def _begin_preparing(folder: Path, files: int, steps: Steps) -> subprocess.Popen[bytes]:
    """Train while Ray starts: both take some seconds and neither needs the other."""
    with (folder / "prepare.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(folder / "prepare.py"), str(folder), f"--files={files}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    steps.undo.callback(process.wait)
    steps.undo.callback(process.kill)
    return process


def _server(settings: Settings, steps: Steps) -> str:
    """URL of the server that is up, or of one that is ended with the steps."""
    running = find_server(settings.home)
    if running is not None:
        steps.say(f"Using the server at {running.url}")
        return running.url
    running = start_server(settings, steps, port=port_or_free_one(DEFAULT_PORT))
    steps.undo.callback(echo, "Ending the server")
    return running.url


def _invoke(url: str, folder: Path, steps: Steps) -> Job:
    from batch_endpoints.client import BatchEndpointsClient

    client = BatchEndpointsClient(url)
    steps.say("Creating the endpoint and its deployment: endpoint.yml, deployment.yml")
    client.endpoints.create(folder / "endpoint.yml")
    client.deployments("tumor").create(folder / "deployment.yml")
    client.endpoints.update("tumor", {"defaults": {"deployment_name": "logistic"}})
    steps.say(f"Invoking it: POST {url}/endpoints/tumor/jobs")
    return client.invoke("tumor", input=str(folder / "data"))


def _show(job: Job) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    predictions = job.outputs["score"].to_arrow()
    table = Table(title=f"The first {SHOWN_ROWS} of {predictions.num_rows} predictions", title_justify="left")
    for name in predictions.column_names:
        table.add_column(Text(visible(name)))
    for row in predictions.slice(0, SHOWN_ROWS).to_pylist():
        table.add_row(*(Text(visible(str(value))) for value in row.values()))
    Console().print(table)


def _say_next(folder: Path, docs: str) -> None:
    """Args: docs: address of the documentation of a server that stays up, "" where none does."""
    program = "batch-endpoints" if shutil.which("batch-endpoints") else sys.argv[0]
    first = f"open {docs} in a browser" if docs else f"{program} up"
    last = f"{program} down" if docs else f"{program} job list"
    echo(f"\nTry next:\n  {first}\n  {program} endpoint invoke -n tumor --input {folder / 'data'} --stream\n  {last}")
