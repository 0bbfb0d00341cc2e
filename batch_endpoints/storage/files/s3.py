"""Files in a store that speaks Amazon's S3 protocol: its requests, and what its errors mean."""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import Credentials
from batch_endpoints.storage.files.access import secret
from batch_endpoints.storage.files.addresses import S3Place
from batch_endpoints.storage.files.store_client import (
    CONNECT_SECONDS,
    WRITER,
    Asker,
    Begin,
    Stat,
    Trouble,
    answered,
)

_BUSY_CODES = {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "ConditionalRequestConflict", "InternalError"}
_ABSENT_CODES = {"404", "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NotFound"}
_BROKEN_OFF = (HTTPError, ResponseParserError)  # in the middle of an answer; the client passes them on as they are

logger = logging.getLogger(__name__)


class S3Client:
    """Requests for one bucket.

    Args:
        credentials: references; None takes what this machine has.
    """

    errors: tuple[type[Exception], ...] = (BotoCoreError, ClientError, *_BROKEN_OFF)

    def __init__(self, place: S3Place, credentials: Credentials | None, timeout_seconds: float) -> None:
        self._bucket = place.bucket
        self._client = _client(os.getpid(), place.endpoint, place.region, s3_keys(credentials), timeout_seconds)

    def ask(self, name: str, key: str, **arguments: Any) -> dict[str, Any]:
        """One request as boto3 names it."""
        return cast(dict[str, Any], getattr(self._client, name)(Bucket=self._bucket, Key=key, **arguments))

    def get(self, key: str) -> bytes:
        return cast(bytes, self.ask("get_object", key)["Body"].read())

    def begin(self, key: str, length: int) -> Begin:
        try:
            answer = self.ask("get_object", key, Range=f"bytes=0-{length - 1}")
        except ClientError as error:
            if _code(error) != "InvalidRange":
                raise
            return Begin(b"", 0, "")  # of an empty object there is no first byte
        return Begin(answer["Body"].read(), int(answer["ContentRange"].rpartition("/")[2]), answer["ETag"])

    def piece(self, key: str, start: int, length: int, version: str) -> bytes:
        wanted = f"bytes={start}-{start + length - 1}"
        return cast(bytes, self.ask("get_object", key, Range=wanted, IfMatch=version)["Body"].read())

    def put(self, key: str, data: bytes, writer: str, if_absent: bool) -> None:
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        self.ask("put_object", key, Body=data, Metadata={WRITER: writer} if writer else {}, **condition)

    def stat(self, key: str) -> Stat:
        found = self.ask("head_object", key)
        return Stat(int(found["ContentLength"]), found["Metadata"].get(WRITER, ""), found["ETag"])

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[InputFile], str]:
        more = {"ContinuationToken": after} if after else {}
        page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, **more)
        found = [InputFile(one["Key"], one["Size"], one["ETag"]) for one in page.get("Contents", ())]
        return found, page["NextContinuationToken"] if page.get("IsTruncated") else ""

    def delete(self, key: str) -> None:
        self.ask("delete_object", key)

    def upload(self, key: str, ask: Asker) -> _Upload:
        return _Upload(self, key, ask)

    def trouble(self, error: Exception) -> Trouble:
        if isinstance(error, ParamValidationError):
            return Trouble("invalid", str(error))
        if isinstance(error, CredentialRetrievalError | TokenRetrievalError):
            return Trouble("closed", str(error))
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return Trouble("closed", "there are no credentials for it on this machine")
        if not isinstance(error, ClientError):
            passes = isinstance(error, (HTTPClientError, IncompleteReadError, *_BROKEN_OFF))
            return Trouble("silent" if passes else "failed", str(error))
        code, message = _code(error), error.response.get("Error", {}).get("Message", "")
        if code in _ABSENT_CODES:
            return Trouble("absent", "no such bucket" if code == "NoSuchBucket" else "not there")
        if code in _BUSY_CODES:
            return Trouble("busy", f"{code}: {message}")
        return answered(int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)), code, message)


class _Upload:
    """A multipart upload."""

    def __init__(self, client: S3Client, key: str, ask: Asker) -> None:
        self._client, self._key, self._ask_store, self._writer = client, key, ask, uuid.uuid4().hex
        self._parts: list[dict[str, Any]] = []
        self._id = self._ask("create_multipart_upload", Metadata={WRITER: self._writer})["UploadId"]

    def send(self, part: bytes, last: bool) -> None:
        number = len(self._parts) + 1
        sent = self._ask("upload_part", UploadId=self._id, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def finish(self) -> None:
        try:
            self._ask("complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": self._parts})
        except FileNotFoundError:  # the upload is gone: an earlier try may have completed it, and its answer was lost
            if self._ask_store(lambda: self._client.stat(self._key)).writer != self._writer:
                raise

    def abort(self) -> None:
        try:
            self._ask("abort_multipart_upload", UploadId=self._id)
        except OSError as error:
            logger.debug("an upload that broke off is left in the store: %s", error)

    def _ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        return self._ask_store(lambda: self._client.ask(name, self._key, **arguments))


def _code(error: ClientError) -> str:
    """The store's own word for what went wrong; "" where it said nothing."""
    return str(error.response.get("Error", {}).get("Code", ""))


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
        retries={"total_max_attempts": 1},  # ours know what a lost answer means (``ObjectStore.ask``)
        max_pool_connections=32,
        request_checksum_calculation="when_required",  # other stores than Amazon's do not all know the newer ones
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint else {},
        # public buckets are read by whoever has no credentials at all
        **({} if keys or session.get_credentials() else {"signature_version": botocore.UNSIGNED}),
    )
    return session.client("s3", endpoint_url=endpoint or None, region_name=region or None, config=config, **given)
