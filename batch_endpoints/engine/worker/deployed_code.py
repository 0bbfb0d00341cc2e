"""A deployment's code and model on a worker's machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from batch_endpoints.engine.interpreter import chosen_by_model
from batch_endpoints.scoring.scoring_contract import ScoringContract
from batch_endpoints.specs import ParallelStep, ScoringDeployment, ScoringJob
from batch_endpoints.storage.files.access import Access, secret_variables
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.node_copies import NodeCopy, node_copy
from batch_endpoints.storage.inputs.fetch import fetch_tree

MLFLOW_PARAMS = "BATCH_ENDPOINTS_MLFLOW_PARAMS"  # what scoring/mlflow_driver.py gives to predict(), as JSON
SUITS_MODEL = "BATCH_ENDPOINTS_SUITS_MODEL"  # tells scoring/mlflow_driver.py that this interpreter was looked at


def scoring_contract(
    job: ScoringJob, interpreter: str, model: Path | None, scratch: Path, log: Path
) -> ScoringContract:
    """Bring the deployment's code to this machine.

    Args:
        model: see ``model_here``; None for a step, which has none.
    """
    deployment = job.deployment
    outputs = list(job.outputs) if isinstance(deployment, ParallelStep) else []
    folders = [name for name in outputs if job.outputs[name].type != "uri_file"]
    settings, code, access = deployment.settings, deployment.code_configuration, Access.of_deployment(job)
    return ScoringContract(
        interpreter=interpreter,
        code=fetch_tree(code.code, scratch / "fetched-code", access) if code else None,
        script=code.scoring_script if code else "",
        model_folder=model.parent if model else None,
        output_folder=scratch / "output",
        outputs=folders,
        rows_output=_rows_folder(deployment, folders),
        groups=deployment.groups,
        scratch=scratch,
        log=log,
        environment_variables={
            **({SUITS_MODEL: "1"} if chosen_by_model(job) else {}),
            **({MLFLOW_PARAMS: json.dumps(params)} if (params := job.deployment.settings.mlflow_params) else {}),
            **settings.environment_variables,
        },
        logging_level=settings.logging_level,
        timeout_seconds=settings.retry_settings.timeout,
        max_retries=settings.retry_settings.max_retries,
        secret_variables=secret_variables(access),
        azure_layout=settings.output_format == "azureml",
    )


def _rows_folder(deployment: ScoringDeployment, folders: Sequence[str]) -> str:
    """Of a step's output folders the one that AZUREML_BI_OUTPUT_PATH names; "" where there is none."""
    wanted = deployment.append_row_to if isinstance(deployment, ParallelStep) else ""
    return wanted if wanted in folders else next(iter(folders), "")


def mini_batch_format(job: ScoringJob, in_parts: bool) -> str:
    """What the deployment says of what ``run()`` gets; "" where it is for the script to say."""
    if job.deployment.code_configuration:
        return job.deployment.settings.mini_batch_format or ""
    return "pandas" if in_parts else "files"


def default_format(job: ScoringJob, of_tables: bool) -> str:
    """What ``run()`` gets where its parameter has no annotation.

    Args:
        of_tables: the plan says that the input is one of tables: then a step's script gets them, as on Azure ML, and
            a model deployment's gets paths.
    """
    return "pandas" if of_tables and isinstance(job.deployment, ParallelStep) else "files"


def model_here(job: ScoringJob, scratch: Path, cache: Path) -> NodeCopy | None:
    """The job's model on this machine, alone in its folder; user code can change nothing but this copy. None for a
    step, which has none.

    Args:
        cache: folder of what jobs on this machine share.

    Raises:
        InputError: it does not exist or cannot be read.
        StoreUnavailable: it may be read later.
    """
    if job.deployment.model is None:
        return None
    path = fetch_tree(job.model.path, scratch / "model", Access.of_deployment(job))
    if local_path(job.model.path) is None:  # this worker's own already
        return NodeCopy(path)
    return node_copy(path, cache / "models")
