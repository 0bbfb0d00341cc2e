"""Clients of stores that speak Amazon's S3 protocol: where the store is, and who asks.

``AWS_ENDPOINT_URL_S3`` and ``AWS_ENDPOINT_URL`` name a store that is not Amazon's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import boto3
import botocore
import pyarrow.fs
from botocore.config import Config

from batch_endpoints.errors import InputError
from batch_endpoints.settings import Settings
from batch_endpoints.specs import Credentials
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.access import secret
from batch_endpoints.storage.objects import CONNECT_SECONDS

_ARROW_TRIES = 90  # of Arrow's readers, which only jobs use: with their pauses as long as ``PATIENT_SECONDS``
_URI = re.compile(r"s3://(?P<bucket>[^/?]*)(?P<key>/.*?)?(?:\?(?P<query>[\w.-]+=.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class S3Place:
    """A bucket, a key or the begin of keys in it, and what the URI's query says of the store."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""  # "" is what the environment says, and else Amazon


@dataclass(frozen=True)
class Keys:
    """Resolved secrets on their way into a client."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)


def s3_place(uri: str) -> S3Place:
    """What a URI says. Keys are taken as they are written; nothing in them is decoded.

    Raises:
        InputError: no bucket, or secrets in the URI.
    """
    found = _URI.fullmatch(uri)
    if found is None or not found["bucket"]:
        raise InputError(f"'{shown(uri)}' names no bucket", mend="Write s3://<bucket>/<path>.")
    if "@" in found["bucket"]:
        raise InputError(
            "a URI of S3 has credentials in it",
            mend="Put them into the environment, or register a datastore that refers to them.",
        )
    query = dict(parse_qsl(found["query"] or ""))
    endpoint = query.get("endpoint_override", "") or _endpoint()
    if endpoint and "://" not in endpoint:
        endpoint = f"{query.get('scheme', 'https')}://{endpoint}"
    key = (found["key"] or "").removeprefix("/").rstrip("/")
    return S3Place(found["bucket"], key, query.get("region", ""), endpoint)


def s3_keys(credentials: Credentials | None) -> Keys | None:
    """The secrets that credentials refer to; None where the node's own are to be used."""
    if credentials is None or not credentials.access_key_id:
        return None
    return Keys(
        secret(credentials.access_key_id),
        secret(credentials.secret_access_key),
        secret(credentials.session_token) or None,
    )


def s3_client(place: S3Place, credentials: Credentials | None) -> Any:
    """A client that threads may share; each process has its own."""
    timeout = Settings.read().store_timeout_seconds
    return _client(os.getpid(), place.endpoint, place.region, s3_keys(credentials), timeout)


def s3_arrow(uri: str, credentials: Credentials | None) -> tuple[pyarrow.fs.FileSystem, str]:
    """The same store as pyarrow opens it, and the path in it; for readers that jump about in a file."""
    place, timeout = s3_place(uri), Settings.read().store_timeout_seconds
    keys = s3_keys(credentials)
    scheme, _, host = place.endpoint.rpartition("://")
    options: dict[str, Any] = {
        "request_timeout": timeout,
        "connect_timeout": min(CONNECT_SECONDS, timeout),
        "retry_strategy": pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=_ARROW_TRIES),
    }
    if keys:
        options |= {
            "access_key": keys.access_key_id,
            "secret_key": keys.secret_access_key,
            "session_token": keys.session_token,
        }
    if place.endpoint:
        options |= {"endpoint_override": host, "scheme": scheme}
    if place.region:
        options["region"] = place.region
    return pyarrow.fs.S3FileSystem(**options), f"{place.bucket}/{place.key}".rstrip("/")


@lru_cache(maxsize=32)
def _client(process: int, endpoint: str, region: str, keys: Keys | None, timeout: float) -> Any:
    session = boto3.session.Session()
    given = {
        "aws_access_key_id": keys and keys.access_key_id,
        "aws_secret_access_key": keys and keys.secret_access_key,
        "aws_session_token": keys and keys.session_token,
    }
    config = Config(
        connect_timeout=min(CONNECT_SECONDS, timeout),
        read_timeout=timeout,
        retries={"total_max_attempts": 1},  # ours know what a lost answer means (``ObjectFilesystem.call``)
        max_pool_connections=32,
        request_checksum_calculation="when_required",  # other stores than Amazon's do not all know the newer ones
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint else {},
        # public buckets are read by whoever has no credentials at all
        **({} if keys or session.get_credentials() else {"signature_version": botocore.UNSIGNED}),
    )
    return session.client("s3", endpoint_url=endpoint or None, region_name=region or None, config=config, **given)


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
