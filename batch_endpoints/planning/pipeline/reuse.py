"""When two runs of a step are the same: the same code, settings, literals and content of its data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from batch_endpoints.planning.pipeline.output_places import file_name
from batch_endpoints.specs import CommandJob, ScoringJob

_COSMETIC = {"name", "version", "display_name", "description", "tags", "properties", "is_deterministic"}
_HOW_LONG = {"limits", "retry_settings", "resources", "queue_settings"}  # says nothing about the result


def data_of(job: CommandJob | ScoringJob) -> dict[str, str]:
    """What of a step is named by its content: its code, its model and its data -> the URI."""
    found = {f"inputs.{name}": given.path for name, given in job.inputs.items() if given.type != "literal"}
    if isinstance(job, CommandJob):
        code = job.component.code
    else:
        code = job.deployment.code_configuration.code if job.deployment.code_configuration else ""
    return found | ({"code": code} if code else {})


def _uris(job: CommandJob | ScoringJob) -> dict[str, str]:
    """Of inputs that a step is given as URIs, which it may state in what it writes."""
    declared = job.component.inputs if isinstance(job, CommandJob) else {}
    modes = {
        name: given.mode or (declared[name].mode if name in declared else "") for name, given in job.inputs.items()
    }
    return {name: given.path for name, given in job.inputs.items() if modes[name] == "direct" and given.path}


def step_key(job: CommandJob | ScoringJob, contents: Mapping[str, str]) -> str:
    """Equal for two steps that would do the same.

    Args:
        contents: the digest of each of ``data_of``.
    """
    if isinstance(job, CommandJob):
        work = job.component.model_dump(mode="json", exclude=_COSMETIC | _HOW_LONG | {"code", "inputs", "outputs"})
        work["environment_variables"] = {**job.component.environment_variables, **job.environment_variables}
    else:
        work = job.deployment.model_dump(mode="json", exclude=_COSMETIC | {"resources", "endpoint_name", "compute"})
        work["code_configuration"] = (work.get("code_configuration") or {}).get("scoring_script")
    said: dict[str, Any] = {
        "type": job.type,
        "work": work,
        "literals": {name: given.value for name, given in job.inputs.items() if given.type == "literal"},
        "modes": {name: given.mode for name, given in job.inputs.items()},
        "uris": _uris(job),
        "outputs": {name: [output.type, file_name(output.path)] for name, output in job.outputs.items()},
        "contents": dict(contents),
    }
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
