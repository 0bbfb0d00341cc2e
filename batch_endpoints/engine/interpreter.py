"""The interpreter of a job on this machine: what its deployment states, or what MLflow recorded with its model."""

from __future__ import annotations

from pathlib import Path

from batch_endpoints.environments.interpreters import Interpreter, find_interpreter
from batch_endpoints.environments.plan import RECORDED_FILES, states_interpreter
from batch_endpoints.errors import EnvironmentFailed
from batch_endpoints.specs import Environment, ScoringJob
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.inputs.fetch import read_texts

_TRY_IT = "To try it without a job: batch-endpoints environment build -f <its file>"
_STATE_ANOTHER = "An 'environment' in the deployment goes before what is recorded."


def needs_mlflow(job: ScoringJob) -> bool:
    """Is the model one of MLflow's, or without a script, which takes MLflow?"""
    deployment = job.deployment
    if deployment.model is None:
        return False
    return deployment.code_configuration is None or job.model.type == "mlflow_model"


def chosen_by_model(job: ScoringJob) -> bool:
    """Does what MLflow recorded with the model say which interpreter it is? Then that one has all of it."""
    return needs_mlflow(job) and not states_interpreter(_stated(job))


def job_interpreter(job: ScoringJob, cache: Path) -> Interpreter:
    """Find it, or build it: once on each machine, whoever asks.

    Args:
        cache: folder for what is built on this machine.

    Raises:
        SpecError: the environment asks for something that no node can give.
        EnvironmentFailed: it cannot be built here.
        InputError: the model is in a place that cannot be opened.
    """
    deployment = job.deployment
    recorded = {}
    if chosen_by_model(job):
        recorded = read_texts(job.model.path, RECORDED_FILES, Access.of_deployment(job))
    stated = _stated(job)
    try:
        return find_interpreter(stated, cache, recorded)
    except EnvironmentFailed as error:
        if recorded:
            which, mend = "what MLflow recorded with the model", _STATE_ANOTHER
        else:
            which, mend = f"environment '{stated.name}'" if stated.name else "the environment", _TRY_IT
        where = f"{which} of deployment '{deployment.name}'"
        raise EnvironmentFailed(error.what, where=where, mend=f"{error.mend}\n{mend}") from error


def _stated(job: ScoringJob) -> Environment:
    environment = job.deployment.environment
    return environment if isinstance(environment, Environment) else Environment()
