"""Bodies of jobs that stand for themselves: a pipeline or a command, as the content of a job's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch_endpoints.errors import InvocationError
from batch_endpoints.ingress.azure.codes import code_uri
from batch_endpoints.ingress.azure.component_bodies import pipeline_settings, reference, step_document
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.job_answers import own_tags
from batch_endpoints.ingress.azure.routes import Call, Keys, present

_LITERAL = "literal"


def job_document(facade: Facade, call: Call) -> dict[str, Any]:
    """What a client sends, as our job files have it.

    Raises:
        InvocationError: a job of another kind.
    """
    given = call.properties
    kind = str(given.get("jobType", "")).lower()
    common = {
        "type": kind,
        "name": call.name("job"),
        "display_name": given.get("displayName"),
        "description": given.get("description"),
        "experiment_name": given.get("experimentName"),
        "tags": own_tags(given.object("tags").given),
        "properties": {str(key): str(value) for key, value in given.object("properties").given.items()},
        "inputs": {name: _input(facade, value) for name, value in given.object("inputs").given.items()},
        "outputs": {name: _output(facade, value) for name, value in given.object("outputs").given.items()},
    }
    if kind == "pipeline":
        steps = {name: step_document(facade, step) for name, step in given.object("jobs").given.items()}
        return present({**common, "jobs": steps, "settings": pipeline_settings(given.object("settings"))})
    if kind == "command":
        return present({**common, **_command(facade, given)})
    raise InvocationError(
        f"a job of type {given.get('jobType')} does not run here",
        mend="Write it as a command, or as a pipeline of commands and parallel steps.",
    )


def _command(facade: Facade, given: Keys) -> dict[str, Any]:
    resources = given.object("resources")
    limits = given.object("limits")
    return {
        "command": given.get("command"),
        "code": code_uri(facade, str(given["codeId"])) if given.get("codeId") else None,
        "environment": reference(str(given.get("environmentId", ""))) or None,
        "environment_variables": given.get("environmentVariables"),
        "compute": str(given.get("computeId", "")).rpartition("/")[2] or None,
        "resources": {"instance_count": resources["instanceCount"]} if resources.get("instanceCount") else None,
        "limits": {"timeout": limits["timeout"]} if limits.get("timeout") else None,
    }


def _input(facade: Facade, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    given = Keys(value)
    kind = str(given.get("jobInputType", ""))
    if kind.lower() == _LITERAL:
        return given.get("value")
    return {"type": kind, "path": facade.ours(str(given.get("uri", "")))}


def _output(facade: Facade, value: Any) -> dict[str, Any]:
    given = Keys(value if isinstance(value, Mapping) else {})
    uri = given.get("uri")
    return present({"type": given.get("jobOutputType"), "path": facade.ours(str(uri)) if uri else None})
