"""Clients of Azure's blob storage: where an account is, and who asks.

Without credentials of a datastore an account is entered with what the machine has: where they are of this account,
``AZURE_STORAGE_CONNECTION_STRING``, or ``AZURE_STORAGE_ACCOUNT`` with ``AZURE_STORAGE_KEY`` or
``AZURE_STORAGE_SAS_TOKEN``; an identity that azure-identity finds; and as nobody, which public containers allow.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import BlobServiceClient, ContainerClient

from batch_endpoints.errors import InputError
from batch_endpoints.settings import Settings
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.access import machine_identity, secret
from batch_endpoints.storage.azure_places import AzurePlace
from batch_endpoints.storage.object_streams import PIECE_BYTES
from batch_endpoints.storage.objects import CONNECT_SECONDS

_SCOPE = "https://storage.azure.com/.default"


@dataclass(frozen=True)
class Login:
    """Who asks: by an account's key, by a signature, as a service principal; otherwise as this machine."""

    account_key: str = field(default="", repr=False)
    sas_token: str = field(default="", repr=False)
    principal: tuple[str, str, str, str] | None = field(default=None, repr=False)  # tenant, id, secret, authority


def container_client(place: AzurePlace, credentials: Credentials | None) -> ContainerClient:
    """A client that threads may share; each process has its own."""
    endpoint, login = azure_login(place, credentials)
    timeout = Settings.read().store_timeout_seconds
    identity = machine_identity("azure", _identity) if login == Login() else None
    service = _service(os.getpid(), endpoint, place.account, login, timeout, identity)
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
        retry_total=0,  # ours know what a lost answer means (``ObjectFilesystem.call``)
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
