"""A command line with a home of its own, a server that it has started, and a scoring script behind an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import requests
from processes import command_of

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.cli.local_ray import LocalRay, processes_of
from batch_endpoints.settings import Settings


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


def prepared(example: Path, *how: str) -> Path:
    """An example with its model trained and its data written."""
    done = subprocess.run([sys.executable, example / "prepare.py", example, *how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return example
