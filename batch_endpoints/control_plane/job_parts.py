"""What a new job is made of: its inputs, output and deployment, with all that they refer to resolved to URIs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.errors import InvocationError
from batch_endpoints.specs import (
    DATA_TYPES,
    Data,
    Environment,
    Invocation,
    JobInput,
    JobOutput,
    Model,
    ModelDeployment,
)
from batch_endpoints.storage.outputs.named_output import DEFAULT_NAME

_AZURE_CLASS = {
    "literal": "LiteralJobInput",
    "mlflow_model": "MLFlowModelJobInput",
    "custom_model": "CustomModelJobInput",
    "triton_model": "TritonModelJobInput",
}
_REFERENCE = re.compile(r"azureml:(?!//)|azureml://registries/|/subscriptions/")


def job_inputs(assets: Assets, given: Mapping[str, JobInput]) -> dict[str, JobInput]:
    """Literals as they are, and the one data input with its URI.

    Raises:
        InvocationError: there is none or more than one, or it is of another type.
        NotFound: it refers to what is not there.
    """
    data = {name: value for name, value in given.items() if value.type != "literal"}
    for name, value in data.items():
        _check_type(name, value.type)
    if len(data) != 1:
        told = f"it has {len(data)}: {', '.join(data)}" if data else "it has none"
        raise InvocationError(
            f"a job of a model deployment takes exactly one data input; {told}",
            mend='Give --input, or "inputData": {"data": {"jobInputType": "UriFolder", "uri": "…"}} over HTTP.',
        )
    return {name: located_input(assets, name, value) if name in data else value for name, value in given.items()}


def job_outputs(assets: Assets, invocation: Invocation) -> dict[str, JobOutput]:
    """The one output with its URI; without a path where it stays in the job folder.

    Raises:
        InvocationError: there is more than one, or nothing can be written there.
    """
    if len(invocation.outputs) > 1:
        raise InvocationError(
            f"a job of a model deployment has one output, not {len(invocation.outputs)}: "
            f"{', '.join(invocation.outputs)}"
        )
    given = invocation.outputs or {DEFAULT_NAME: JobOutput()}
    return {name: placed_output(assets, name, output) for name, output in given.items()}


def frozen_deployment(assets: Assets, deployment: ModelDeployment) -> ModelDeployment:
    """The deployment with what it refers to in it, each with a URI."""
    model = assets.referred("models", str(deployment.model))
    assert isinstance(model, Model)
    uri = assets.places.uri(model.path, f"the path of model '{model.name}'")
    kind = "mlflow_model" if assets.places.is_mlflow(model, uri) else model.type
    changes: dict[str, object] = {"model": model.model_copy(update={"path": uri, "type": kind})}
    if code := deployment.code_configuration:
        place = assets.places.uri(code.code, "code_configuration.code")
        changes["code_configuration"] = code.model_copy(update={"code": place})
    if isinstance(deployment.environment, str):
        environment = assets.referred("environments", deployment.environment)
        assert isinstance(environment, Environment)
        changes["environment"] = environment
    return deployment.model_copy(update=changes)


def located_input(assets: Assets, name: str, given: JobInput) -> JobInput:
    """Data with its URI, whatever it was called by: a path, or a registered data asset or model.

    Raises:
        NotFound: it refers to what is not there.
        InvocationError: it refers to data of a type that does not fit.
    """
    what = f"the uri of input '{name}'"
    if not _REFERENCE.match(given.path):
        return given.model_copy(update={"path": assets.places.uri(given.path, what)})
    if given.type not in DATA_TYPES:
        model = assets.referred("models", given.path)
        assert isinstance(model, Model)
        return given.model_copy(update={"path": assets.places.uri(model.path, what)})
    asset = assets.referred("data", given.path)
    assert isinstance(asset, Data)
    if (asset.type == "uri_file") != (given.type == "uri_file") and "type" in given.model_fields_set:
        raise InvocationError(f"the input '{name}' takes {given.type}, and '{given.path}' is of type {asset.type}")
    return given.model_copy(update={"path": assets.places.uri(asset.path, what), "type": asset.type})


def placed_output(assets: Assets, name: str, output: JobOutput) -> JobOutput:
    """An output with its URI; without a path where it stays in the job folder."""
    if not output.path:
        return output
    if output.path.startswith("upload:"):
        raise InvocationError(f"the uri of output '{name}' is an upload, where nothing can be written")
    return output.model_copy(update={"path": assets.places.uri(output.path, f"the uri of output '{name}'")})


def _check_type(name: str, kind: str) -> None:
    if kind not in DATA_TYPES:
        raise InvocationError(
            f"job input type '{_AZURE_CLASS[kind]}' is not supported. The supported types are: UriFileJobInput, "
            "UriFolderJobInput, MLTableJobInput",
            where=f"input '{name}'",
        )
