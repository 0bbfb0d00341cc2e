"""A pipeline as one job wants it: settings for all of its steps, or for one of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.variables import check_loads_no_code
from batch_endpoints.specs import Invocation, PipelineComponent, check, to_document

STEP_KEYS = (
    "compute",
    "environment_variables",
    "error_threshold",
    "limits",
    "logging_level",
    "max_concurrency_per_instance",
    "mini_batch_error_threshold",
    "mini_batch_size",
    "resources",
    "retry_settings",
)
"""What of one step a job may change."""
_OF_SCORING = ("on_error", "keep_failed_inputs", "output_file_name", "output_format", "mlflow_params")


def overridden_pipeline(pipeline: PipelineComponent, invocation: Invocation) -> PipelineComponent:
    """The pipeline with the job's own settings in its steps.

    Settings of the whole job go to each step for which they have a meaning, those of one step (``jobs``) win.

    Args:
        pipeline: frozen, so that all components are in place.

    Raises:
        InvocationError: a step or a key that does not exist, or a variable that loads code.
        SpecError: a value that does not fit.
    """
    check_loads_no_code(invocation.environment_variables)
    if senseless := [key for key in _OF_SCORING if getattr(invocation, key) not in (None, {}, "")]:
        raise InvocationError(
            f"a pipeline has no {', '.join(senseless)}: that is a setting of model deployments", mend="Leave it out."
        )
    document = to_document(pipeline)
    _for_all(document, _common(invocation))
    for name, changes in invocation.jobs.items():
        _for_one(document, name, changes, "jobs")
    return check(PipelineComponent, document)


def _common(invocation: Invocation) -> dict[str, Any]:
    retries = to_document(invocation.retry_settings)
    parallel = {
        "mini_batch_size": invocation.mini_batch_size,
        "max_concurrency_per_instance": invocation.max_concurrency_per_instance,
        "error_threshold": invocation.error_threshold,
        "logging_level": invocation.logging_level,
    }
    resources = {"instance_count": invocation.instance_count} if invocation.instance_count is not None else {}
    return {
        "all": {
            **({"compute": invocation.compute} if invocation.compute else {}),
            **({"retry_settings": retries} if retries else {}),
            **(
                {"resources": {"properties": dict(invocation.resource_properties)}}
                if invocation.resource_properties
                else {}
            ),
        },
        "parallel": {
            **{key: value for key, value in parallel.items() if value is not None},
            **({"resources": resources} if resources else {}),
        },
    }


def _for_all(pipeline: dict[str, Any], common: Mapping[str, Any]) -> None:
    for step in pipeline["jobs"].values():
        inner = step.get("component")
        kind = inner["type"] if isinstance(inner, dict) else step.get("type")
        if kind == "pipeline":
            _for_all(inner if isinstance(inner, dict) else step, common)
            continue
        _merge(step, common["all"])
        if kind == "parallel":
            _merge(step, common["parallel"])


def _for_one(pipeline: dict[str, Any], name: str, changes: Any, where: str) -> None:
    steps = pipeline["jobs"]
    if name not in steps:
        close = difflib.get_close_matches(name, steps, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(steps)}"
        raise InvocationError(f"{where}: the pipeline has no step '{name}'; {hint}")
    if not isinstance(changes, dict):
        raise InvocationError(f"{where}.{name}: expected keys and values")
    step = steps[name]
    inner = step.get("component")
    nested = inner if isinstance(inner, dict) and inner["type"] == "pipeline" else step if step.get("jobs") else None
    for key, value in changes.items():
        if key == "jobs" and nested:
            for below, its in value.items() if isinstance(value, dict) else ():
                _for_one(nested, below, its, f"{where}.{name}.jobs")
        elif key not in STEP_KEYS or nested:
            close = difflib.get_close_matches(key, STEP_KEYS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it can change {', '.join(STEP_KEYS)}"
            raise InvocationError(f"a job cannot change {where}.{name}.{key}; {hint}")
        elif key == "environment_variables":
            check_loads_no_code(value if isinstance(value, dict) else {})
            _merge(step, {key: value})
        else:
            _merge(step, {key: value})


def _merge(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            _merge(document[key], value)
        else:
            document[key] = dict(value) if isinstance(value, dict) else value
