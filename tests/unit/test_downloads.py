"""The files of an output, on this machine and in a store."""

import pytest

from batch_endpoints.errors import NotFound
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.outputs.downloads import open_output_file, output_files


@pytest.fixture(params=["disk", "gcs"])
def output(request, tmp_path):
    """URI of an output of two files, and there is a secret beside it."""
    if request.param == "gcs":
        request.getfixturevalue("gcs")
    top = {"disk": tmp_path.as_uri(), "gcs": "gs://lake"}[request.param]
    for path, text in {"out/b.csv": "bb", "out/deep/a.csv": "a", "secret": "secret"}.items():
        writable_place(top).replace(path, text.encode())
    return f"{top}/out"


def test_a_link_out_of_the_output_is_none_of_its_files(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "out" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "out" / ".aside-1").write_text("half")
    assert output_files(str(tmp_path / "out")) == []
    for path in ("link", "gone"):
        with pytest.raises(NotFound):
            open_output_file(str(tmp_path / "out"), path)


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
