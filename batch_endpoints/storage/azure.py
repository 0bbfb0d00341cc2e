"""Files in Azure's blob storage, which Data Lake Gen2 is as well: its requests, and what its errors mean."""

from __future__ import annotations

import base64
import errno
import uuid
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import Credentials
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.azure_client import container_client
from batch_endpoints.storage.azure_places import CLOUDS, azure_place, unknown_cloud
from batch_endpoints.storage.objects import WRITER, Begin, ObjectFilesystem, Stat, Trouble, answered

_EXISTS_CODES = {"BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite"}


class AzureFilesystem(ObjectFilesystem):
    """Blobs below one prefix of a container.

    Args:
        uri: in one of the spellings of ``azure_places``.
        credentials: references; None takes what this machine has.
    """

    errors = (AzureError,)

    def __init__(self, uri: str, credentials: Credentials | None = None) -> None:
        place = azure_place(uri)
        if place is None and (cloud := unknown_cloud(uri)):
            raise InputError(
                f"'{shown(uri)}' is in no cloud of Azure's: '{cloud}' is none of {', '.join(CLOUDS)}",
                mend="Name one of them. Another store of this protocol is entered with a connection_string that says "
                "its BlobEndpoint.",
            )
        if place is None:
            raise InputError(
                f"'{shown(uri)}' names no container of an account, or has a query behind it",
                mend="Write abfss://<container>@<account>.dfs.core.windows.net/<path>; a signature goes into the "
                "sas_token of a datastore.",
            )
        super().__init__(place.container_uri, place.key)
        self._container = container_client(place, credentials)

    def blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(key)

    def _get(self, key: str) -> bytes:
        return bytes(self.blob(key).download_blob(max_concurrency=1, decompress=False).readall())

    def _begin(self, key: str, length: int) -> Begin:
        try:
            first = self.blob(key).download_blob(0, length, max_concurrency=1, decompress=False)
        except HttpResponseError as error:
            if error.status_code != 416:
                raise
            return Begin(b"", 0, "")  # of an empty blob there is no first byte
        size = int((first.properties.content_range or "").rpartition("/")[2])
        return Begin(bytes(first.readall()), size, first.properties.etag or "")

    def _piece(self, key: str, start: int, length: int, version: str) -> bytes:
        same: dict[str, Any] = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        return bytes(
            self.blob(key).download_blob(start, length, max_concurrency=1, decompress=False, **same).readall()
        )

    def _put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        metadata = {WRITER: writer} if writer else None
        self.blob(key).upload_blob(data, overwrite=not if_absent, metadata=metadata, max_concurrency=1)

    def _stat(self, key: str) -> Stat:
        found = self.blob(key).get_blob_properties()
        if _is_folder(found.metadata):
            raise FileNotFoundError(errno.ENOENT, "it is a folder", f"{self.bucket_uri}/{key}")
        return Stat(found.size, (found.metadata or {}).get(WRITER, ""))

    def _page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        # the metadata tell which are folders of a Data Lake; elsewhere folders are but parts of names
        listed = self._container.list_blobs(prefix or None, include=["metadata"], results_per_page=limit)
        pages = listed.by_page(after or None)
        page = list(next(pages, ()))
        found = [InputFile(f"{one.name}/" if _is_folder(one.metadata) else one.name, one.size) for one in page]
        return found, str(getattr(pages, "continuation_token", None) or "")

    def _delete(self, key: str) -> None:
        self.blob(key).delete_blob()

    def _upload(self, path: str) -> _Upload:
        return _Upload(self, path)

    def _trouble(self, error: Exception) -> Trouble:
        said = str(getattr(error, "message", error)).partition("\n")[0]
        status, code = getattr(error, "status_code", None), str(getattr(error, "error_code", ""))
        if status is None and isinstance(error, ClientAuthenticationError):
            return Trouble("closed", said)  # it was not even asked
        if status is None or 200 <= status < 300:  # no answer, or one that broke off
            return Trouble("silent", said)
        if code == "ContainerNotFound":
            return Trouble("absent", "no such container")
        return answered(412 if code in _EXISTS_CODES else status, code or str(status), said)


class _Upload:
    """Blocks, which become a blob when they are named in a list; those that never are go by themselves."""

    def __init__(self, files: AzureFilesystem, path: str) -> None:
        self._files, self._path, self._prefix = files, path, uuid.uuid4().hex
        self._blocks: list[BlobBlock] = []

    def send(self, part: bytes, last: bool) -> None:
        name = base64.b64encode(f"{self._prefix}-{len(self._blocks):06}".encode()).decode()
        self._files.call(self._path, lambda key: self._files.blob(key).stage_block(name, part))
        self._blocks.append(BlobBlock(name))

    def finish(self) -> None:
        # may be done twice: then the blocks are found among those of the blob
        self._files.call(self._path, lambda key: self._files.blob(key).commit_block_list(self._blocks))

    def abort(self) -> None:
        """Nothing to be done."""


def _is_folder(metadata: dict[str, str] | None) -> bool:
    """Is it a folder of a hierarchical namespace, which a listing of blobs shows as an empty one?"""
    return (metadata or {}).get("hdi_isfolder", "").lower() == "true"
