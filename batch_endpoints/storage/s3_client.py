"""Clients of stores that speak Amazon's S3 protocol: who asks, and how long."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3
import botocore
import pyarrow.fs
from botocore.config import Config

from batch_endpoints.settings import Settings
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.access import secret
from batch_endpoints.storage.objects import CONNECT_SECONDS
from batch_endpoints.storage.s3_places import S3Place, s3_place

_ARROW_TRIES = 90  # of Arrow's readers, which only jobs use: with their pauses as long as ``PATIENT_SECONDS``


@dataclass(frozen=True)
class Keys:
    """Resolved secrets on their way into a client."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)


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
