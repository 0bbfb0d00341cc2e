"""Uploads: content-addressed, whole or not at all."""

import hashlib
import os
import threading

import pytest

from batch_endpoints.control_plane.uploads import Upload, Uploads
from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.specs import check
from batch_endpoints.storage.files.addresses import local_path


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def manifest(files, name="src"):
    rows = [{"path": path, "sha256": sha256(content), "size": len(content)} for path, content in files.items()]
    return check(Upload, {"name": name, "files": rows})


def send(uploads, content):
    with uploads.receive(sha256(content)) as write:
        write(content)


FILES = {"src/score.py": b"code", "src/deep/er/data.bin": b"data", "src/copy.py": b"code"}


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def test_an_upload_is_there_once_all_its_content_is(uploads):
    upload = manifest(FILES)

    assert uploads.add(upload) == [sha256(b"code"), sha256(b"data")]
    send(uploads, b"code")
    assert uploads.add(upload) == [sha256(b"data")]
    with pytest.raises(NotFound, match="has not been uploaded"):
        uploads.resolve(upload.uri)
    send(uploads, b"data")
    assert uploads.add(upload) == []

    tree = local_path(uploads.resolve(upload.uri))
    found = {f"src/{path.relative_to(tree).as_posix()}": path.read_bytes() for path in tree.rglob("*.*")}
    assert found == FILES


def test_the_second_time_nothing_is_missing(uploads):
    for content in (b"code", b"data"):
        send(uploads, content)
    uploads.add(manifest(FILES))

    backwards = manifest(dict(reversed(FILES.items())))

    assert uploads.add(backwards) == []
    assert backwards.uri == manifest(FILES).uri


def test_a_single_file_stands_under_its_name(uploads):
    send(uploads, b"weights")
    upload = manifest({"model.bin": b"weights"}, name="model.bin")
    uploads.add(upload)

    assert local_path(uploads.resolve(upload.uri)).read_bytes() == b"weights"


def test_content_that_is_damaged_is_not_kept(uploads, tmp_path):
    with pytest.raises(SpecError, match="was damaged on its way"), uploads.receive(sha256(b"code")) as write:
        write(b"c0de")

    assert uploads.add(manifest(FILES))[0] == sha256(b"code")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_client_that_goes_away_leaves_nothing(uploads, tmp_path):
    def goes_away():
        with uploads.receive(sha256(b"code")) as write:
            write(b"co")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        goes_away()

    assert list((tmp_path / "blobs").iterdir()) == []


def test_blobs_cannot_be_changed_through_a_folder_that_links_to_them(uploads):
    send(uploads, b"weights")
    upload = manifest({"model.bin": b"weights"}, name="model.bin")
    uploads.add(upload)

    assert os.stat(local_path(uploads.resolve(upload.uri))).st_mode & 0o222 == 0


@pytest.mark.parametrize(
    "path",
    [
        "../src/x",
        "src/../../x",
        "/src/x",
        "/etc/passwd",
        "src//x",
        "src/./x",
        "src\\..\\x",
        "src/a\0b",
        "src/",
        "",
        "src/" + "x" * 256,
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path):
    with pytest.raises(SpecError, match=r"files\.0\.path"):
        manifest({path: b"x"})


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/a", "", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(SpecError, match="'name'"):
        manifest({"src/x": b"x"}, name=name)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param([("other/x", b"x")], "does not begin with the upload's name", id="another name"),
        pytest.param([("srcx", b"x")], "does not begin with the upload's name", id="a longer name"),
        pytest.param([("src/x", b"x"), ("src/x", b"y")], "one path twice", id="twice"),
        pytest.param([("src/x", b"x"), ("src/x/y", b"y")], "'src/x' is a file and a folder", id="file and folder"),
        pytest.param([("src", b"x"), ("src/y", b"y")], "'src' is a file and a folder", id="the name itself"),
    ],
)
def test_paths_that_are_no_tree_are_refused(uploads, rows, told):
    files = [{"path": path, "sha256": sha256(content), "size": 1} for path, content in rows]

    with pytest.raises(SpecError, match=told):
        uploads.add(check(Upload, {"name": "src", "files": files}))


@pytest.mark.parametrize(
    "change",
    [{"files": []}, {"files": [{"path": "src", "sha256": "ABC", "size": 1}]}, {"size": 3}, {"name": None}],
)
def test_a_manifest_that_is_none_is_refused(change):
    with pytest.raises(SpecError):
        check(Upload, {"name": "src", "files": [{"path": "src", "sha256": "0" * 64, "size": 1}]} | change)


def test_a_wrong_size_is_refused(uploads):
    send(uploads, b"code")
    upload = check(Upload, {"name": "s", "files": [{"path": "s", "sha256": sha256(b"code"), "size": 9}]})

    with pytest.raises(SpecError, match="'s' has 4 bytes, not 9"):
        uploads.add(upload)


@pytest.mark.parametrize("digest", ["abc", "../" + "0" * 61, "A" * 64, ""])
def test_a_blob_needs_a_hash_for_a_name(uploads, digest):
    with pytest.raises(SpecError, match="is not a SHA-256"), uploads.receive(digest):
        pass


@pytest.mark.parametrize(
    "uri",
    ["upload://x/y", "upload://", f"upload://{'0' * 64}", f"upload://{'0' * 64}/../x", f"upload://{'0' * 64}/a\\b"],
)
def test_what_is_no_upload_is_said_so(uploads, uri):
    with pytest.raises(SpecError, match="is not an upload"):
        uploads.resolve(uri)


def test_a_part_of_an_upload_can_be_named(uploads):
    for content in (b"code", b"data"):
        send(uploads, content)
    upload = manifest(FILES)
    uploads.add(upload)

    assert local_path(uploads.resolve(f"{upload.uri}/deep/er")).is_dir()


def test_many_clients_may_send_the_same_at_once(uploads, tmp_path):
    together = threading.Barrier(8)
    answers = []

    def client():
        together.wait(timeout=10)
        for content in (b"code", b"data"):
            send(uploads, content)
        answers.append(uploads.add(manifest(FILES)))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert answers == [[]] * 8
    assert len(list((tmp_path / "trees").iterdir())) == 1
    assert len(list((tmp_path / "blobs").iterdir())) == 2
