"""What all of Azure's nouns share: the control plane, the doors, the default datastore, and URIs both ways."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from batch_endpoints.control_plane import ControlPlane
from batch_endpoints.control_plane.uploads import SCHEME
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.ingress.azure.doors import AzureDoors
from batch_endpoints.specs import Datastore, datastore_path
from batch_endpoints.storage.files.place import writable_place

STORE, ARTIFACTS = "workspaceblobstore", "workspaceartifactstore"
"""The datastores that every workspace has: the client has the first one's name built in."""
ACCOUNT, CODE_ACCOUNT = "ws", "code"
"""Accounts of blob storage: the containers of one are the datastores, those of the other uploads of code."""
OUTPUTS, UPLOADS = "azureml/", "upload/"
"""Where in the default datastore the outputs of jobs and what was uploaded by our own clients are found."""
_OUTPUT = re.compile(rf"{OUTPUTS}([^/]+)/([^/]+)(?:/(.*))?", re.DOTALL)
_BLOBS = re.compile(rf"/blob/({CODE_ACCOUNT}|{ACCOUNT})\.blob\.local/([^/?]+)/([^?]*)")
_LABEL = re.compile(r"(?:azureml:)?/subscriptions/.+/([^/]+)/labels/([^/]+)", re.IGNORECASE)


class Facade:
    """The control plane as Azure's routes use it."""

    def __init__(self, control_plane: ControlPlane, doors: AzureDoors) -> None:
        self.plane, self.doors = control_plane, doors
        self.files = writable_place(f"{control_plane.uploads.root}/azure")

    def default_datastore(self) -> Datastore:
        """The datastore that clients upload to; it is made when the first one asks."""
        return self.plane.assets.provide(Datastore(name=STORE, type="uri", uri=self.files.uri_of(STORE)))

    def ours(self, uri: str) -> str:
        """A URI of a client's in the form that our documents have.

        What a client calls a path of the default datastore may be the output of a job, or an upload of our own
        clients': see ``theirs``.
        """
        if label := _LABEL.fullmatch(uri):
            return f"azureml:{label[1]}@{label[2]}"
        if not (below := datastore_path(uri)):
            return self._code_container(uri)
        name, path = below
        if name.lower() != STORE:
            return f"azureml://datastores/{name}/paths/{path}"
        self.default_datastore()
        if path.startswith(UPLOADS):
            return SCHEME + path.removeprefix(UPLOADS).rstrip("/")
        if found := _OUTPUT.fullmatch(path):
            with suppress(BatchEndpointError):  # then it is a path like any other
                return "/".join(filter(None, (self.plane.jobs.output(found[1], found[2]).rstrip("/"), found[3])))
        return f"azureml://datastores/{STORE}/paths/{path}"

    def theirs(self, uri: str, workspace: str) -> str:
        """A path of our documents as a URI that a client can list and download."""
        if uri.startswith(SCHEME):
            return f"{workspace_uri(workspace)}/datastores/{STORE}/paths/{UPLOADS}{uri.removeprefix(SCHEME)}"
        if below := datastore_path(uri):
            return f"{workspace_uri(workspace)}/datastores/{below[0]}/paths/{below[1]}"
        return uri

    def output_uri(self, job: str, output: str, workspace: str) -> str:
        """Where a client finds a job's output."""
        return f"{workspace_uri(workspace)}/datastores/{STORE}/paths/{OUTPUTS}{job}/{output}/"

    def blob_account(self, account: str, base: str) -> str:
        """The name of an account from which a client makes the address of our blobs, as ``discovery`` explains."""
        return f"{urlsplit(base).netloc}{urlsplit(base).path}/blob/{account}"

    def blob_address(self, account: str, container: str, base: str) -> str:
        return f"{base}/blob/{account}.blob.local/{quote(container)}"

    def _code_container(self, uri: str) -> str:
        """The address of a folder that was uploaded, as the place where it is; any other URI as it is."""
        found = _BLOBS.search(uri)
        if not found:
            return uri
        path = unquote(found[3])
        return (
            self.files.uri_of(f"{found[1]}/{found[2]}/{path}")
            if found[1] == CODE_ACCOUNT
            else f"azureml://datastores/{unquote(found[2])}/paths/{path}"
        )


def workspace_uri(workspace: str) -> str:
    """``azureml://subscriptions/…`` of a workspace's id."""
    _, _, subscription, _, group, *_, name = workspace.split("/")
    return f"azureml://subscriptions/{subscription}/resourcegroups/{group}/workspaces/{name}"
