"""A job that a person writes: ``job.yml`` in the job folder, frozen to ``job.json`` at its first run.

    name: digits
    deployment: deployment.yml       # or the deployment itself
    inputs:
      images: {type: uri_folder, path: images/}

Relative paths are relative to the file they stand in; ``code: .`` in job.yml is the job folder as it is at the first
run. A literal input (``threshold: {type: number, value: 0.5}``)
reaches the script as an environment variable (``BATCH_INPUT_THRESHOLD``).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from batch_endpoints.errors import SpecError
from batch_endpoints.planning.overrides import literal_variables
from batch_endpoints.specs import ScoringJob, check, read_yaml
from batch_endpoints.storage.files.node_copies import copy_tree
from batch_endpoints.storage.job.job_folder import JobFolder

CODE = "frozen-code"
OPERATOR = "operator"  # whoever may give jobs to the cluster: holds Ray's token, or is its user


def freeze(place: Path, folder: JobFolder) -> None:
    """Make ``job.json`` of ``job.yml``; nothing happens where there is a job.json, or no job.yml.

    Raises:
        SpecError: it does not describe a job that can run.
    """
    written = place / "job.yml"
    if folder.files.exists("job.json") or not written.exists():
        return
    document = read_yaml(written)
    document.setdefault("name", re.sub(r"[^A-Za-z0-9]+", "-", place.resolve().name).strip("-") or "job")
    document["invoker"] = OPERATOR
    deployment, base = document.get("deployment"), place
    if isinstance(deployment, str):
        base = (place / deployment).parent
        document["deployment"] = deployment = read_yaml(place / deployment)
    if isinstance(deployment, dict):
        _resolve_deployment(deployment, base, str(written))
        _set_code_apart(deployment, place)
    for key in ("inputs", "outputs"):
        named = document.get(key)
        for given in named.values() if isinstance(named, dict) else ():
            if isinstance(given, dict):
                _resolve(given, "path", place)
    folder.write_job(_with_literals(check(ScoringJob, document, where=str(written))))


def _with_literals(job: ScoringJob) -> ScoringJob:
    """The job with its literal inputs as the environment variables that a script reads."""
    settings = job.deployment.settings
    variables = {**settings.environment_variables, **literal_variables(job.inputs)}
    settings = settings.model_copy(update={"environment_variables": variables})
    return job.model_copy(update={"deployment": job.deployment.model_copy(update={"settings": settings})})


def _resolve_deployment(deployment: dict[str, Any], base: Path, where: str) -> None:
    model, code = deployment.get("model"), deployment.get("code_configuration")
    if isinstance(model, str):
        raise SpecError(
            f"{where}: the deployment refers to the model '{model}', and there are no records here to look it up in",
            mend="Give the model in place: model: {path: …, type: mlflow_model}.",
        )
    if isinstance(model, dict):
        _resolve(model, "path", base)
    if isinstance(code, dict):
        code.setdefault("code", ".")
        _resolve(code, "code", base)
    environment = deployment.get("environment")
    if isinstance(environment, dict):
        _read_environment(environment, base)
    if isinstance(environment, str):
        raise SpecError(
            f"{where}: the deployment refers to the environment '{environment}', and there are no records here",
            mend="Give the environment in place, or leave it out.",
        )


def _set_code_apart(deployment: dict[str, Any], place: Path) -> None:
    """Code that is in the job folder itself gets a folder of its own there: workers copy it while the job writes."""
    code = deployment.get("code_configuration")
    if isinstance(code, dict) and code.get("code") == place.resolve().as_uri():
        shutil.rmtree(place / CODE, ignore_errors=True)  # half a copy, of a run that was killed
        copy_tree(place, place / CODE)
        code["code"] = (place / CODE).resolve().as_uri()


def _read_environment(environment: dict[str, Any], base: Path) -> None:
    """Put the content of the files that an environment names in their place."""
    conda_file, requirements = environment.get("conda_file"), environment.get("requirements")
    if isinstance(conda_file, str):
        environment["conda_file"] = read_yaml(base / conda_file)
    if isinstance(requirements, str):
        try:
            environment["requirements"] = (base / requirements).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SpecError(
                f"cannot read the requirements: {error.strerror}", where=str(base / requirements)
            ) from None


def _resolve(document: dict[str, Any], key: str, base: Path) -> None:
    value = document.get(key)
    if isinstance(value, str) and "://" not in value:
        document[key] = (base / value).resolve().as_uri()
