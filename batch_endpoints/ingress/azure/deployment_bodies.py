"""Bodies of deployments: Azure's properties to our document, and back with all settings in them.

A notebook gets a deployment, changes one setting and puts it again, so an answer has every setting that it may send.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.azure.codes import code_id, code_uri
from batch_endpoints.ingress.azure.component_bodies import (
    OF_DEPLOYMENT,
    OF_JOB,
    asset_id,
    nameless_id,
    pipeline_settings,
)
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import Call, Keys, present
from batch_endpoints.interfaces.records import AnyDeployment
from batch_endpoints.specs import (
    MINI_BATCH_FILES,
    Environment,
    Model,
    ModelDeployment,
    PipelineComponentDeployment,
    compute_name,
    rows_file,
    to_document,
)
from batch_endpoints.specs.deployment import snake_case
from batch_endpoints.specs.rows_file import DEFAULT_NAME

_SETTINGS = {
    "miniBatchSize": "mini_batch_size",
    "maxConcurrencyPerInstance": "max_concurrency_per_instance",
    "errorThreshold": "error_threshold",
    "outputAction": "output_action",
    "outputFileName": "output_file_name",
    "loggingLevel": "logging_level",
    "environmentVariables": "environment_variables",
}


def deployment_document(facade: Facade, call: Call, known: AnyDeployment | None) -> dict[str, Any]:
    """Our document of what a client sends.

    Args:
        known: the deployment that is replaced: what Azure's form of it cannot have stays as it is.
    """
    given = call.properties
    common = {
        "name": call.name("name"),
        "endpoint_name": call.name("endpoint"),
        "description": given.get("description"),
        "tags": call.body.get("tags"),
        "properties": given.get("properties"),
    }
    configuration = given.object("deploymentConfiguration")
    if str(configuration.get("deploymentConfigurationType", "")).lower() == "pipelinecomponent":
        return present({**common, **_pipeline(configuration, known)})
    document = present({**common, **_model(facade, given)})
    if isinstance(known, ModelDeployment):
        _keep(document, known)
    else:
        _azures_layout(document["settings"])
    return document


def deployment_properties(deployment: AnyDeployment, workspace: str) -> dict[str, Any]:
    """The ``properties`` of one of our deployments."""
    common = {
        "description": deployment.description,
        "properties": deployment.properties,
        "provisioningState": "Succeeded",
    }
    if isinstance(deployment, ModelDeployment):
        return {**common, **_model_properties(deployment, workspace)}
    if isinstance(deployment.component, str):
        id = asset_id(deployment.component, "components", workspace)
    else:
        id = nameless_id(f"{OF_DEPLOYMENT}{deployment.endpoint_name}.{deployment.name}", workspace)
    stated = deployment.settings.model_dump(mode="json", exclude_none=True).items()
    configuration = {
        "deploymentConfigurationType": "PipelineComponent",
        "settings": {key: str(value) for key, value in stated if value not in ("", {})},
        "componentId": _asset(id),
    }
    return {**common, "deploymentConfiguration": configuration, "errorThreshold": -1, "miniBatchSize": 10}


def _model(facade: Facade, given: Keys) -> dict[str, Any]:
    model = given.object("model")
    kind = str(model.get("referenceType", "Id"))
    if kind.lower() != "id":
        raise SpecError(f"a model of referenceType {kind} cannot be deployed", mend="Register it, and name its id.")
    resources, retries = given.object("resources"), given.object("retrySettings")
    code = given.object("codeConfiguration")
    settings = {ours: given.get(theirs) for theirs, ours in _SETTINGS.items()}
    settings["retry_settings"] = (
        present({"max_retries": retries.get("maxRetries"), "timeout": retries.get("timeout")}) or None
    )
    script = {"scoring_script": code.get("scoringScript")}
    return {
        "type": "model",
        "model": facade.ours(str(model.get("assetId", ""))),
        "code_configuration": {"code": code_uri(facade, str(code.get("codeId", ""))), **script} if code else None,
        "environment": given.get("environmentId"),
        "compute": str(given.get("compute") or "local").rpartition("/")[2],
        "resources": present(
            {
                "instance_count": resources.get("instanceCount"),
                "instance_type": resources.get("instanceType"),
                "properties": resources.get("properties"),
            }
        ),
        "settings": present(settings),
    }


def _model_properties(deployment: ModelDeployment, workspace: str) -> dict[str, Any]:
    settings, resources = deployment.settings, deployment.resources
    model, environment = deployment.model, deployment.environment
    name = f"azureml:{model.name}:{model.version}" if isinstance(model, Model) else model
    if isinstance(environment, Environment):
        environment = f"azureml:{environment.name}:{environment.version}" if environment.name else None
    code = deployment.code_configuration
    properties = {
        "model": _asset(asset_id(name, "models", workspace)),
        "codeConfiguration": code and {"codeId": code_id(code.code, workspace), "scoringScript": code.scoring_script},
        "environmentId": asset_id(environment, "environments", workspace) if environment else None,
        "environmentVariables": settings.environment_variables,
        "compute": f"{workspace}/computes/{compute_name(deployment.compute)}",
        "resources": present(
            {
                "instanceCount": resources.instance_count,
                "instanceType": resources.instance_type or None,
                "properties": resources.properties,
            }
        ),
        "miniBatchSize": settings.mini_batch_size if isinstance(settings.mini_batch_size, int) else MINI_BATCH_FILES,
        "maxConcurrencyPerInstance": settings.max_concurrency_per_instance,
        "errorThreshold": settings.error_threshold,
        "retrySettings": {
            "maxRetries": settings.retry_settings.max_retries,
            "timeout": f"PT{settings.retry_settings.timeout}S",
        },
        "outputAction": "AppendRow" if settings.output_action == "append_row" else "SummaryOnly",
        "outputFileName": settings.output_file_name or DEFAULT_NAME,
        "loggingLevel": settings.logging_level.capitalize(),
    }
    return present(properties)


def _keep(document: dict[str, Any], known: ModelDeployment) -> None:
    """Settings that only we have, and values that an answer had to show otherwise."""
    settings = document["settings"]
    own = known.settings.model_dump(exclude=set(_SETTINGS.values()) | {"retry_settings"}, exclude_defaults=True)
    settings |= {key: value for key, value in own.items() if key not in settings}
    if not isinstance(known.settings.mini_batch_size, int) and settings.get("mini_batch_size") == MINI_BATCH_FILES:
        settings["mini_batch_size"] = known.settings.mini_batch_size
    if known.settings.output_file_name is None and settings.get("output_file_name") == DEFAULT_NAME:
        settings["output_file_name"] = None
    if snake_case(settings.get("output_action")) == "summary_only":
        settings.pop("output_format", None)
    if isinstance(known.environment, Environment) and not known.environment.name:
        document.setdefault("environment", known.environment.model_dump(exclude_none=True))


def _azures_layout(settings: dict[str, Any]) -> None:
    """Let a new deployment write its rows as Azure does: that is how its notebook reads them."""
    if snake_case(settings.get("output_action", "")) == "summary_only":
        return
    with suppress(ValueError):  # the name of the file says another format
        rows_file(settings.get("output_file_name"), "azureml")
        settings["output_format"] = "azureml"


def _pipeline(configuration: Keys, known: AnyDeployment | None) -> dict[str, Any]:
    given = str(configuration.object("componentId").get("assetId", ""))
    version = given.rpartition("/")[2]
    source: dict[str, Any] = {"component": given}
    if version.startswith(OF_JOB):
        source = {"job_definition": version.removeprefix(OF_JOB)}
    elif version.startswith(OF_DEPLOYMENT) and isinstance(known, PipelineComponentDeployment):
        source = {"component": to_document(known)["component"]}
    return {"type": "pipeline", **source, "settings": pipeline_settings(configuration.object("settings"))}


def _asset(id: str) -> dict[str, str]:
    return {"referenceType": "Id", "assetId": id}
