"""The home folder and the tokens in it."""

import os
import stat

import pytest

from batch_endpoints.cli.home import make_token, open_home
from batch_endpoints.errors import Refused


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def said():
    return []


def test_a_new_home_is_closed_whatever_the_umask(tmp_path, said):
    before = os.umask(0)
    try:
        open_home(tmp_path / "deep" / "home", said.append)
    finally:
        os.umask(before)
    assert mode(tmp_path / "deep" / "home") == 0o700
    assert said == []


@pytest.mark.parametrize("open_mode", [0o755, 0o750, 0o711, 0o707])
def test_a_home_that_others_can_enter_is_closed_and_that_is_reported(tmp_path, said, open_mode):
    tmp_path.chmod(open_mode)
    open_home(tmp_path, said.append)
    assert mode(tmp_path) == 0o700
    assert said == [f"Closed {tmp_path} to other users, who could enter it (its mode was 0{open_mode:o})"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can make a folder another user's")
def test_a_home_of_another_user_is_refused(tmp_path, said):
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(Refused, match="belongs to another user"):
        open_home(tmp_path, said.append)


def test_a_token_is_made_once(tmp_path):
    file = tmp_path / "token"
    make_token(file)
    first = file.read_text()
    make_token(file)
    assert file.read_text() == first
    assert len(first.strip()) >= 43  # 256 bits
    assert mode(file) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("found", ["readable", "empty", "link"])
def test_a_token_that_others_may_know_is_replaced(tmp_path, found):
    file = tmp_path / "token"
    if found == "link":
        (tmp_path / "elsewhere").write_text("known")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_text("known" if found == "readable" else "")
        file.chmod(0o644 if found == "readable" else 0o600)
    make_token(file)
    assert file.read_text() not in ("known", "")
    assert not file.is_symlink()
    assert mode(file) == 0o600
