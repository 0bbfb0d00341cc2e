"""Bodies of invocations: any spelling of Azure ML's keys becomes an Invocation.

Azure ML's documentation writes ``InputData``, its SDK ``inputData``, its YAML ``input_data``: all are one key here.
Names that the caller makes up (of inputs, outputs, tags, environment variables) keep their case.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from batch_endpoints.errors import InvocationError, SpecError
from batch_endpoints.specs import Invocation, check
from batch_endpoints.specs.limits import quoted, shortened

_TYPES = (
    "uri_folder",
    "uri_file",
    "literal",
    "mltable",
    "mlflow_model",
    "custom_model",
    "triton_model",
    "string",
    "boolean",
    "number",
    "integer",
)
_BODY = ("properties",)
_INPUT = {"jobInputType": "type", "type": "type", "uri": "path", "path": "path", "value": "value", "mode": "mode"}
_OUTPUT = {"jobOutputType": "type", "type": "type", "uri": "path", "path": "path", "mode": "mode"}
_COMPUTE = ("instanceCount", "isLocal", "target", "instanceType", "location", "properties")
_RETRIES = {"maxRetries": "max_retries", "timeout": "timeout"}
_DATASET = {"dataInputType": "type", "path": "path", "datasetId": "path", "uri": "path"}
_OUTPUT_DATASET = ("datastoreId", "path")
KEYS = {
    "name": "name",
    "jobName": "name",
    "displayName": "display_name",
    "description": "description",
    "experimentName": "experiment_name",
    "errorThreshold": "error_threshold",
    "onError": "on_error",
    "keepFailedInputs": "keep_failed_inputs",
    "miniBatchSize": "mini_batch_size",
    "maxConcurrencyPerInstance": "max_concurrency_per_instance",
    "outputFileName": "output_file_name",
    "outputFormat": "output_format",
    "loggingLevel": "logging_level",
    "mlflowParams": "mlflow_params",
    "environmentVariables": "environment_variables",
    "overwrite": "overwrite",
    "forceRerun": "force_rerun",
    "jobs": "jobs",
    "tags": "tags",
}
_NESTED = (
    "inputData",
    "outputData",
    "compute",
    "retrySettings",
    "properties",
    "dataset",
    "outputDataset",
    "partitionKeys",
)

EXAMPLES: dict[str, Any] = {
    "folder": {
        "summary": "Score a folder",
        "value": {"properties": {"inputData": {"data": {"jobInputType": "UriFolder", "uri": "s3://bucket/images/"}}}},
    },
    "overrides": {
        "summary": "Score one file, with settings of this job's own",
        "value": {
            "properties": {
                "inputData": {
                    "data": {"jobInputType": "UriFile", "uri": "azureml:heart-unlabeled@latest"},
                    "threshold": {"jobInputType": "Literal", "value": 0.5},
                },
                "outputData": {"score": {"jobOutputType": "UriFile", "uri": "file:///data/out/predictions.csv"}},
                "compute": {"instanceCount": 2},
                "retrySettings": {"maxRetries": 2, "timeout": "PT45S"},
                "errorThreshold": 3,
                "miniBatchSize": 20,
                "tags": {"run": "nightly"},
            }
        },
    },
}


def parse_invocation(body: Mapping[str, Any]) -> Invocation:
    """Read the body of ``POST /endpoints/{endpoint}/jobs``.

    Raises:
        SpecError: an unknown key (names the nearest known one), a key given twice, a value that does not fit.
        InvocationError: something of Azure ML's that a job cannot change here.
    """
    given = _keys(body, _BODY, "the body")
    if "properties" not in given:
        raise SpecError(
            "'properties' is missing",
            mend='Write {"properties": {"inputData": {"data": {"jobInputType": "UriFolder", "uri": "…"}}}}.',
        )
    found = _keys(given["properties"], (*KEYS, *_NESTED), "properties")
    document: dict[str, Any] = {KEYS[key]: value for key, value in found.items() if key in KEYS}
    for key, read in _READERS.items():
        if key in found:
            _merge(document, read(found[key]))
    return check(Invocation, document)


def _inputs(value: Any) -> dict[str, Any]:
    inputs = {}
    for name, given in _mapping(value, "inputData").items():
        inputs[name] = _typed(_renamed(given, _INPUT, f"inputData.{name}"))
    return {"inputs": inputs}


def _outputs(value: Any) -> dict[str, Any]:
    outputs = {}
    for name, given in _mapping(value, "outputData").items():
        outputs[name] = _typed(_renamed(given, _OUTPUT, f"outputData.{name}"))
    return {"outputs": outputs}


def _compute(value: Any) -> dict[str, Any]:
    found = _keys(value, _COMPUTE, "compute")
    if found.get("instanceType"):
        raise InvocationError(
            "compute.instanceType cannot be changed by a job", mend="Make another deployment with another compute."
        )
    # isLocal comes with every instanceCount of Azure's SDK and means nothing
    names = {"instanceCount": "instance_count", "properties": "resource_properties", "target": "compute"}
    return {names[key]: value for key, value in found.items() if key in names}


def _retries(value: Any) -> dict[str, Any]:
    return {"retry_settings": _renamed(value, _RETRIES, "retrySettings")}


def _properties(value: Any) -> dict[str, Any]:
    """A job's properties are the caller's, but for the one that names an experiment."""
    properties = dict(_mapping(value, "properties.properties"))
    for key in list(properties):
        if _folded(key) == "experimentname":
            return {"experiment_name": properties.pop(key), "properties": properties}
    return {"properties": properties}


def _dataset(value: Any) -> dict[str, Any]:
    """The legacy form of one input: ``{"dataInputType": "DataUrl", "path": "…"}``."""
    found = _renamed(value, _DATASET, "dataset")
    kind = _folded(str(found.get("type", "DataUrl")))
    spelled = {"dataurl": "uri_folder", "datasetid": "uri_folder", "dataversion": "uri_folder", "url": "uri_folder"}
    return {"inputs": {"dataset": _typed({**found, "type": spelled.get(kind, found.get("type"))})}}


def _output_dataset(value: Any) -> dict[str, Any]:
    """The legacy form of the output: a datastore and a path in it."""
    found = _keys(value, _OUTPUT_DATASET, "outputDataset")
    path = str(found.get("path", "")).lstrip("/")
    if datastore := str(found.get("datastoreId", "")):
        name = datastore.rpartition("/")[2].removeprefix("azureml:")
        path = f"azureml://datastores/{name}/paths/{path}"
    return {"outputs": {"score": {"type": "uri_folder", "path": path}}}


def _partition_keys(value: Any) -> dict[str, Any]:
    if value:
        raise InvocationError("partitionKeys are not supported", mend="Leave them out.")
    return {}


_READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "inputData": _inputs,
    "outputData": _outputs,
    "compute": _compute,
    "retrySettings": _retries,
    "properties": _properties,
    "dataset": _dataset,
    "outputDataset": _output_dataset,
    "partitionKeys": _partition_keys,
}


def _merge(document: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        before = document.setdefault(key, value)
        if isinstance(before, dict) and isinstance(value, dict):
            _merge(before, value)
        elif before != value:
            raise SpecError(f"'{key}' stands at two places, with different values", mend="Keep one of them.")


def _folded(key: str) -> str:
    return re.sub(r"[-_]", "", key).lower()


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SpecError(f"'{where}': expected an object, found {quoted(value)}")
    return value


def _keys(value: Any, known: tuple[str, ...], where: str) -> dict[str, Any]:
    """What has a value, by the known spelling of its key."""
    spellings = {_folded(key): key for key in known}
    found: dict[str, Any] = {}
    for key, inner in _mapping(value, where).items():
        spelled = spellings.get(_folded(key))
        if spelled is None:
            close = difflib.get_close_matches(_folded(key), spellings, n=1, cutoff=0.6)
            hint = f"did you mean '{spellings[close[0]]}'?" if close else f"known here: {', '.join(known)}"
            raise SpecError(f"unknown key '{shortened(key)}' in {shortened(where)}; {hint}")
        if spelled in found:
            raise SpecError(f"'{spelled}' stands twice in {where}", mend="Keep one spelling of it.")
        if inner is not None:
            found[spelled] = inner
    return found


def _renamed(value: Any, names: Mapping[str, str], where: str) -> dict[str, Any]:
    """The same under the names of our specs; several known keys may have one name, but only one may be given."""
    renamed: dict[str, Any] = {}
    for key, inner in _keys(value, tuple(names), where).items():
        if names[key] in renamed:
            raise SpecError(f"'{key}' in {where} says what another key has said", mend="Keep one of them.")
        renamed[names[key]] = inner
    return renamed


def _typed(given: dict[str, Any]) -> dict[str, Any]:
    """With its type in our spelling; one that is not known stays, for the spec to name."""
    spellings = {_folded(kind): kind for kind in _TYPES}
    if isinstance(kind := given.get("type"), str):
        given["type"] = spellings.get(_folded(kind), kind)
    return given
