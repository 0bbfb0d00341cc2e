"""Bodies of models, data, environments and components: Azure's properties to our documents, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from batch_endpoints.errors import SpecError
from batch_endpoints.ingress.azure.component_bodies import component_document, component_properties
from batch_endpoints.ingress.azure.facade import Facade
from batch_endpoints.ingress.azure.routes import Keys, present
from batch_endpoints.interfaces.records import AnyAsset, AssetKind
from batch_endpoints.specs import Data, Environment, Model


@dataclass(frozen=True)
class Body:
    """How one kind is translated.

    Args:
        document: what of our document its ``properties`` state.
        properties: what of its ``properties`` an asset states, in the workspace with this id.
    """

    document: Callable[[Facade, Keys], dict[str, Any]]
    properties: Callable[[Facade, AnyAsset, str], dict[str, Any]]


def _model(facade: Facade, given: Keys) -> dict[str, Any]:
    flavors = {key: value.get("data", value) for key, value in given.object("flavors").given.items()}
    return present(
        {
            "path": facade.ours(str(given.get("modelUri", ""))),
            "type": given.get("modelType"),
            "flavors": flavors,
            "stage": given.get("stage"),
        }
    )


def _model_properties(facade: Facade, asset: AnyAsset, workspace: str) -> dict[str, Any]:
    assert isinstance(asset, Model)
    return {
        "modelType": asset.type,
        "modelUri": facade.theirs(asset.path, workspace),
        "flavors": {key: {"data": value} for key, value in asset.flavors.items()},
        **({"stage": asset.stage} if asset.stage else {}),
    }


def _data(facade: Facade, given: Keys) -> dict[str, Any]:
    return present({"path": facade.ours(str(given.get("dataUri", ""))), "type": given.get("dataType")})


def _data_properties(facade: Facade, asset: AnyAsset, workspace: str) -> dict[str, Any]:
    assert isinstance(asset, Data)
    return {"dataType": asset.type, "dataUri": facade.theirs(asset.path, workspace)}


def _environment(facade: Facade, given: Keys) -> dict[str, Any]:
    conda = given.get("condaFile")
    if isinstance(conda, str):
        try:
            conda = yaml.safe_load(conda)
        except yaml.YAMLError as error:
            raise SpecError(f"condaFile is no YAML: {error}") from None
    build = given.object("build")
    return present(
        {
            "image": given.get("image"),
            "conda_file": conda,
            "build": {"path": build.get("contextUri"), "dockerfile_path": build.get("dockerfilePath")}
            if build
            else None,
            "os_type": str(given.get("osType", "linux")).lower(),
            "inference_config": given.get("inferenceConfig"),
        }
    )


def _environment_properties(facade: Facade, asset: AnyAsset, workspace: str) -> dict[str, Any]:
    assert isinstance(asset, Environment)
    conda: Any = asset.conda_file
    if isinstance(conda, Mapping):
        conda = yaml.safe_dump(dict(conda), sort_keys=False)
    build = asset.build and present(
        {"contextUri": asset.build.get("path"), "dockerfilePath": asset.build.get("dockerfile_path")}
    )
    properties = {
        "image": asset.image or None,
        "condaFile": conda,
        "build": build,
        "osType": asset.os_type.capitalize(),
        "environmentType": "UserCreated",
        "inferenceConfig": asset.inference_config,
    }
    return present(properties)


BODIES: dict[AssetKind, Body] = {
    "models": Body(_model, _model_properties),
    "data": Body(_data, _data_properties),
    "environments": Body(_environment, _environment_properties),
    "components": Body(component_document, component_properties),
}
