"""What cannot be read counts as failed; what cannot be read by anybody, or for now, does not."""

import errno
import os

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from botocore.exceptions import ClientError, NoCredentialsError
from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
from google.auth.exceptions import InvalidOperation, RefreshError

from batch_endpoints.errors import InputError, StoreUnavailable
from batch_endpoints.storage.files.azure import AzureClient
from batch_endpoints.storage.files.gcs import GcsClient
from batch_endpoints.storage.files.object_store import ObjectStore
from batch_endpoints.storage.files.read_errors import cannot_read
from batch_endpoints.storage.files.s3 import S3Client
from batch_endpoints.storage.inputs.fetch import fetch


def s3(status, code):
    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


def azure(status, code):
    error = HttpResponseError("no")
    error.status_code, error.error_code = status, code
    return error


@pytest.fixture
def told():
    """What is told of a file whose store answers with an error."""

    def ask(store, error):
        def fail(key):
            raise error

        client = store.__new__(store)  # nothing is asked
        with pytest.raises(OSError, match=r".") as raised:
            ObjectStore("x://lake/in", "x://lake", "in", client).ask("a.csv", fail)
        return cannot_read("x://lake/in/a.csv", raised.value)

    return ask


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (S3Client, s3(400, "ExpiredToken")),
        (S3Client, s3(400, "ExpiredTokenException")),
        (S3Client, s3(400, "InvalidToken")),
        (S3Client, s3(400, "RequestExpired")),
        (S3Client, s3(403, "InvalidAccessKeyId")),
        (S3Client, s3(401, "Unauthorized")),
        (S3Client, NoCredentialsError()),
        (GcsClient, Unauthorized("no")),
        (GcsClient, InvalidOperation("anonymous")),
        (GcsClient, RefreshError("invalid_grant")),
        (AzureClient, azure(401, "NoAuthenticationInformation")),
        (AzureClient, azure(403, "AuthenticationFailed")),
        (AzureClient, ClientAuthenticationError("no token")),
    ],
    ids=str,
)
def test_a_store_that_knows_nobody_any_more_has_failed_no_file(told, store, error):
    assert isinstance(told(store, error), StoreUnavailable)


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (S3Client, s3(403, "AccessDenied")),
        (S3Client, s3(404, "NoSuchKey")),
        (S3Client, s3(400, "InvalidRequest")),
        (GcsClient, Forbidden("no")),
        (GcsClient, NotFound("no")),
        (AzureClient, azure(403, "AuthorizationPermissionMismatch")),
        (AzureClient, azure(404, "BlobNotFound")),
    ],
    ids=str,
)
def test_an_object_that_a_store_does_not_give_has_failed(told, store, error):
    assert isinstance(told(store, error), InputError)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOTCONN], ids=errno.errorcode.get)
def test_a_disk_that_breaks_has_failed_no_file(tmp_path, monkeypatch, number):
    assert isinstance(cannot_read("a.csv", OSError(number, os.strerror(number))), StoreUnavailable)

    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        patch.setattr(os, "stat", broken)
        with pytest.raises(StoreUnavailable, match=os.strerror(number)):
            fetch(str(tmp_path), "a.csv", tmp_path)


def test_a_root_that_has_gone_has_failed_none_of_its_files(tmp_path):
    with pytest.raises(StoreUnavailable, match=r"/mount' cannot be read now: No such file or directory"):
        fetch(str(tmp_path / "mount"), "a.csv", tmp_path)


def test_a_folder_that_has_gone_has_failed_the_file_that_is_named_by_its_whole_path(tmp_path):
    with pytest.raises(InputError, match="it is gone"):
        fetch("", str(tmp_path / "mount" / "a.csv"), tmp_path)
