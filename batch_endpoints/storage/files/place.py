"""Opens what a URI names: the one function that asks whether it is a disk, an object store or the web."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from batch_endpoints.errors import InputError
from batch_endpoints.interfaces.files import Place, WritablePlace
from batch_endpoints.settings import Settings
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access, credentials_for
from batch_endpoints.storage.files.addresses import azure_container, gcs_place, kind_of, plain, s3_place
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.files.object_store import ObjectStore

_CLIENTS = ("boto3", "botocore", "google", "azure")


def open_place(uri: str, access: Access = AMBIENT) -> Place:
    """What a URI or a path names; nothing is looked at yet.

    Args:
        access: credentials for what is remote, and the folders of this machine's disk that are open.

    Raises:
        InputError: nothing can be there, or the store's client is not installed.
    """
    kind = kind_of(uri)
    if kind == "disk":
        return Disk(Path(plain(uri)), access)
    credentials, timeout = credentials_for(uri, access), Settings.read().store_timeout_seconds
    if kind == "web":
        if credentials is not None:
            raise InputError(
                f"credentials of a datastore cannot be used for '{shown(uri)}'",
                mend="Leave them out of the datastore: over HTTP only what is open to all is read.",
            )
        from batch_endpoints.storage.files.web import Web  # its libraries take time to load

        return Web(uri, access, timeout)
    with _client_wanted(uri, kind):
        if kind == "azure":
            from batch_endpoints.storage.files.azure import AzureClient

            azure = azure_container(uri)
            return ObjectStore(uri, azure.container_uri, azure.key, AzureClient(azure, credentials, timeout))
        if kind == "gcs":
            from batch_endpoints.storage.files.gcs import GcsClient

            bucket, key = gcs_place(uri)
            return ObjectStore(uri, f"gs://{bucket}", key, GcsClient(bucket, credentials, timeout))
        from batch_endpoints.storage.files.s3 import S3Client

        s3 = s3_place(uri)
        return ObjectStore(uri, f"s3://{s3.bucket}", s3.key, S3Client(s3, credentials, timeout))


def writable_place(uri: str, access: Access = AMBIENT) -> WritablePlace:
    """A folder that files are written to: of a job, or of an output.

    Raises:
        InputError: as ``open_place``; or nothing can be written there.
    """
    if kind_of(uri) == "web":
        raise InputError(
            f"nothing can be written to '{shown(uri)}'",
            mend="Use a folder of a disk that all nodes share, or a path in an object store: s3://, gs:// or abfss://.",
        )
    return cast(WritablePlace, open_place(uri, access))


@contextmanager
def _client_wanted(uri: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _CLIENTS:
            raise
        raise InputError(
            f"'{shown(uri)}' needs the package {error.name}, which is not installed on this machine",
            mend=f"Install batch-endpoints[{extra}].",
        ) from None
