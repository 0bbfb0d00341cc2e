"""Files in Google's Cloud Storage: its requests, and what its errors mean.

Without credentials of a datastore a bucket is entered with what the machine has, as Google's clients find it
(``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's, that of a machine in Google's cloud), and as nobody, which public
buckets allow. ``STORAGE_EMULATOR_HOST`` names a store that is not Google's.
"""

from __future__ import annotations

import json
import logging
import os
from functools import lru_cache
from typing import Any, TypedDict

import google.auth
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, InvalidOperation, TransportError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.service_account import Credentials as ServiceAccount
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.files.access import machine_identity, secret
from batch_endpoints.storage.files.object_streams import PIECE_BYTES
from batch_endpoints.storage.files.patience import PATIENT_SECONDS
from batch_endpoints.storage.files.store_client import (
    CONNECT_SECONDS,
    WRITER,
    Asker,
    Begin,
    Stat,
    Trouble,
    answered,
)

_ONCE: dict[str, Any] = {"retry": None}  # ours know what a lost answer means (``Asker.call``)

logger = logging.getLogger(__name__)


class GcsClient:
    """Requests for one bucket.

    Args:
        credentials: references; None takes what this machine has.
    """

    errors: tuple[type[Exception], ...] = (
        GoogleAPIError,
        GoogleAuthError,
        DataCorruption,
        InvalidResponse,
        RequestException,
        HTTPError,
    )

    def __init__(self, bucket: str, credentials: Credentials | None, timeout_seconds: float) -> None:
        self._client = gcs_client(f"gs://{bucket}", credentials)
        self._bucket = self._client.bucket(bucket)
        self._limits: _Limits = {"timeout": (min(CONNECT_SECONDS, timeout_seconds), timeout_seconds)}

    def blob(self, key: str) -> Blob:
        return self._bucket.blob(key)

    def get(self, key: str) -> bytes:
        return bytes(self.blob(key).download_as_bytes(raw_download=True, **_ONCE, **self._limits))

    def begin(self, key: str, length: int) -> Begin:
        blob = self.blob(key)
        blob.reload(**_ONCE, **self._limits)
        version = str(blob.generation)
        data = self.piece(key, 0, min(length, blob.size), version) if blob.size else b""
        return Begin(data, blob.size, version)

    def piece(self, key: str, start: int, length: int, version: str) -> bytes:
        wanted = {"start": start, "end": start + length - 1, "if_generation_match": int(version)}
        return bytes(self.blob(key).download_as_bytes(raw_download=True, **wanted, **_ONCE, **self._limits))

    def put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        blob = self.blob(key)
        if writer:
            blob.metadata = {WRITER: writer}
        condition = {"if_generation_match": 0} if if_absent else {}
        blob.upload_from_string(data, "application/octet-stream", **condition, **_ONCE, **self._limits)

    def stat(self, key: str) -> Stat:
        blob = self.blob(key)
        blob.reload(**_ONCE, **self._limits)
        return Stat(blob.size, (blob.metadata or {}).get(WRITER, ""), str(blob.generation or ""))

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        listed = self._client.list_blobs(
            self._bucket,
            prefix=prefix or None,
            page_token=after or None,
            page_size=limit,
            fields="items(name,size,generation),nextPageToken",
            **_ONCE,
            **self._limits,
        )
        page = next(listed.pages, ())
        return [
            InputFile(blob.name, blob.size, str(blob.generation or "")) for blob in page
        ], listed.next_page_token or ""

    def delete(self, key: str) -> None:
        self.blob(key).delete(**_ONCE, **self._limits)

    def upload(self, key: str, ask: Asker) -> _Upload:
        writer = self.blob(key).open("wb", chunk_size=PIECE_BYTES, retry=UPLOAD_RETRY, **self._limits)
        return _Upload(ask, writer)

    def trouble(self, error: Exception) -> Trouble:
        if isinstance(error, GoogleAPICallError) and error.code:
            if error.code == 404 and "bucket does not exist" in error.message:
                return Trouble("absent", "no such bucket")
            return answered(int(error.code), str(int(error.code)), error.message)
        if isinstance(error, InvalidResponse):
            return answered(error.response.status_code, str(error.response.status_code), error.response.reason)
        if isinstance(error, InvalidOperation):  # the store wants to know who asks, and it is nobody
            return Trouble("closed", "there are no credentials for it on this machine")
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError) and not error.retryable:
            return Trouble("closed", f"its credentials do not work: {error}")
        return Trouble("silent", str(error))


class _Upload:
    """An upload in parts, which Google calls resumable; its client knows how to go on where an answer was lost."""

    def __init__(self, ask: Asker, writer: Any) -> None:
        self._ask, self._writer = ask, writer

    def send(self, part: bytes, last: bool) -> None:
        self._ask(lambda: self._writer.write(part), once=True)

    def finish(self) -> None:
        self._ask(lambda: self._writer.close(), once=True)

    def abort(self) -> None:
        try:
            self._ask(lambda: self._writer.terminate(), once=True)
        except OSError as error:
            logger.debug("an upload that broke off is left in the store: %s", error)


_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_PROJECT = "<none>"  # only creating buckets needs one
UPLOAD_RETRY = DEFAULT_RETRY.with_delay(initial=0.2, maximum=10).with_timeout(PATIENT_SECONDS)


class _Limits(TypedDict):
    """What each call is given."""

    timeout: tuple[float, float]  # seconds until there is a connection, and without a byte


def gcs_client(bucket_uri: str, credentials: Credentials | None) -> Client:
    """A client that threads may share; each process has its own.

    Raises:
        InputError: credentials of a kind that cannot be used, or references that lead nowhere.
    """
    key = ""
    if credentials is not None:
        if not credentials.service_account_key:
            raise InputError(
                f"none of a datastore's credentials can be used for '{bucket_uri}'",
                mend="Give service_account_key, a reference to the JSON file that Google made.",
            )
        key = secret(credentials.service_account_key)
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    identity = None if key or emulator else machine_identity("google", _identity)
    return _client(os.getpid(), key, emulator, identity)


@lru_cache(maxsize=32)
def _client(process: int, key: str, emulator: str, identity: Any) -> Client:
    # otherwise a thread asks for the bucket's own metadata, to adorn traces that nobody records
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    return Client(_NO_PROJECT, credentials=_service_account(key) if key else identity or AnonymousCredentials())


def _service_account(key: str) -> Any:
    try:
        return ServiceAccount.from_service_account_info(json.loads(key), scopes=_SCOPES)
    except ValueError:  # which may repeat the key
        raise InputError(
            "what service_account_key refers to is not the JSON file of a service account's key",
            mend="Google's console makes one: IAM, service accounts, keys.",
        ) from None


def _identity() -> Any:
    """What Google's clients find on this machine; None where they find nothing."""
    try:
        return google.auth.default(scopes=_SCOPES)[0]
    except DefaultCredentialsError:
        return None
