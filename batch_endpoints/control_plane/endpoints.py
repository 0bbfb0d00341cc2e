"""Endpoints: create, update, list, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch_endpoints.control_plane.records import check_patch, everything, found, merge_patch
from batch_endpoints.errors import NotFound
from batch_endpoints.interfaces.records import Listing, Page, RecordStore
from batch_endpoints.specs import BatchEndpoint, check, to_document

PATCHABLE = ("description", "tags", "defaults", "properties")


class Endpoints:
    """The stable addresses of a server."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def put(self, endpoint: BatchEndpoint) -> bool:
        """Create or replace it; deployments stay.

        Returns: was it created?

        Raises:
            NotFound: the default deployment does not exist.
        """
        known = found(lambda: self._store.endpoint(endpoint.name)) is not None
        self._check_default(endpoint, exists=known)
        self._store.save_endpoint(endpoint)
        return not known

    def patch(self, name: str, patch: Mapping[str, Any]) -> BatchEndpoint:
        """Change some of its keys (JSON merge patch)."""
        check_patch(patch, PATCHABLE, "an endpoint")

        def change(known: BatchEndpoint) -> BatchEndpoint:
            return check(BatchEndpoint, merge_patch(to_document(known), patch))

        if "defaults" in patch:
            self._check_default(change(self._store.endpoint(name)), exists=True)
        return self._store.update_endpoint(name, change)

    def get(self, name: str) -> BatchEndpoint:
        return self._store.endpoint(name)

    def list(self, page: Page) -> Listing[BatchEndpoint]:
        return self._store.endpoints(page)

    def delete(self, name: str) -> None:
        """Delete it with its deployments; its jobs stay."""
        self._store.delete_endpoint(name)

    def _check_default(self, endpoint: BatchEndpoint, *, exists: bool) -> None:
        default = endpoint.defaults.deployment_name
        if not default:
            return
        pages = everything(lambda page: self._store.deployments(endpoint.name, page)) if exists else ()
        names = sorted(deployment.name for deployment in pages)
        if default.lower() not in {name.lower() for name in names}:
            raise NotFound(
                f"endpoint '{endpoint.name}' has no deployment '{default}'",
                where="defaults.deployment_name",
                mend=f"It has: {', '.join(names)}. Create '{default}' first, or name one of these."
                if names
                else "It has no deployment yet: create the endpoint without a default, then the deployment.",
            )
