"""``environment build``: make an environment's interpreter on this machine before a job asks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch_endpoints.cli.assets import environment
from batch_endpoints.cli.grammar import CommonFlags

if TYPE_CHECKING:
    from batch_endpoints.specs import Environment

__all__ = ["environment"]


@environment.command()
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    help="YAML file of the environment; a conda file or a requirements file will do.",
)
@click.option("-n", "--name", default="", help="Name of an environment on the server.")
@click.option("-v", "--version", default="", help="Its version; the latest where it is left out.")
@click.pass_obj
def build(told: CommonFlags, file: Path | None, name: str, version: str) -> dict[str, Any]:
    """Build it on this machine, and show what is in it.

    Jobs that ask for it then find it here.
    """
    if (file is None) == (not name):
        raise click.UsageError("give --file or --name")
    asked = _written(file) if file else _on_server(told, name, version)
    return _built(told, asked)


def _built(told: CommonFlags, asked: Environment) -> dict[str, Any]:
    import platform

    from batch_endpoints.environments.interpreters import find_interpreter
    from batch_endpoints.settings import Settings

    told.note("Building where it is not built yet; this may take a while.")
    found = find_interpreter(asked, Settings.read().cache)
    about = found.built
    known = {"python": about.version, "packages": about.packages, "seconds": about.seconds} if about else {}
    if not about and not asked.python:
        known = {"python": platform.python_version()}
    found.close()
    return {
        "name": asked.name,
        "version": asked.version,
        "interpreter": found.path,
        "built": "now" if found.is_new else "before" if about else "not needed",
        **known,
        "notes": list(found.notes),
    }


def _written(file: Path) -> Environment:
    """The environment that a file describes."""
    from batch_endpoints.client.wire import Place, with_uploads
    from batch_endpoints.specs import Environment, check, read_yaml_with_origins, to_document

    place = Place(file.absolute().parent)
    if file.suffix == ".txt":
        return check(Environment, with_uploads({"requirements": file.name}, place, _no_upload), where=str(file))
    document, origins = read_yaml_with_origins(file)
    if "dependencies" in document and "conda_file" not in document:
        return Environment(conda_file=document)
    document = to_document(check(Environment, document, where=origins))
    return check(Environment, with_uploads(document, replace(place, origins=origins), _no_upload), where=origins)


def _on_server(told: CommonFlags, name: str, version: str) -> Environment:
    from batch_endpoints.specs import Environment

    document = told.client.environments.get(name, version)
    known = {key: value for key, value in document.items() if key in Environment.model_fields}
    return Environment.model_validate(known)


def _no_upload(path: Path, without: frozenset[str]) -> str:
    raise AssertionError(f"an environment has no files to send: {path}")
