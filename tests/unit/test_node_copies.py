"""Copies of models on a node: one for each version, shared by jobs, and never the store's own files."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest

from batch_endpoints.storage.files import node_copies
from batch_endpoints.storage.files.node_copies import copy_tree


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "store" / "wine"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "weights").write_bytes(b"\x01" * 1000)
    return folder


@pytest.fixture
def node_copy():
    """The function, whose copies are let go of at the end."""
    with ExitStack() as stack:
        yield lambda *given: stack.enter_context(closing(node_copies.node_copy(*given)))


def tree(place):
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def inodes(place):
    return {p.stat().st_ino for p in place.rglob("*") if p.is_file()}


def test_a_copy_holds_what_was_named_alone_in_its_folder_and_read_only(tmp_path, model, node_copy):
    copy = node_copy(model, tmp_path / "cache")

    assert tree(copy.place) == tree(model)
    assert os.listdir(copy.place.parent) == ["wine"]
    assert not inodes(copy.place) & inodes(model)
    assert [oct(p.stat().st_mode & 0o222) for p in (copy.place, *copy.place.rglob("*"))] == ["0o0"] * 4
    assert copy.note == ""


def test_the_next_job_gets_the_same_copy(tmp_path, model, node_copy):
    first = node_copy(model, tmp_path / "cache")
    second = node_copy(model, tmp_path / "cache")

    assert (second.place, second.note) == (first.place, "")


def test_a_file_alone_is_copied_alone(tmp_path, model, node_copy):
    copy = node_copy(model / "data" / "weights", tmp_path / "cache")

    assert copy.place.read_bytes() == b"\x01" * 1000
    assert os.listdir(copy.place.parent) == ["weights"]


def test_files_that_are_linked_in_the_store_are_copies_of_their_own(tmp_path, model, node_copy):
    os.link(model / "MLmodel", tmp_path / "blob")
    before = node_copy(model, tmp_path / "cache").place
    os.link(model / "MLmodel", tmp_path / "another-tree")  # another upload has this file as well

    after = node_copy(model, tmp_path / "cache").place

    assert after == before, "it is the same version"
    assert (after / "MLmodel").stat().st_nlink == 1


def test_links_in_a_model_become_real_files(tmp_path, model, node_copy):
    (model / "link").symlink_to("MLmodel")
    (model / "nowhere").symlink_to("gone")
    os.mkfifo(model / "pipe")

    copied = node_copy(model, tmp_path / "cache").place

    assert sorted(tree(copied)) == ["MLmodel", "data/weights", "link"]
    assert not (copied / "link").is_symlink()


def write_in_place(copy):
    os.chmod(copy / "MLmodel", 0o644)
    (copy / "MLmodel").write_text("flavors: []")  # as many bytes


def write_and_hide_it(copy):
    """All that a user can put back."""
    before = (copy / "MLmodel").stat()
    write_in_place(copy)
    os.utime(copy / "MLmodel", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(copy / "MLmodel", before.st_mode)


def put_another_in_its_place(copy):
    os.chmod(copy, 0o755)
    shutil.copy2(copy / "MLmodel", copy / "new")
    os.replace(copy / "new", copy / "MLmodel")


def add(copy):
    os.chmod(copy / "data", 0o755)
    (copy / "data" / "sitecustomize.py").write_text("")


def remove(copy):
    os.chmod(copy / "data", 0o755)
    (copy / "data" / "weights").unlink()


def add_beside(copy):
    os.chmod(copy.parent, 0o755)
    (copy.parent / "other").write_text("")


@pytest.mark.parametrize(
    "change",
    [write_in_place, write_and_hide_it, put_another_in_its_place, add, remove, add_beside],
    ids=lambda change: change.__name__,
)
def test_a_copy_that_was_changed_is_made_anew_and_that_is_noted(tmp_path, model, node_copy, change):
    first = node_copy(model, tmp_path / "cache")
    change(first.place)

    second = node_copy(model, tmp_path / "cache")
    third = node_copy(model, tmp_path / "cache")

    assert second.note.startswith("the copy of 'wine' on this node was changed (")
    assert second.note.endswith("): it is made anew")
    assert tree(second.place) == tree(model)
    assert os.listdir(second.place.parent) == ["wine"]
    assert (third.place, third.note) == (second.place, "")
    assert first.place.exists(), "another job may use it still"


@pytest.mark.parametrize("at_once", [b"\x02" * 1000, b"\x01" * 1001], ids=["other bytes", "more"])
def test_a_model_that_has_changed_is_another_version(tmp_path, model, node_copy, at_once):
    first = node_copy(model, tmp_path / "cache")
    (model / "data" / "weights").write_bytes(at_once)
    second = node_copy(model, tmp_path / "cache")

    assert (first.place / "data" / "weights").read_bytes() == b"\x01" * 1000
    assert (second.place / "data" / "weights").read_bytes() == at_once
    assert second.note == ""


def test_each_file_is_hashed_while_it_is_copied(tmp_path, model, node_copy):
    copy = node_copy(model, tmp_path / "cache")
    (noted,) = copy.place.parents[1].glob("*.json")
    digests = {path: digest for path, *_, digest in json.loads(noted.read_text()) if digest}

    assert digests == {f"wine/{name}": hashlib.sha256(data).hexdigest() for name, data in tree(model).items()}


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path, model, node_copy, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(node_copies, "_copy_file", full)
        with pytest.raises(OSError, match="No space left"):
            node_copy(model, tmp_path / "cache")

    assert list((tmp_path / "cache").rglob("wine")) == []
    assert tree(node_copy(model, tmp_path / "cache").place) == tree(model)


ASK = """
import sys
from pathlib import Path
from batch_endpoints.storage.files.node_copies import node_copy
print(node_copy(Path(sys.argv[1]), Path(sys.argv[2])).place)
"""


def test_a_copy_is_made_once_however_many_processes_ask(tmp_path, model):
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK, model, tmp_path / "cache"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    assert len({process.communicate(timeout=120)[0] for process in asking}) == 1


def test_copies_that_no_job_has_used_for_long_are_removed_once_a_day(tmp_path, model, node_copy):
    cache = tmp_path / "cache"
    old, used = node_copy(model / "MLmodel", cache), node_copy(model / "data", cache)
    for copy in (old, used):
        (noted,) = copy.place.parents[1].glob("*.json")
        os.utime(noted, (0, 0))
    old.close()
    os.utime(cache / "last-cleaning", (0, 0))

    node_copy(model, cache).close()

    assert not old.place.exists()
    assert used.place.exists()


def test_a_copy_of_a_tree_holds_real_files(tmp_path, model):
    (model / "link").symlink_to("MLmodel")
    copy_tree(model, tmp_path / "x" / "to")

    assert tree(tmp_path / "x" / "to") == tree(model)
    assert not inodes(tmp_path / "x" / "to") & inodes(model)
    copy_tree(model / "MLmodel", tmp_path / "y" / "a")
    assert (tmp_path / "y" / "a").read_text() == "flavors: {}"
