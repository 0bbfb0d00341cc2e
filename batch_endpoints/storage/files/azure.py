"""Files in Azure's blob storage, which Data Lake Gen2 is as well: its requests, and what its errors mean.

Without credentials of a datastore an account is entered with what the machine has: where they are of this account,
``AZURE_STORAGE_CONNECTION_STRING``, or ``AZURE_STORAGE_ACCOUNT`` with ``AZURE_STORAGE_KEY`` or
``AZURE_STORAGE_SAS_TOKEN``; an identity that azure-identity finds; and as nobody, which public containers allow.
"""

from __future__ import annotations

import base64
import errno
import importlib.util
import logging
import os
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ContainerClient

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.files.access import machine_identity, secret
from batch_endpoints.storage.files.addresses import AzurePlace
from batch_endpoints.storage.files.object_streams import PIECE_BYTES
from batch_endpoints.storage.files.store_client import (
    CONNECT_SECONDS,
    WRITER,
    Asker,
    Begin,
    Stat,
    Trouble,
    answered,
)

_EXISTS_CODES = {"BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite"}


class AzureClient:
    """Requests for one container.

    Args:
        credentials: references; None takes what this machine has.
    """

    errors: tuple[type[Exception], ...] = (AzureError,)

    def __init__(self, place: AzurePlace, credentials: Credentials | None, timeout_seconds: float) -> None:
        self._uri = place.container_uri
        self._container = container_client(place, credentials, timeout_seconds)

    def blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(key)

    def get(self, key: str) -> bytes:
        return bytes(self.blob(key).download_blob(max_concurrency=1, decompress=False).readall())

    def begin(self, key: str, length: int) -> Begin:
        try:
            first = self.blob(key).download_blob(0, length, max_concurrency=1, decompress=False)
        except HttpResponseError as error:
            if error.status_code != 416:
                raise
            return Begin(b"", 0, "")  # of an empty blob there is no first byte
        size = int((first.properties.content_range or "").rpartition("/")[2])
        return Begin(bytes(first.readall()), size, first.properties.etag or "")

    def piece(self, key: str, start: int, length: int, version: str) -> bytes:
        same: dict[str, Any] = {"etag": version, "match_condition": MatchConditions.IfNotModified}
        return bytes(
            self.blob(key).download_blob(start, length, max_concurrency=1, decompress=False, **same).readall()
        )

    def put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        metadata = {WRITER: writer} if writer else None
        self.blob(key).upload_blob(data, overwrite=not if_absent, metadata=metadata, max_concurrency=1)

    def stat(self, key: str) -> Stat:
        found = self.blob(key).get_blob_properties()
        if _is_folder(found.metadata):
            raise FileNotFoundError(errno.ENOENT, "it is a folder", f"{self._uri}/{key}")
        return Stat(found.size, (found.metadata or {}).get(WRITER, ""), found.etag or "")

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        # the metadata tell which are folders of a Data Lake; elsewhere folders are but parts of names
        listed = self._container.list_blobs(prefix or None, include=["metadata"], results_per_page=limit)
        pages = listed.by_page(after or None)
        page = list(next(pages, ()))
        found = [
            InputFile(f"{one.name}/" if _is_folder(one.metadata) else one.name, one.size, one.etag or "")
            for one in page
        ]
        return found, str(getattr(pages, "continuation_token", None) or "")

    def delete(self, key: str) -> None:
        self.blob(key).delete_blob()

    def upload(self, key: str, ask: Asker) -> _Upload:
        return _Upload(self.blob(key), ask)

    def trouble(self, error: Exception) -> Trouble:
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

    def __init__(self, blob: BlobClient, ask: Asker) -> None:
        self._blob, self._ask, self._prefix = blob, ask, uuid.uuid4().hex
        self._blocks: list[BlobBlock] = []

    def send(self, part: bytes, last: bool) -> None:
        name = base64.b64encode(f"{self._prefix}-{len(self._blocks):06}".encode()).decode()
        self._ask(lambda: self._blob.stage_block(name, part))
        self._blocks.append(BlobBlock(name))

    def finish(self) -> None:
        # may be done twice: then the blocks are found among those of the blob
        self._ask(lambda: self._blob.commit_block_list(self._blocks))

    def abort(self) -> None:
        """Nothing to be done."""


