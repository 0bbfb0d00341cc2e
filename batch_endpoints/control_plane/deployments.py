"""Deployments: create with everything they refer to pinned, update, list, delete."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batch_endpoints.control_plane.assets import Assets
from batch_endpoints.control_plane.pipeline_deployments import pinned_pipeline
from batch_endpoints.control_plane.records import check_patch, found, merge_patch
from batch_endpoints.control_plane.uploads import SCHEME
from batch_endpoints.errors import Conflict, NotFound, SpecError
from batch_endpoints.interfaces.records import AnyDeployment, Listing, Page, RecordStore
from batch_endpoints.specs import (
    DEPLOYMENT,
    CodeConfiguration,
    Environment,
    Model,
    ModelDeployment,
    check,
    compute_name,
    to_document,
)
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.inputs.fetch import fetch_tree

PATCHABLE = ("description", "tags", "settings", "resources", "properties")


class Deployments:
    """What answers behind endpoints."""

    def __init__(self, store: RecordStore, assets: Assets) -> None:
        self._store, self._assets = store, assets

    def put(self, deployment: AnyDeployment, *, skip_script_validation: bool = False) -> tuple[AnyDeployment, bool]:
        """Create or replace it. A model, named environment or named component that is written in place becomes an
        asset, and ``@latest`` becomes the version that is the latest now (as Azure ML does).

        Args:
            deployment: with its ``endpoint_name``.
            skip_script_validation: take the scoring script unread.

        Returns: what is stored, and whether it is new.

        Raises:
            NotFound: no such endpoint, model, environment, component, job, compute or upload.
            SpecError: something is missing, the scoring script is no Python, or the pipeline is not one that can run.
        """
        self._store.endpoint(deployment.endpoint_name)
        if isinstance(deployment, ModelDeployment):
            deployment = self._pinned(deployment, skip_script_validation)
        else:
            deployment = pinned_pipeline(self._store, self._assets, deployment)
        known = found(lambda: self._store.deployment(deployment.endpoint_name, deployment.name))
        return self._store.save_deployment(deployment), known is None

    def patch(self, endpoint: str, name: str, patch: Mapping[str, Any]) -> AnyDeployment:
        """Change some of its keys (JSON merge patch); jobs that exist keep what they were made with."""
        check_patch(patch, PATCHABLE, "a deployment")

        def change(known: AnyDeployment) -> AnyDeployment:
            return check(DEPLOYMENT, merge_patch(to_document(known), patch))

        return self._store.update_deployment(endpoint, name, change)

    def get(self, endpoint: str, name: str) -> AnyDeployment:
        return self._store.deployment(endpoint, name)

    def list(self, endpoint: str, page: Page) -> Listing[AnyDeployment]:
        self._store.endpoint(endpoint)
        return self._store.deployments(endpoint, page)

    def delete(self, endpoint: str, name: str) -> None:
        """Raises Conflict where it is its endpoint's default."""
        self._store.deployment(endpoint, name)
        if self._store.endpoint(endpoint).defaults.deployment_name.lower() == name.lower():
            raise Conflict(
                f"deployment '{name}' is the default of endpoint '{endpoint}'",
                mend="Make another one the default, or set defaults.deployment_name to '', then delete it.",
            )
        self._store.delete_deployment(endpoint, name)

    def _pinned(self, deployment: ModelDeployment, skip_script_validation: bool) -> ModelDeployment:
        compute = compute_name(deployment.compute)
        self._assets.get("computes", compute)
        if deployment.code_configuration is not None:
            self._check_code(deployment.code_configuration, skip_script_validation)
        model = self._model(deployment)
        place = self._assets.places.uri(model.path, "model.path")
        if deployment.code_configuration is None and not self._assets.places.is_mlflow(model, place):
            raise SpecError(
                "'code_configuration' is missing",
                where=f"deployment '{deployment.name}'",
                mend="A model of type mlflow_model, or a folder with an MLmodel file, needs no scoring script; any "
                "other model needs code_configuration.code and code_configuration.scoring_script.",
            )
        return deployment.model_copy(
            update={
                "compute": compute,
                "model": f"azureml:{model.name}:{model.version}",
                "environment": self._environment(deployment.environment),
            }
        )

    def _model(self, deployment: ModelDeployment) -> Model:
        given = deployment.model
        if isinstance(given, Model) and given.path:
            name = given.name or f"{deployment.endpoint_name}-{deployment.name}"
            return self._assets.register("models", given.model_copy(update={"name": name}))
        if isinstance(given, Model):
            if not given.name:
                raise SpecError(
                    "'model.path' is missing", mend="Give the path of the model, or name a registered one."
                )
            given = f"azureml:{given.name}" + (f":{given.version}" if given.version else "")
        model = self._assets.referred("models", given)
        assert isinstance(model, Model)
        return model

    def _environment(self, given: str | Environment | None) -> str | Environment | None:
        if given is None:
            return None
        if isinstance(given, Environment):
            if not given.name:
                return given
            environment = self._assets.register("environments", given)
        else:
            referred = self._assets.referred("environments", given)
            assert isinstance(referred, Environment)
            environment = referred
        return f"azureml:{environment.name}:{environment.version}"

    def _check_code(self, code: CodeConfiguration, skip_script_validation: bool) -> None:
        uri = self._assets.places.uri(code.code, "code_configuration.code")
        if not (local_path(uri) or code.code.startswith(SCHEME)):
            raise SpecError(
                f"code_configuration.code: '{code.code}' is not on this server",
                mend="Upload the folder (POST /uploads); the command line does so by itself.",
            )
        with TemporaryDirectory(prefix="batch-endpoints-") as scratch:
            folder = open_place(uri).disk or fetch_tree(uri, Path(scratch))
            check_script(folder, code.scoring_script, parse=not skip_script_validation)


def check_script(folder: Path, script: str, *, parse: bool = True) -> None:
    """Is there a scoring script that Python can read?

    Args:
        folder: the code.
        script: the script's path in it.
        parse: False looks only whether it is there.

    Raises:
        NotFound: no such folder.
        SpecError: no such script, or a syntax error; names file and line.
    """
    if not os.path.isdir(folder):
        raise NotFound(f"the code folder '{folder}' does not exist", where="code_configuration.code")
    path = folder / script
    try:
        there = path.resolve().is_relative_to(folder.resolve()) and path.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        scripts = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.py"))[:10]
        raise SpecError(
            f"the scoring script '{script}' is not in the code folder",
            where="code_configuration.scoring_script",
            mend=f"The folder has: {', '.join(scripts)}." if scripts else "The folder has no Python file.",
        )
    if not parse:
        return
    try:
        ast.parse(path.read_bytes(), filename=script)
    except SyntaxError as error:
        line = f"\n    {error.text.strip()}" if error.text else ""
        raise SpecError(
            f"{script}:{error.lineno or 1}: {error.msg}{line}",
            mend="Mend the scoring script, or pass --skip-script-validation to deploy it unread.",
        ) from None
    except ValueError as error:  # NUL bytes
        raise SpecError(f"{script}:1: {error}") from None
