"""A deployment's code and model on a worker's machine."""

from __future__ import annotations

from pathlib import Path

from batch_endpoints.engine.interpreter import chosen_by_model
from batch_endpoints.scoring.worker import ScoringContract
from batch_endpoints.specs import JobSpec
from batch_endpoints.storage.files.access import Access, secret_variables
from batch_endpoints.storage.inputs import copy_tree, fetch_tree

SUITS_MODEL = "BATCH_ENDPOINTS_SUITS_MODEL"  # tells scoring/mlflow_driver.py that this interpreter was looked at


def scoring_contract(job: JobSpec, interpreter: str, scratch: Path, log: Path) -> ScoringContract:
    """Bring the deployment's code and model to this machine."""
    deployment = job.deployment
    settings, code, access = deployment.settings, deployment.code_configuration, Access.of(job)
    return ScoringContract(
        interpreter=interpreter,
        code=fetch_tree(code.code, scratch / "fetched-code", access) if code else None,
        script=code.scoring_script if code else "",
        model_folder=_model_folder(job, scratch),
        output_folder=scratch / "output",
        scratch=scratch,
        log=log,
        environment_variables={
            **({SUITS_MODEL: "1"} if chosen_by_model(job) else {}),
            **settings.environment_variables,
        },
        logging_level=settings.logging_level,
        timeout_seconds=settings.retry_settings.timeout,
        max_retries=settings.retry_settings.max_retries,
        secret_variables=secret_variables(access),
        azure_layout=settings.output_format == "azureml",
    )


def mini_batch_format(job: JobSpec, in_parts: bool) -> str:
    """What the deployment says of what ``run()`` gets; "" where it is for the script to say."""
    if job.deployment.code_configuration:
        return job.deployment.settings.mini_batch_format or ""
    return "pandas" if in_parts else "files"


def _model_folder(job: JobSpec, scratch: Path) -> Path:
    """The folder that contains what was registered, and nothing else."""
    path = fetch_tree(job.model.path, scratch / "model", Access.of(job))
    if sorted(path.parent.iterdir()) == [path]:
        return path.parent
    alone = scratch / "model-alone"
    copy_tree(path, alone / path.name)  # real files: MLflow refuses a linked folder
    return alone
