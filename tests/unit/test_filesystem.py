import errno
import os
import sys
from pathlib import Path

import pytest

from batch_endpoints.errors import InputError
from batch_endpoints.storage.files.addresses import local_path, s3_place
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.files.place import open_place, writable_place


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/data/x", "/data/x"),
        ("file:///data/x", "/data/x"),
        ("FILE:///data/x", "/data/x"),
        ("file:/data/x", "/data/x"),
        ("file://localhost/data/x", "/data/x"),
        ("file:///a%20b/%C3%BC%23%3F.csv", "/a b/ü#?.csv"),
        ("file:///a#1?.csv", "/a#1?.csv"),
        ("/a#1?.csv", "/a#1?.csv"),
        ("//[x/y", "//[x/y"),
        ("s3://bucket/x", None),
        ("https://host/x", None),
        ("http://[x/y", None),
    ],
)
def test_paths_and_file_uris_are_local(uri, path):
    assert local_path(uri) == (None if path is None else Path(path))


def test_every_path_survives_its_uri(tmp_path):
    for name in ("a b", "ü", "a#b?c%20d", "[x]*"):
        assert local_path((tmp_path / name).as_uri()) == tmp_path / name


def test_a_relative_path_is_relative_to_here():
    assert local_path("data") == Path.cwd() / "data"


def test_a_file_uri_of_another_machine_is_refused():
    with pytest.raises(InputError, match=r"'file://data/x' names the machine 'data'\nWrite file:///"):
        local_path("file://data/x")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_hard_links_is_refused_and_nothing_is_left_on_it(tmp_path, monkeypatch, number):
    def link(*places, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(InputError, match=r"the disk of .* has no hard links .*\nLet BATCH_ENDPOINTS_ROOT"):
        Disk(tmp_path).put_if_absent("x", b"one")
    assert list(tmp_path.iterdir()) == []


def test_job_folders_are_on_a_disk_or_in_a_store(tmp_path):
    assert isinstance(writable_place(tmp_path.as_uri()), Disk)
    assert writable_place("S3://bucket/x/").uri == "s3://bucket/x"


@pytest.mark.parametrize(
    ("uri", "module", "extra"),
    [
        ("s3://bucket/x", "boto3", "s3"),
        ("gs://bucket/x", "google.cloud.storage", "gcs"),
        ("abfss://container@account.dfs.core.windows.net/x", "azure.storage.blob", "azure"),
    ],
)
def test_without_its_client_a_store_says_what_to_install(monkeypatch, uri, module, extra):
    for name in ("s3", "gcs", "azure"):
        monkeypatch.delitem(sys.modules, f"batch_endpoints.storage.files.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    for look in (writable_place, writable_place):
        with pytest.raises(InputError, match=rf"needs the package {module}.*\nInstall batch-endpoints\[{extra}\]\."):
            look(uri)


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://?region=eu"])
def test_a_uri_without_a_bucket_is_told(uri):
    with pytest.raises(InputError, match="names no bucket"):
        writable_place(uri)


def test_a_file_uri_that_is_relative_is_told():
    with pytest.raises(InputError, match=r"'file:data' is relative.*\nWrite file:///"):
        local_path("file:data")


def test_secrets_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(InputError, match="has credentials in it") as told:
        writable_place("s3://AKIA:hush@bucket/x")
    assert "hush" not in str(told.value)


def test_a_uri_of_s3_is_taken_as_it_is_written():
    place = s3_place("s3://bucket/a%20b/c?d/e+f/?region=eu-west-1&endpoint_override=store:9000&scheme=http")
    assert (place.bucket, place.key) == ("bucket", "a%20b/c?d/e+f")
    assert (place.region, place.endpoint) == ("eu-west-1", "http://store:9000")


@pytest.mark.parametrize("uri", ["https://host/out", "HTTP://host/out"])
def test_nothing_is_written_to_the_web(uri):
    with pytest.raises(InputError, match=rf"nothing can be written to '{uri}'\nUse a folder of a disk"):
        writable_place(uri)


@pytest.mark.parametrize("scheme", ["hdfs", "viewfs", "webhdfs", "ftp", "ftps"])
def test_a_protocol_that_is_not_supported_is_named(scheme):
    for look in (open_place, writable_place):
        with pytest.raises(InputError, match=rf"'{scheme}://host/x': {scheme}:// is not supported\nCopy the data"):
            look(f"{scheme}://host/x")


@pytest.mark.parametrize(
    "uri", ["nothing://x", "http://[x/y", "local:///etc", "fsspec+file:///etc", "mock:///x", "/etc/x://y"]
)
def test_a_uri_that_nothing_opens_is_told(uri):
    with pytest.raises(InputError, match="cannot open"):
        open_place(uri).walk()
