"""What is sent of a local file or folder."""

import hashlib

import pytest

from batch_endpoints.client.transfer import NOT_CODE, download_all, manifest
from batch_endpoints.errors import InputError, ServerError


@pytest.fixture
def folder(tmp_path):
    for path, text in {
        "b.txt": "b",
        "a/deep/c.txt": "c",
        "a/empty": "",
        "__pycache__/x.pyc": "x",
        ".git/HEAD": "h",
    }.items():
        file = tmp_path / "model" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "model"


def test_a_folder_is_its_files_sorted_with_hash_and_size(folder):
    files = manifest(folder, NOT_CODE)
    assert [(file.path, file.size) for file in files] == [
        ("model/a/deep/c.txt", 1),
        ("model/a/empty", 0),
        ("model/b.txt", 1),
    ]
    assert files[2].sha256 == hashlib.sha256(b"b").hexdigest()


def test_only_code_leaves_caches_behind(folder):
    assert {"model/__pycache__/x.pyc", "model/.git/HEAD"} <= {file.path for file in manifest(folder)}


def test_a_file_is_its_name(folder):
    assert [file.path for file in manifest(folder / "b.txt")] == ["b.txt"]


def test_a_folder_named_by_a_dot_has_its_own_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert manifest(type(folder)("."), NOT_CODE)[-1].path == "model/b.txt"


def test_links_inside_are_followed_once(folder):
    (folder / "link.txt").symlink_to("b.txt")
    (folder / "a" / "up").symlink_to("..")
    (folder / "z").symlink_to("a")
    paths = [file.path for file in manifest(folder, NOT_CODE)]
    assert "model/link.txt" in paths
    assert "model/z/deep/c.txt" in paths
    assert "model/a/up/b.txt" not in paths


def test_a_link_that_leads_out_is_refused(folder, tmp_path):
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="leads out of") as refused:
        manifest(folder)
    assert "Put the file itself there" in str(refused.value)


def test_a_broken_link_is_refused(folder):
    (folder / "link").symlink_to("gone")
    with pytest.raises(InputError, match="is not a file"):
        manifest(folder)


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: (path / "x").mkdir(parents=True)]
)
def test_nothing_to_send_is_an_error(tmp_path, make):
    make(tmp_path / "none")
    with pytest.raises(InputError, match=r"does not exist|has no files"):
        manifest(tmp_path / "none")


def test_what_cannot_be_read_is_named(open_folder, unprivileged):
    (open_folder / "b.txt").write_text("b")
    (open_folder / "b.txt").chmod(0)
    with unprivileged(), pytest.raises(InputError, match=r"cannot read .*b\.txt"):
        manifest(open_folder)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_server_cannot_make_a_client_write_elsewhere(tmp_path, path):
    with pytest.raises(ServerError, match="outside of its output"):
        download_all(None, "/jobs/j/outputs/score", [path], tmp_path)
