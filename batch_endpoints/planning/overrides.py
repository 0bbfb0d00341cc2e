"""Overrides: a deployment as one job wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.variables import check_loads_no_code
from batch_endpoints.specs import (
    Invocation,
    JobInput,
    ModelDeploymentSettings,
    ScoringDeployment,
    check,
    to_document,
)

D = TypeVar("D", bound=ScoringDeployment)

_SETTINGS = (
    "mini_batch_size",
    "max_concurrency_per_instance",
    "error_threshold",
    "on_error",
    "keep_failed_inputs",
    "output_file_name",
    "output_format",
    "logging_level",
)

_RESUMABLE = (
    "retry_settings",
    "error_threshold",
    "on_error",
    "keep_failed_inputs",
    "max_concurrency_per_instance",
    "instance_count",
    "resource_properties",
    "environment_variables",
    "logging_level",
)


def effective_deployment(deployment: D, invocation: Invocation) -> D:
    """The deployment with the settings, environment variables and literals of one job in it.

    Literal inputs reach the scoring script as environment variables (see ``literal_variables``).

    Raises:
        SpecError: a setting that is not valid; names its key.
        InvocationError: two literals with one variable, or one without a value; a variable that loads code.
    """
    check_loads_no_code(invocation.environment_variables)
    for key in ("compute", "force_rerun", "jobs"):
        if getattr(invocation, key):
            raise InvocationError(
                f"{'compute.target' if key == 'compute' else key} cannot be changed by a job of a model deployment",
                mend="Leave it out; make another deployment with another compute."
                if key == "compute"
                else "It is for pipelines: leave it out.",
            )
    ours = {key: value for key in _SETTINGS if (value := getattr(invocation, key)) is not None}
    retries = to_document(invocation.retry_settings)
    variables = {**invocation.environment_variables, **literal_variables(invocation.inputs)}
    settings: dict[str, Any] = to_document(deployment.settings)
    settings |= ours
    settings["retry_settings"] = {**settings["retry_settings"], **retries}
    settings["environment_variables"] = {**settings["environment_variables"], **variables}
    if invocation.mlflow_params:
        settings["mlflow_params"] = {**settings.get("mlflow_params", {}), **invocation.mlflow_params}
    check(ModelDeploymentSettings, settings)  # by itself first: its errors then name the key as the request does
    document = to_document(deployment)
    document["settings"] = settings
    resources = dict(document["resources"])
    if invocation.instance_count is not None:
        resources["instance_count"] = invocation.instance_count
    resources["properties"] = {**resources["properties"], **invocation.resource_properties}
    document["resources"] = resources
    return check(type(deployment), document)


def resumed_deployment(deployment: D, invocation: Invocation) -> D:
    """The deployment as a job that goes on, or tries failed items again, shall have it from now on.

    Raises:
        InvocationError: something that is fixed by what the job has done already.
    """
    said = {key for key, value in to_document(invocation).items() if value not in ("", {}, False)}
    if fixed := sorted(said - {*_RESUMABLE}):
        raise InvocationError(
            f"a job that goes on cannot change {', '.join(fixed)}: its plan and its output are fixed",
            mend=f"It can change {', '.join(_RESUMABLE)}. Invoke the endpoint anew for anything else.",
        )
    return effective_deployment(deployment, invocation)


def literal_variables(inputs: Mapping[str, JobInput]) -> dict[str, str]:
    """Environment variables for the literals among a job's inputs.

    ``learning-rate: 0.1`` becomes ``BATCH_INPUT_LEARNING_RATE=0.1``; booleans are ``true`` and ``false``.

    Raises:
        InvocationError: two literals with one variable, or one without a value.
    """
    names: dict[str, str] = {}
    variables: dict[str, str] = {}
    for name, given in inputs.items():
        if given.type != "literal":
            continue
        if given.value is None:
            raise InvocationError(
                f"the literal input '{name}' has no value", mend='Write "value": … beside its type.'
            )
        variable = "BATCH_INPUT_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        if variable in names:
            raise InvocationError(
                f"the inputs '{names[variable]}' and '{name}' would both be {variable}", mend="Rename one of them."
            )
        names[variable] = name
        value = given.value
        variables[variable] = str(value).lower() if isinstance(value, bool) else str(value)
    return variables
