"""The log of a driver whose job folder is remote."""

import threading
import time

import pytest

from batch_endpoints.engine.driver.driver_log import NAME, stored_log
from batch_endpoints.storage.files.disk import Disk


class Watched(Disk):
    """Says when something was stored; refuses as often as it was told to."""

    def __init__(self, root, refusals=0):
        super().__init__(root)
        self.stored, self.refusals = threading.Event(), refusals

    def replace(self, path, data):
        if self.refusals:
            self.refusals -= 1
            raise OSError("the store is away")
        super().replace(path, data)
        self.stored.set()


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "here" / "driver.log"
    file.parent.mkdir()
    file.write_text("one\n")
    return file


@pytest.mark.parametrize("refusals", [0, 2])
def test_it_is_stored_while_the_driver_runs_behind_those_of_earlier_drivers(tmp_path, log, refusals):
    files = Watched(tmp_path / "job", refusals)
    (tmp_path / "job" / "logs").mkdir(parents=True)
    (tmp_path / "job" / NAME).write_text("earlier\n")

    with stored_log(files, log, seconds=0.01):
        assert files.stored.wait(30)
        assert files.read(NAME) == b"earlier\none\n"
        with log.open("a") as file:
            file.write("two\n")

    assert files.read(NAME) == b"earlier\none\ntwo\n"
    assert not log.parent.exists()


def test_its_end_is_stored_at_once(tmp_path, log):
    files = Watched(tmp_path / "job")
    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt), stored_log(files, log, seconds=600):
        raise KeyboardInterrupt

    assert files.read(NAME) == b"one\n"
    assert time.monotonic() - began < 60
