"""Components: the specification that a client sends, with its ids and wrapped values, and our own form of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batch_endpoints.ingress.azure.codes import code_id, code_uri
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import Keys
from batch_endpoints.interfaces.records import AnyAsset
from batch_endpoints.specs import CommandComponent, ParallelComponent, PipelineComponent, parse_reference, to_document
from batch_endpoints.specs.component import LITERAL_TYPES, Step
from batch_endpoints.specs.deployment import PipelineSettings

_OF_STEPS = frozenset(Step.model_fields)
_DROPPED = ("$schema", "_source", "name", "version", "tags", "properties", "description", "is_anonymous")
_ID = re.compile(r"(?:azureml:)?/subscriptions/", re.IGNORECASE)


OF_JOB, OF_DEPLOYMENT = "of-job.", "of-deployment."
"""How versions of nameless components begin that are not registered: a job's, and a deployment's own."""


def source_job(given: Keys) -> str:
    """The job that a component shall be made of; "" for any other component."""
    return str(given.object("componentSpec").get("source_job_id") or "").rpartition("/")[2].removeprefix("azureml:")


def nameless_id(version: str, workspace: str) -> str:
    """The id of a component that is not registered, by which a deployment names it."""
    return f"{workspace}/components/azureml_anonymous/versions/{version}"


def component_document(facade: Facade, given: Keys) -> dict[str, Any]:
    """What of our component a client's ``properties`` state."""
    spec = given.object("componentSpec").given
    found = {key: value for key, value in spec.items() if key not in _DROPPED}
    if spec.get("description"):
        found["description"] = spec["description"]
    return _own_form(facade, found)


def _own_form(facade: Facade, spec: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(spec)
    if isinstance(found.get("code"), str):
        found["code"] = code_uri(facade, found["code"])
    if isinstance(found.get("environment"), str):
        found["environment"] = reference(found["environment"])
    if isinstance(task := found.get("task"), Mapping):
        found["task"] = _own_form(facade, task)
    for side in ("inputs", "outputs"):
        if isinstance(declared := found.get(side), Mapping):
            found[side] = {name: _declared(port) for name, port in declared.items()}
    if isinstance(steps := found.get("jobs"), Mapping):
        found["jobs"] = {name: step_document(facade, step) for name, step in steps.items()}
    return found


def step_document(facade: Facade, given: Mapping[str, Any]) -> dict[str, Any]:
    """One step of a pipeline in our form."""
    step = {key: value for key, value in given.items() if key not in _DROPPED and value not in (None, {}, "")}
    if component := step.pop("componentId", step.pop("component_id", None)):
        step["component"] = reference(str(component))
    if compute := step.pop("computeId", step.pop("compute_id", None)):
        step["compute"] = str(compute).rpartition("/")[2]
    step["inputs"] = {name: _bound(facade, value) for name, value in step.get("inputs", {}).items()}
    step["outputs"] = {name: _bound(facade, value) for name, value in step.get("outputs", {}).items()}
    return {key: value for key, value in step.items() if key in _OF_STEPS and value not in ({}, None)}


def component_properties(facade: Facade, asset: AnyAsset, workspace: str) -> dict[str, Any]:
    """The ``properties`` of one of our components."""
    assert isinstance(asset, CommandComponent | ParallelComponent | PipelineComponent)
    kept = {key: value for key, value in to_document(asset).items() if value not in ("", {}, [])}
    spec = _client_form(kept, workspace)
    spec |= {"name": asset.name, "version": asset.version}
    return {"componentSpec": spec}


def _client_form(spec: dict[str, Any], workspace: str) -> dict[str, Any]:
    found = dict(spec)
    if isinstance(found.get("code"), str):
        found["code"] = f"azureml:{code_id(found['code'], workspace)}"
    if isinstance(found.get("environment"), str):
        found["environment"] = f"azureml:{asset_id(found['environment'], 'environments', workspace)}"
    if isinstance(task := found.get("task"), dict):
        found["task"] = _client_form({key: value for key, value in task.items() if value != ""}, workspace)
    for side in ("inputs", "outputs"):
        if side in found:
            found[side] = {name: _port(port) for name, port in found[side].items()}
    if steps := found.pop("jobs", None):
        found["jobs"] = {name: step_answer(step, workspace) for name, step in steps.items()}
    return {key: value for key, value in found.items() if value not in ("", {}, [])}


def step_answer(step: Mapping[str, Any], workspace: str) -> dict[str, Any]:
    """One step of ours as a client reads it."""
    answer = {key: value for key, value in step.items() if value not in ("", {}, None)}
    if isinstance(component := answer.pop("component", None), str):
        answer["componentId"] = asset_id(component, "components", workspace)
    if compute := answer.pop("compute", None):
        answer["computeId"] = f"{workspace}/computes/{str(compute).removeprefix('azureml:')}"
    answer["inputs"] = {name: _wrapped(value, "job_input_type") for name, value in answer.get("inputs", {}).items()}
    outputs = {name: _wrapped(value, "type") for name, value in answer.get("outputs", {}).items()}
    answer["outputs"] = {name: value for name, value in outputs.items() if value}  # an empty one, no client reads
    answer.setdefault("type", "command")
    return answer


def asset_id(reference: str, kind: str, workspace: str) -> str:
    """The id of what one of our references names."""
    named = parse_reference(reference)
    if named.version:
        return f"{workspace}/{kind}/{named.name}/versions/{named.version}"
    return f"{workspace}/{kind}/{named.name}/labels/{named.label or 'latest'}"


def pipeline_settings(given: Keys) -> dict[str, Any]:
    """The settings of a pipeline that mean something here, with names in place of ids."""
    settings = {key: value for key, value in given.given.items() if key in PipelineSettings.model_fields}
    for key in ("default_compute", "default_datastore"):
        if key in settings:
            settings[key] = str(settings[key]).rpartition("/")[2].removeprefix("azureml:")
    return settings


def reference(given: str) -> str:
    """An id as a reference of ours; any other text as it is."""
    if found := re.search(r"/(\w+)/([^/]+)/labels/([^/]+)$", given):
        return f"azureml:{found[2]}@{found[3]}"
    return str(parse_reference(given)) if _ID.match(given) else given


def _declared(port: Any) -> Any:
    """A declared input or output; the type of a literal may be spelled with a capital."""
    if isinstance(port, Mapping) and isinstance(kind := port.get("type"), str):
        return {**port, "type": kind.lower() if kind.lower() in LITERAL_TYPES else kind}
    return port


def _port(port: dict[str, Any]) -> dict[str, Any]:
    """A declared input or output as a client reads it: numbers are text, and what is not stated is not there."""
    stated = {key: value for key, value in port.items() if key == "default" or value not in ("", False, None)}
    if port.get("type") not in LITERAL_TYPES:
        return stated
    return {key: _text(value) if key in ("default", "min", "max") else value for key, value in stated.items()}


def _bound(facade: Facade, value: Any) -> Any:
    """What an input or output of a step is bound to."""
    if not isinstance(value, Mapping):
        return value
    if "value" in value:
        return value["value"]
    kind = value.get("job_input_type") or value.get("job_output_type") or value.get("type")
    uri = value.get("uri") or value.get("path")
    bound = {"type": kind, "path": facade.ours(str(uri)) if uri else None, "mode": None}
    return {key: inner for key, inner in bound.items() if inner}


def _wrapped(value: Any, kind: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        path = value.get("path") or value.get("value")
        if not path or "${{" in str(path):
            return {"value": path, kind: "literal"} if path else {}
        return {"uri": path, kind: value.get("type", "uri_folder")}
    return {"value": _text(value), kind: "literal"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
