from pathlib import Path

import pytest

from batch_endpoints.errors import InputError
from batch_endpoints.storage.filesystem import (
    ArrowFilesystem,
    LocalFilesystem,
    local_path,
    open_filesystem,
    open_uri,
    output_filesystem,
)


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


def test_job_folders_are_on_a_disk(tmp_path):
    assert isinstance(open_filesystem(tmp_path.as_uri()), LocalFilesystem)
    with pytest.raises(InputError, match="job folders cannot live at 's3://bucket/x' yet"):
        open_filesystem("s3://bucket/x")


def test_outputs_go_to_a_disk_or_through_pyarrow(tmp_path):
    assert isinstance(output_filesystem(str(tmp_path)), LocalFilesystem)
    assert isinstance(output_filesystem("mock:///out"), ArrowFilesystem)


@pytest.mark.parametrize("uri", ["nothing://x", "http://[x/y"])
def test_a_uri_that_nothing_opens_is_told(uri):
    with pytest.raises(InputError, match="cannot open"):
        open_uri(uri)
