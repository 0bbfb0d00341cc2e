"""What cannot be read counts as failed; what cannot be read by anybody, or for now, does not."""

import errno
import os

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from botocore.exceptions import ClientError, NoCredentialsError
from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
from google.auth.exceptions import InvalidOperation, RefreshError

from batch_endpoints.errors import InputError, StoreUnavailable
from batch_endpoints.storage.files.azure import AzureFilesystem
from batch_endpoints.storage.files.gcs import GcsFilesystem
from batch_endpoints.storage.files.read_errors import cannot_read
from batch_endpoints.storage.files.s3 import S3Filesystem
from batch_endpoints.storage.inputs import fetch


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

        files = store.__new__(store)  # without its client: nothing is asked
        files.bucket_uri, files.key = "x://lake", "in"
        with pytest.raises(OSError, match=r".") as raised:
            files.call("a.csv", fail)
        return cannot_read("x://lake/in/a.csv", raised.value)

    return ask


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (S3Filesystem, s3(400, "ExpiredToken")),
        (S3Filesystem, s3(400, "ExpiredTokenException")),
        (S3Filesystem, s3(400, "InvalidToken")),
        (S3Filesystem, s3(400, "RequestExpired")),
        (S3Filesystem, s3(403, "InvalidAccessKeyId")),
        (S3Filesystem, s3(401, "Unauthorized")),
        (S3Filesystem, NoCredentialsError()),
        (GcsFilesystem, Unauthorized("no")),
        (GcsFilesystem, InvalidOperation("anonymous")),
        (GcsFilesystem, RefreshError("invalid_grant")),
        (AzureFilesystem, azure(401, "NoAuthenticationInformation")),
        (AzureFilesystem, azure(403, "AuthenticationFailed")),
        (AzureFilesystem, ClientAuthenticationError("no token")),
    ],
    ids=str,
)
def test_a_store_that_knows_nobody_any_more_has_failed_no_file(told, store, error):
    assert isinstance(told(store, error), StoreUnavailable)


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (S3Filesystem, s3(403, "AccessDenied")),
        (S3Filesystem, s3(404, "NoSuchKey")),
        (S3Filesystem, s3(400, "InvalidRequest")),
        (GcsFilesystem, Forbidden("no")),
        (GcsFilesystem, NotFound("no")),
        (AzureFilesystem, azure(403, "AuthorizationPermissionMismatch")),
        (AzureFilesystem, azure(404, "BlobNotFound")),
    ],
    ids=str,
)
def test_an_object_that_a_store_does_not_give_has_failed(told, store, error):
    assert isinstance(told(store, error), InputError)


@pytest.mark.parametrize(
    "said",
    [
        "AWS Error UNKNOWN (HTTP status 400) during GetObject operation: Unable to parse ExceptionName: ExpiredToken",
        "AWS Error UNKNOWN (HTTP status 400) during HeadObject operation: No response body.",
        "AWS Error REQUEST_EXPIRED during GetObject operation: no",
        "AWS Error UNKNOWN (HTTP status 401) during HeadObject operation: No response body.",
    ],
)
def test_credentials_that_have_expired_are_known_by_the_words_of_arrow(said):
    assert isinstance(cannot_read("s3://lake/a.csv", OSError(said)), StoreUnavailable)


def test_an_object_that_is_refused_is_known_by_the_words_of_arrow():
    said = "AWS Error ACCESS_DENIED (HTTP status 403) during HeadObject operation: No response body."
    assert isinstance(cannot_read("s3://lake/a.csv", OSError(said)), InputError)


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
