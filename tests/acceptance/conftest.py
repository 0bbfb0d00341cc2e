"""A real server for the stories: started by the command line, on a Ray and a home of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from servers import Server, Shell, deploy_script, prepared

from batch_endpoints.cli.local_ray import free_ports

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command line with a home of its own, where nothing is up."""
    return Shell(tmp_path / "home")


@contextlib.contextmanager
def running_server(home: Path) -> Iterator[Server]:
    shell = Shell(home)
    (port,) = free_ports(1)
    try:
        shown = json.loads(shell("up", "--port", str(port)))
        yield Server(shell.home, shown["url"], shown["ray_dashboard"], shown["docs"])
    finally:
        shell.run("down")


class SharedServer:
    """One for all stories that a process runs in a row: idle, it would take an eighth of a CPU from later tests."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.undo = contextlib.ExitStack()

    def started(self, home: Callable[[], Path]) -> Server:
        if self.server is None:
            self.server = self.undo.enter_context(running_server(home()))
        return self.server

    def end(self) -> None:
        self.server = None
        self.undo.close()


SHARED = SharedServer()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return SHARED.started(lambda: tmp_path_factory.mktemp("home"))


@pytest.hookimpl(trylast=True)  # after the fixtures of the module
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        SHARED.end()


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples; where nothing else is said, without their models and data."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model", "data", "ml*"))
    return folder


@pytest.fixture(scope="session")
def tumor(examples: Path) -> Path:
    """The example, with its model trained and its data written: which takes longer than all other examples do."""
    return prepared(examples / "tumor", "--files=8")


@pytest.fixture(scope="session")
def digits(examples: Path) -> Path:
    return prepared(examples / "digits", "--files=60")


@pytest.fixture(autouse=True, scope="session")
def _wait_no_longer_than_needed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_endpoints.client.job_handle.LONGEST_POLL_SECONDS", 0.3)
        yield


@pytest.fixture
def deploy(server: Server, tmp_path: Path) -> Callable[..., str]:
    """Puts a scoring script behind an endpoint of its own and returns the endpoint's name."""
    return partial(deploy_script, server, tmp_path)


@pytest.fixture
def numbered_files(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of text files, each holding its number."""

    def write(count: int) -> Path:
        folder = tmp_path / "numbers"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:04}.txt").write_text(str(number))
        return folder

    return write
