"""Inputs of command steps on this machine: in place where nothing can be written, otherwise copies."""

import os
import stat

import pytest

from batch_endpoints.errors import InputError
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.inputs.local_input import local_input, remove_scratch


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / os.fsdecode(b"\xff")).write_text("1")
    (tmp_path / "secret").write_text("2")
    (folder / "out").symlink_to(tmp_path / "secret")
    return folder


def found(data, scratch, protects, access=AMBIENT, kind="uri_folder"):
    return local_input(data.as_uri(), kind, scratch, lambda: protects, access)


def test_an_input_stays_in_place_where_it_can_be_protected(data, tmp_path):
    assert found(data, tmp_path / "scratch", True) == (data, ())


def test_an_input_is_copied_read_only_where_it_cannot(data, tmp_path):
    copy, notes = found(data, tmp_path / "scratch", False)
    assert notes == ()
    assert (copy / "sub" / os.fsdecode(b"\xff")).read_text() == "1"
    assert (copy / "out").read_text() == "2"
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o222 for path in (copy, *copy.rglob("*")))
    assert (data / "sub").stat().st_mode & 0o200
    remove_scratch(tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("protects", [True, False])
def test_a_link_that_leads_out_of_what_is_open_is_left_out_with_a_note(data, tmp_path, protects):
    copy, notes = found(data, tmp_path / "scratch", protects, Access(folders=(str(data),)))
    assert sorted(path.name for path in copy.iterdir()) == ["sub"]
    assert "'out' of the input" in notes[0]


def test_a_file_is_itself(data, tmp_path):
    (data / "sub" / "x.csv").write_text("3")
    file, _ = found(data / "sub" / "x.csv", tmp_path / "scratch", False, kind="uri_file")
    assert (file.name, file.read_text()) == ("x.csv", "3")
    with pytest.raises(InputError, match="is a file, where the component takes a folder"):
        found(data / "sub" / "x.csv", tmp_path / "other", False)
