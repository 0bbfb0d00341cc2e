"""Assets: models, data, environments and components by version; datastores and computes by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from batch_endpoints.control_plane.records import check_patch, everything, found, merge_patch
from batch_endpoints.errors import Conflict, Refused, SpecError
from batch_endpoints.interfaces import NOUNS, VERSIONED, AnyAsset, AssetKind, Listing, Page, RecordStore
from batch_endpoints.specs import (
    COMPONENT,
    LOCAL,
    Compute,
    Credentials,
    Data,
    Datastore,
    Environment,
    JobInput,
    JobOutput,
    MLTable,
    Model,
    ModelDeployment,
    check,
    datastore_path,
    parse_reference,
    to_document,
)
from batch_endpoints.storage.access import credentials_for
from batch_endpoints.storage.filesystem import local_path
from batch_endpoints.storage.mltable import read_mltable
from batch_endpoints.storage.uploads import SCHEME, Uploads

SPECS: dict[AssetKind, type[Any] | TypeAdapter[Any]] = {
    "models": Model,
    "data": Data,
    "datastores": Datastore,
    "environments": Environment,
    "components": COMPONENT,
    "computes": Compute,
}
_FREE = ("description", "tags", "properties", "stage", "display_name")
"""What may change in a version that exists; the rest is what the version stands for."""

A = TypeVar("A", Model, Data, Environment)


class Assets:
    """Everything that deployments and jobs refer to by name."""

    def __init__(self, store: RecordStore, uploads: Uploads, local_paths: bool = True) -> None:
        self._store, self._uploads, self._local_paths = store, uploads, local_paths

    def put(self, kind: AssetKind, asset: AnyAsset) -> tuple[AnyAsset, bool]:
        """Create or replace it; a versioned asset without a version gets the next number.

        A version keeps its content for ever, so that what refers to it does not change underfoot.

        Returns: what is stored now, and whether it is new.

        Raises:
            Conflict: this version exists with other content, or it is the compute ``local``.
            SpecError: it has no name, or a version that nobody could ask for.
            NotFound: it refers to an upload or a datastore that is not there.
        """
        _check_not_local(kind, asset.name)
        if not asset.name:
            raise SpecError("'name' is missing")
        if isinstance(asset, Model | Data):
            asset = asset.model_copy(update={"path": self._own_path(asset)})
        version = "" if isinstance(asset, Datastore | Compute) else asset.version
        if version == "latest":
            raise SpecError(
                f"'latest' is not a version; it stands for the newest {NOUNS[kind]} of a name",
                where=f"{NOUNS[kind]} '{asset.name}'",
                mend="Leave the version out to get the next number, or give another one.",
            )
        known = None
        if kind not in VERSIONED or version:
            known = found(lambda: self._store.asset(kind, asset.name, version))
        if known is not None and kind in VERSIONED and _content(known) != _content(asset):
            raise Conflict(
                f"{NOUNS[kind]} '{asset.name}' has a version {version} already, with other content",
                mend="A version never changes. Leave the version out to get the next number, or name another.",
            )
        return self._store.save_asset(kind, asset), known is None

    def register(self, kind: AssetKind, asset: A) -> A:
        """Store an asset that was written in place; the same content under the same name keeps its version.

        Returns: it, with its version.
        """
        if isinstance(asset, Model):
            asset = asset.model_copy(update={"path": self._own_path(asset)})
        if not asset.version:
            versions = found(lambda: list(everything(lambda page: self._store.versions(kind, asset.name, page))))
            for known in versions or ():
                if isinstance(known, type(asset)) and _content(known) == _content(asset):
                    return known
        stored, _ = self.put(kind, asset)
        assert isinstance(stored, type(asset))
        return stored

    def patch(self, kind: AssetKind, name: str, patch: Mapping[str, Any]) -> AnyAsset:
        """Change some keys of a datastore or a compute (JSON merge patch)."""
        _check_not_local(kind, name)
        before = to_document(self._store.asset(kind, name))
        check_patch(patch, tuple(key for key in before if key not in ("name", "type")), f"a {NOUNS[kind]}")
        asset: AnyAsset = check(SPECS[kind], merge_patch(before, patch))
        return self._store.save_asset(kind, asset)

    def get(self, kind: AssetKind, name: str, version: str = "") -> AnyAsset:
        """One asset; "" and ``latest`` are its newest version.

        Raises:
            NotFound: names what there is.
        """
        if kind == "computes" and name == LOCAL.name:
            return LOCAL
        return self._store.asset(kind, name, version)

    def list(self, kind: AssetKind, page: Page) -> Listing[AnyAsset]:
        """The newest version of each; of computes, ``local`` comes first."""
        listing = self._store.assets(kind, page)
        if kind == "computes" and not page.after:
            return Listing([LOCAL, *listing.items], listing.next)
        return listing

    def versions(self, kind: AssetKind, name: str, page: Page) -> Listing[AnyAsset]:
        return self._store.versions(kind, name, page)

    def delete(self, kind: AssetKind, name: str, version: str = "") -> None:
        _check_not_local(kind, name)
        if users := list(self._users(kind, name, version)):
            raise Conflict(
                f"{NOUNS[kind]} '{name}' is used by {', '.join(users[:5])}",
                mend="Delete what uses it first, or let it use another one.",
            )
        self._store.delete_asset(kind, name, version)

    def _users(self, kind: AssetKind, name: str, version: str) -> Iterator[str]:
        """Deployments that could not run without this asset."""
        if kind not in ("models", "environments", "computes"):
            return
        for endpoint in everything(self._store.endpoints):
            for deployment in everything(partial(self._store.deployments, endpoint.name)):
                if isinstance(deployment, ModelDeployment):
                    used = {
                        "models": deployment.model,
                        "environments": deployment.environment,
                        "computes": deployment.compute,
                    }[kind]
                    found = parse_reference(used) if isinstance(used, str) else None
                    if found and found.name == name and (not version or found.version in ("", version)):
                        yield f"deployment '{deployment.name}' of endpoint '{endpoint.name}'"

    def referred(self, kind: AssetKind, reference: str) -> AnyAsset:
        """What ``azureml:name:version``, ``azureml:name@latest`` or a plain name stands for now.

        Raises:
            SpecError: no reference, or a label other than latest.
            NotFound: names what there is.
        """
        wanted = parse_reference(reference)
        if wanted.label not in ("", "latest"):
            raise SpecError(f"'{reference}' has the label '{wanted.label}'", mend="The only label here is latest.")
        return self._store.asset(kind, wanted.name, wanted.version)

    def uri(self, path: str, what: str) -> str:
        """What a document calls data by, as a URI that every node can open.

        Args:
            path: ``upload://…``, ``azureml://datastores/…``, any other URI, or an absolute path on this server.
            what: whose path it is, for errors.

        Raises:
            SpecError: a path that says nothing here.
            Refused: a path on this server's disk, which it does not open to its clients.
            NotFound: an upload or a datastore that is not there.
        """
        if path.startswith(SCHEME):
            return self._uploads.resolve(path).as_uri()
        if in_datastore := datastore_path(path):
            name, below = in_datastore
            if ".." in below.split("/"):
                raise SpecError(f"{what}: '{path}' leads out of the datastore", mend="Leave '..' out.")
            datastore = self._store.asset("datastores", name)
            assert isinstance(datastore, Datastore)
            prefix = datastore.prefix
            if not prefix:
                raise SpecError(f"datastore '{name}' of type {datastore.type} cannot be opened here")
            folder = local_path(prefix)
            if folder:
                return (folder / below.lstrip("/")).as_uri()
            prefix, mark, query = prefix.partition("?")
            return f"{prefix.rstrip('/')}/{below}".rstrip("/") + mark + query
        if path.startswith("azureml:"):
            raise SpecError(
                f"{what}: '{path}' names no place on this server",
                mend="Write azureml://datastores/<name>/paths/<path>, another URI, or an absolute path.",
            )
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) and not _is_file_uri(path):
            return path
        place = local_path(path) if _is_file_uri(path) else None
        absolute = str(place) if place is not None else path
        if not absolute.startswith("/"):
            raise SpecError(
                f"{what}: '{path}' is relative, and the server cannot know to what" if path else f"{what} is missing",
                mend="Write a URI or an absolute path. The command line uploads relative paths by itself.",
            )
        if not self._may_use(Path(absolute)):
            raise Refused(
                f"{what}: '{path}' is a path on the server's disk, and this server does not open its disk to clients",
                mend="Upload the data, give the URI of a store, or register a datastore for a folder on that disk.",
            )
        return Path(absolute).as_uri()

    def access(self, uris: Iterable[str]) -> dict[str, Credentials]:
        """Where credentials are found for those of the URIs that are below a datastore which has some.

        It does not matter how they were named: what is below a datastore's prefix is opened with its credentials.

        Returns: prefix -> references to secrets, never the secrets.
        """
        wanted = list(uris)
        return {
            datastore.prefix: datastore.credentials
            for datastore in self._datastores()
            if datastore.credentials
            and datastore.prefix
            and any(credentials_for(uri, {datastore.prefix: datastore.credentials}) for uri in wanted)
        }

    def table(self, given: JobInput, access: dict[str, Credentials]) -> tuple[MLTable | None, dict[str, Credentials]]:
        """What the file of an MLTable says, with URIs, and access to these besides; None for any other input.

        Raises:
            InputError: it cannot be read.
            SpecError: it says what nobody understands here, or a path that says nothing.
            Refused: a path on this server's disk, which it does not open to its clients.
        """
        if given.type != "mltable":
            return None, access
        table = read_mltable(given.path, lambda path: self.uri(path, "a path of the MLTable"), access)
        return table, {**access, **self.access(entry.path for entry in table.paths)}

    def _may_use(self, place: Path) -> bool:
        """May clients name this path: in local mode any, otherwise those below a registered datastore?"""
        if self._local_paths:
            return True
        folders = (local_path(datastore.prefix) for datastore in self._datastores() if datastore.prefix)
        return ".." not in place.parts and any(folder and place.is_relative_to(folder) for folder in folders)

    def _datastores(self) -> Iterable[Datastore]:
        found = everything(lambda page: self._store.assets("datastores", page))
        return (asset for asset in found if isinstance(asset, Datastore))

    def _own_path(self, asset: Model | Data) -> str:
        """An asset's path as it is kept: checked, and bare paths as URIs; what may move is resolved at each use."""
        what = f"the path of {asset.name or 'the model'}"
        uri = self.uri(asset.path, what)
        return asset.path if asset.path.startswith((SCHEME, "azureml:")) else uri


def places(
    deployment: ModelDeployment, inputs: Mapping[str, JobInput], outputs: Mapping[str, JobOutput]
) -> Iterator[str]:
    """The URIs of all that a job reads and writes."""
    yield from (given.path for given in inputs.values())
    yield from (output.path for output in outputs.values())
    if isinstance(deployment.model, Model):
        yield deployment.model.path
    if deployment.code_configuration:
        yield deployment.code_configuration.code


def _is_file_uri(path: str) -> bool:
    return path[:5].lower() == "file:"


def is_mlflow(model: Model, uri: str) -> bool:
    """Does MLflow know how to load it: by its type, or because its folder says so.

    Args:
        model: the model.
        uri: where it is, from ``Assets.uri``.
    """
    if model.type == "mlflow_model":
        return True
    folder = local_path(uri)
    return folder is not None and (folder / "MLmodel").is_file()


def _content(asset: AnyAsset) -> dict[str, Any]:
    return asset.model_dump(mode="json", exclude={"version", *_FREE})


def _check_not_local(kind: AssetKind, name: str) -> None:
    if kind == "computes" and name == LOCAL.name:
        raise Conflict("the compute 'local' is the server's own cluster; it cannot be changed or deleted")