def _is_folder(metadata: dict[str, str] | None) -> bool:
    """Is it a folder of a hierarchical namespace, which a listing of blobs shows as an empty one?"""
    return (metadata or {}).get("hdi_isfolder", "").lower() == "true"


_SCOPE = "https://storage.azure.com/.default"


@dataclass(frozen=True)
class Login:
    """Who asks: by an account's key, by a signature, as a service principal; otherwise as this machine."""

    account_key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)
    principal: tuple[str, str, str, str] | None = field(default=None, repr=False)  # tenant, id, secret, authority


def container_client(place: AzurePlace, credentials: Credentials | None, timeout_seconds: float) -> ContainerClient:
    """A client that threads may share; each process has its own."""
    endpoint, login = azure_login(place, credentials)
    identity = machine_identity("azure", _identity) if login == Login() else None
    service = _service(os.getpid(), endpoint, place.account, login, timeout_seconds, identity)
    return service.get_container_client(place.container)


def azure_login(place: AzurePlace, credentials: Credentials | None) -> tuple[str, Login]:
    """The URL of the account, and who asks there.

    Raises:
        InputError: credentials of a kind that cannot be used, or references that lead nowhere.
    """
    given = credentials or Credentials()
    settings = _connection(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if settings.get("accountname") != place.account:
        settings = {}
    if given.connection_string:
        settings = _connection(secret(given.connection_string))
    protocol = settings.get("defaultendpointsprotocol", "https")
    endpoint = settings.get("blobendpoint") or f"{protocol}://{place.account}.blob.{place.suffix}"
    if given.account_key:
        return endpoint, Login(account_key=secret(given.account_key))
    if given.sas_token:
        return endpoint, Login(sas_token=secret(given.sas_token))
    if given.client_secret:
        parts = (given.tenant_id, given.client_id, secret(given.client_secret), given.authority_url)
        return endpoint, Login(principal=parts)
    if credentials and not given.connection_string:
        raise InputError(
            f"none of a datastore's credentials can be used for '{place.container_uri}'",
            mend="Give account_key, sas_token, connection_string, or tenant_id, client_id and client_secret.",
        )
    if not settings and os.environ.get("AZURE_STORAGE_ACCOUNT") == place.account:
        settings = {
            "accountkey": os.environ.get("AZURE_STORAGE_KEY", ""),
            "sharedaccesssignature": os.environ.get("AZURE_STORAGE_SAS_TOKEN", ""),
        }
    if key := settings.get("accountkey"):
        return endpoint, Login(account_key=key)
    return endpoint, Login(sas_token=settings.get("sharedaccesssignature", ""))


def _connection(text: str) -> dict[str, str]:
    """The settings of a connection string, by name in lower case."""
    pairs = (setting.partition("=") for setting in text.split(";") if setting)
    return {name.strip().lower(): value for name, _, value in pairs}


@lru_cache(maxsize=32)
def _service(
    process: int, endpoint: str, account: str, login: Login, timeout: float, identity: Any
) -> BlobServiceClient:
    logging.getLogger("azure").setLevel(logging.WARNING)  # otherwise it tells of each request and its headers
    return BlobServiceClient(
        endpoint,
        _credential(account, login) or identity,
        retry_total=0,  # ours know what a lost answer means (``ObjectStore.ask``)
        connection_timeout=min(CONNECT_SECONDS, timeout),
        read_timeout=timeout,
        max_single_get_size=PIECE_BYTES,
    )


def _credential(account: str, login: Login) -> Any:
    if login.account_key:
        return AzureNamedKeyCredential(account, login.account_key)
    if login.sas_token:
        return AzureSasCredential(login.sas_token)
    if login.principal:
        from azure.identity import ClientSecretCredential

        tenant, client, password, authority = login.principal
        return ClientSecretCredential(tenant, client, password, **({"authority": authority} if authority else {}))
    return None


def _identity() -> Any:
    """What azure-identity finds on this machine; None where it finds nothing."""
    if importlib.util.find_spec("azure.identity") is None:
        return None
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure.identity").setLevel(logging.ERROR)  # otherwise it lists all that it has not found
    credential = DefaultAzureCredential()
    try:
        credential.get_token(_SCOPE)
    except ClientAuthenticationError:
        return None
    return credential
