"""Clients of Google's Cloud Storage: who asks, and how long.

Without credentials of a datastore a bucket is entered with what the machine has, as Google's clients find it
(``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's, that of a machine in Google's cloud), and as nobody, which public
buckets allow. ``STORAGE_EMULATOR_HOST`` names a store that is not Google's.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any, TypedDict

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.service_account import Credentials as ServiceAccount

from batch_endpoints.errors import InputError
from batch_endpoints.settings import Settings
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.access import machine_identity, secret
from batch_endpoints.storage.objects import CONNECT_SECONDS
from batch_endpoints.storage.patience import PATIENT_SECONDS

_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_PROJECT = "<none>"  # only creating buckets needs one
UPLOAD_RETRY = DEFAULT_RETRY.with_delay(initial=0.2, maximum=10).with_timeout(PATIENT_SECONDS)


class Limits(TypedDict):
    """What each call is given."""

    timeout: tuple[float, float]  # seconds until there is a connection, and without a byte


def limits() -> Limits:
    timeout = Settings.read().store_timeout_seconds
    return {"timeout": (min(CONNECT_SECONDS, timeout), timeout)}


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
