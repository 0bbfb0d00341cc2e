"""Files that appear whole, on disks that know files without a name and on others."""

import errno
import io
import os
import signal
from contextlib import suppress
from types import SimpleNamespace

import pytest

from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.object_store import ObjectStore

UNNAMED = getattr(os, "O_TMPFILE", 1 << 62)


@pytest.fixture
def without_unnamed_files(monkeypatch):
    """As on NFS."""
    real = os.open

    def refuse(path, flags, *mode, **more):
        if flags & UNNAMED == UNNAMED:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refuse)


@pytest.fixture(params=["without a name", "aside"])
def _either_way(request):
    if request.param == "aside":
        request.getfixturevalue("without_unnamed_files")


def found_in(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(target, text, **how):
    with whole_file(target, **how) as file:
        file.write(text.encode())


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_there_when_it_is_whole_and_not_where_its_writer_fails(tmp_path, replace):
    with whole_file(tmp_path / "x", replace=replace) as file:
        file.write(b"whole")
        assert not (tmp_path / "x").exists()
    assert found_in(tmp_path) == {"x": "whole"}

    with suppress(KeyError), whole_file(tmp_path / "y", replace=replace) as file:
        file.write(b"half")
        raise KeyError
    assert found_in(tmp_path) == {"x": "whole"}


@pytest.mark.usefixtures("_either_way")
def test_what_is_there_is_replaced_or_stays(tmp_path):
    write(tmp_path / "x", "one", replace=False)
    with pytest.raises(FileExistsError):
        write(tmp_path / "x", "two", replace=False)
    assert found_in(tmp_path) == {"x": "one"}
    write(tmp_path / "x", "three", replace=True)
    assert found_in(tmp_path) == {"x": "three"}


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_that_is_not_there_is_told(tmp_path, replace):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no" / "x", "one", replace=replace)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system knows no files without a name")
@pytest.mark.parametrize("replace", [True, False])
def test_of_a_writer_that_is_killed_nothing_is_left(tmp_path, replace):
    (tmp_path / "x").write_text("old")
    for target in ("x", "y"):
        if not (child := os.fork()):
            with whole_file(tmp_path / target, replace=replace) as file:
                file.write(b"half")
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    assert found_in(tmp_path) == {"x": "old"}


def test_a_file_may_be_used_by_whom_the_users_mask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "x", "one", replace=True)
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_an_object_is_on_the_disk_when_all_of_it_is(tmp_path):
    """A copy that nobody waits for any more must not cut off the one that somebody reads."""
    target = tmp_path / "copy"
    target.write_bytes(b"what another one has brought")

    class Reader(io.BytesIO):
        def read(self, size=-1):
            assert target.read_bytes() == b"what another one has brought"
            return super().read(size)

    store = SimpleNamespace(open_input=lambda path: Reader(b"the same"), uri_of=lambda path: path)
    ObjectStore.fetch(store, "copy", tmp_path)
    assert target.read_bytes() == b"the same"
