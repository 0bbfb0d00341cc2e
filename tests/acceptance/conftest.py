"""A real server for the stories: started by the command line, on a Ray and a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pytest
import requests
from processes import command_of

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.cli.local_ray import LocalRay, free_ports, processes_of
from batch_endpoints.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Shell:
    """Runs the command line as a user does, against one home."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BATCH_ENDPOINTS_", "RAY_"))}
        return {**kept, "BATCH_ENDPOINTS_HOME": str(self.home)}

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "batch_endpoints.cli", *map(str, arguments)]

    def run(self, *arguments: str | Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def __call__(self, *arguments: str | Path) -> str:
        """Its stdout; a failure fails the test."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pids(self, marker: str) -> list[int]:
        """Processes of the server that is up, its jobs and their hosts whose command line holds a text."""
        started = json.loads((self.home / "server.json").read_text())["ray"]
        return [pid for pid, _ in processes_of(LocalRay(**started)) if marker in command_of(pid)]


@dataclass(frozen=True)
class Server(Shell):
    """A server that is up."""

    url: str
    dashboard: str
    docs: str  # opens once

    @property
    def client(self) -> BatchEndpointsClient:
        return BatchEndpointsClient(self.url, settings=Settings(home=self.home))

    @cached_property
    def http(self) -> requests.Session:
        """For requests as any program makes them, with the token."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {(self.home / 'token').read_text().strip()}"
        return session


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command line with a home of its own, where nothing is up."""
    return Shell(tmp_path / "home")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shell = Shell(tmp_path_factory.mktemp("home"))
    (port,) = free_ports(1)
    try:
        shown = json.loads(shell("up", "--port", str(port)))
        yield Server(shell.home, shown["url"], shown["ray_dashboard"], shown["docs"])
    finally:
        shell.run("down")


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


def prepared(example: Path, how: str) -> Path:
    done = subprocess.run([sys.executable, example / "prepare.py", example, how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return example


@pytest.fixture(autouse=True, scope="session")
def _wait_no_longer_than_needed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_endpoints.client.job_handle.LONGEST_POLL_SECONDS", 0.3)
        yield


@pytest.fixture
def deploy(server: Server, tmp_path: Path) -> Callable[..., str]:
    """Puts a scoring script behind an endpoint of its own and returns the endpoint's name."""
    return partial(deploy_script, server, tmp_path)


def deploy_script(server: Server, place: Path, name: str, script: str, **settings: object) -> str:
    """As ``deploy``, for stories that keep one job for several tests."""
    folder = place / name
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "score.py").write_text(script)
    (folder / "weights.txt").write_text("42")
    client = server.client
    client.endpoints.create({"name": name})
    client.deployments(name).create(
        {
            "name": "scripted",
            "model": {"path": str(folder / "weights.txt")},
            "code_configuration": {"code": str(folder / "src"), "scoring_script": "score.py"},
            "settings": settings,
        }
    )
    client.endpoints.update(name, {"defaults": {"deployment_name": "scripted"}})
    return name


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
