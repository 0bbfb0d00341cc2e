"""The files of an output, on this machine and in a store that pyarrow opens."""

import pyarrow.fs
import pytest

from batch_endpoints.errors import NotFound
from batch_endpoints.storage import downloads
from batch_endpoints.storage.downloads import open_output_file, output_files


@pytest.fixture(params=["local", "remote"])
def output(request, tmp_path, monkeypatch):
    """URI of an output of two files; ``remote://`` is the same folder, seen through pyarrow."""
    top = tmp_path / "out"
    (top / "deep").mkdir(parents=True)
    (top / "b.csv").write_text("bb")
    (top / "deep" / "a.csv").write_text("a")
    (tmp_path / "secret").write_text("secret")
    if request.param == "local":
        return top.as_uri()
    opened = lambda uri, access: (pyarrow.fs.LocalFileSystem(), str(tmp_path / uri.removeprefix("remote://")))  # noqa: E731
    monkeypatch.setattr(downloads, "open_uri", opened)
    return "remote://out"


def content(file):
    if hasattr(file, "read_bytes"):
        return file.read_bytes()
    with file:
        return file.read()


def test_files_are_listed_by_path_with_their_size(output):
    assert output_files(output) == [("b.csv", 2), ("deep/a.csv", 1)]


def test_a_folder_that_was_never_written_has_no_files(output):
    assert output_files(f"{output}/nothing") == []


def test_a_file_is_opened_by_its_listed_path(output):
    assert content(open_output_file(output, "deep/a.csv")) == b"a"


def test_an_output_that_is_one_file_has_that_file(output):
    assert output_files(f"{output}/b.csv") == [("b.csv", 2)]
    assert content(open_output_file(f"{output}/b.csv", "b.csv")) == b"bb"


@pytest.mark.parametrize("path", ["../secret", "deep/../../secret", "nothing", "deep", "", ".."])
def test_what_is_not_a_file_of_the_output_is_not_found(output, path):
    with pytest.raises(NotFound, match="has no file"):
        open_output_file(output, path)


def test_another_name_than_that_of_the_one_file_is_not_found(output):
    with pytest.raises(NotFound):
        open_output_file(f"{output}/b.csv", "other.csv")
