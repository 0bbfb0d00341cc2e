"""Assets: models, data, environments and components by version; datastores and computes by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from pydantic import TypeAdapter

from batch_endpoints.control_plane.components import checked_component
from batch_endpoints.control_plane.data_references import DataReferences
from batch_endpoints.control_plane.reach import check_reach
from batch_endpoints.control_plane.records import check_patch, everything, found, merge_patch
from batch_endpoints.control_plane.uploads import SCHEME, Uploads
from batch_endpoints.errors import Conflict, SpecError
from batch_endpoints.interfaces.records import (
    NOUNS,
    VERSIONED,
    AnyAsset,
    AnyDeployment,
    AssetKind,
    Listing,
    Page,
    RecordStore,
)
from batch_endpoints.specs import (
    COMPONENT,
    LOCAL,
    CommandComponent,
    Compute,
    Data,
    Datastore,
    Environment,
    Model,
    ModelDeployment,
    ParallelComponent,
    PipelineComponent,
    check,
    parse_reference,
    to_document,
)

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
AnyComponent = CommandComponent | ParallelComponent | PipelineComponent


class Assets:
    """Everything that deployments and jobs refer to by name."""

    def __init__(self, store: RecordStore, uploads: Uploads, local_paths: bool = True) -> None:
        self._store, self._local_paths = store, local_paths
        self.places = DataReferences(store, uploads, local_paths)

    def put(self, kind: AssetKind, asset: AnyAsset) -> tuple[AnyAsset, bool]:
        """Create or replace it; a versioned asset without a version gets the next number.

        A version keeps its content for ever, so that what refers to it does not change underfoot. A component without
        a version keeps the newest one where its content is the same.

        Returns: what is stored now, and whether it is new.

        Raises:
            Conflict: this version exists with other content, or it is the compute ``local``.
            SpecError: it has no name, a version that nobody could ask for, or a secret in it.
            Refused: it would open the server's disk to clients who are elsewhere.
            NotFound: it refers to an upload or a datastore that is not there.
        """
        _check_not_local(kind, asset.name)
        if not asset.name:
            raise SpecError("'name' is missing")
        check_reach(asset, self._local_paths)
        if isinstance(asset, Model | Data):
            asset = asset.model_copy(update={"path": self._own_path(asset)})
        if isinstance(asset, CommandComponent | ParallelComponent | PipelineComponent):
            asset = self._component(asset)
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

    def provide(self, datastore: Datastore) -> Datastore:
        """The datastore of this name; where there is none, this one, which is the server's own and needs no leave."""
        known = found(lambda: self._store.asset("datastores", datastore.name))
        kept = known or self._store.save_asset("datastores", datastore)
        assert isinstance(kept, Datastore)
        return kept

    def register(self, kind: AssetKind, asset: A) -> A:
        """Store an asset that was written in place; the same content under the same name keeps its version.

        Returns: it, with its version.
        """
        check_reach(asset, self._local_paths)
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
        check_reach(asset, self._local_paths)
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
        for endpoint in everything(self._store.endpoints):
            for deployment in everything(partial(self._store.deployments, endpoint.name)):
                used = _used(kind, deployment)
                found = parse_reference(used) if isinstance(used, str) and used else None
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

    def _component(self, component: AnyComponent) -> AnyComponent:
        """A component as it is kept: checked and pinned; with the newest version where that has the same content."""
        component = checked_component(self, component)
        if component.version:
            return component
        newest = found(lambda: self._store.asset("components", component.name, ""))
        if newest is None or _content(newest) != _content(component):
            return component
        return component.model_copy(update={"version": getattr(newest, "version", "")})

    def _own_path(self, asset: Model | Data) -> str:
        """An asset's path as it is kept: checked, and bare paths as URIs; what may move is resolved at each use."""
        what = f"the path of {asset.name or 'the model'}"
        uri = self.places.uri(asset.path, what)
        return asset.path if asset.path.startswith((SCHEME, "azureml:")) else uri


def _used(kind: AssetKind, deployment: AnyDeployment) -> object:
    """What a deployment could not run without, of one kind of assets."""
    used: dict[AssetKind, object]
    if isinstance(deployment, ModelDeployment):
        used = {"models": deployment.model, "environments": deployment.environment, "computes": deployment.compute}
    else:
        used = {"components": deployment.component, "computes": deployment.settings.default_compute}
    return used.get(kind)


def _content(asset: AnyAsset) -> dict[str, Any]:
    return asset.model_dump(mode="json", exclude={"version", *_FREE})


def _check_not_local(kind: AssetKind, name: str) -> None:
    if kind == "computes" and name == LOCAL.name:
        raise Conflict("the compute 'local' is the server's own cluster; it cannot be changed or deleted")
