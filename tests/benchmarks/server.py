"""A server of ours for all workloads, and jobs on it as contenders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import Run, WrongOutput
from processes import Usage, watched

from batch_endpoints import BatchEndpointsClient
from batch_endpoints.cli.local_ray import free_ports
from batch_endpoints.client.job_handle import Job
from batch_endpoints.settings import Settings

OURS = "ours"
_POLL_SECONDS = 0.05  # later less often: an answer takes the server 14 ms of CPU


class Server:
    """Started by the command line when somebody asks for it, with a Ray and a home of its own; ended by ``down``."""

    def __init__(self, home: Path) -> None:
        self.home, self._up = home, False

    @cached_property
    def _shown(self) -> dict[str, Any]:
        self._up = True  # also where `up` is interrupted: `down` clears away what it left
        (port,) = free_ports(1)
        return json.loads(self._cli("up", "--port", str(port)))

    @property
    def client(self) -> BatchEndpointsClient:
        return BatchEndpointsClient(self._shown["url"], settings=Settings(home=self.home))

    @property
    def dashboard(self) -> str:
        return self._shown["ray_dashboard"]

    @property
    def ray_headers(self) -> dict[str, str]:
        """What its dashboard wants to see."""
        return {"Authorization": f"Bearer {(self.home / 'ray-token').read_text().strip()}"}

    @property
    def ray_address(self) -> str:
        return self._shown["ray_address"]

    @property
    def ray_pid(self) -> int:
        """The head's process, of which all that runs on the cluster descends."""
        _ = self._shown
        return json.loads((self.home / "server.json").read_text())["ray"]["pid"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self._up:
            self._cli("down")

    def _cli(self, *arguments: str) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BATCH_ENDPOINTS_", "RAY_"))}
        done = subprocess.run(
            [sys.executable, "-m", "batch_endpoints.cli", *arguments],
            env={**kept, "BATCH_ENDPOINTS_HOME": str(self.home), "BATCH_ENDPOINTS_MAX_RUNNING_JOBS": "8"},
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"`batch-endpoints {' '.join(arguments)}` failed")
        return done.stdout


class Endpoint:
    """A deployment on the server, invoked as a client does.

    Args:
        script: the scoring script; "" where the model is MLflow's and needs none.
        model: the model's folder or file.
    """

    def __init__(
        self, server: Server, place: Path, name: str, *, script: str = "", model: Path | None = None, **settings: Any
    ) -> None:
        self._server, self._name = server, name
        code = place / f"{name}-code"
        code.mkdir(parents=True)
        if model is None:
            model = code / "model.txt"
            model.write_text("no model")
        document: dict[str, Any] = {"name": "scoring", "model": {"path": str(model)}, "settings": settings}
        if script:
            (code / "src").mkdir()
            (code / "src" / "score.py").write_text(script)
            document["code_configuration"] = {"code": str(code / "src"), "scoring_script": "score.py"}
        else:
            document["model"]["type"] = "mlflow_model"
        variables = {"OMP_NUM_THREADS": "1", **settings.pop("environment_variables", {})}
        settings["environment_variables"] = variables
        client = server.client
        client.endpoints.create({"name": name})
        client.deployments(name).create(document)
        client.endpoints.update(name, {"defaults": {"deployment_name": "scoring"}})

    def invoke(self, input: Path, **overrides: Any) -> Job:
        return self._server.client.invoke(self._name, input=input, **overrides)

    def run(self, input: Path, check: Callable[[Path], None], *, watch: bool = False) -> Run:
        """Invoke, wait, check the output, forget the job's folder.

        Args:
            check: is given the job folder.
            watch: measure memory and CPU time of all processes of the cluster meanwhile.
        """
        usage = Usage()
        with watched(self._server.ray_pid, usage) if watch else _nothing():
            asked = time.monotonic()
            job = self.invoke(input)
            while not job.refresh().ended:
                time.sleep(max(_POLL_SECONDS, (time.monotonic() - asked) / 20))
            seconds = time.monotonic() - asked
        folder = Path(job.document["folder"].removeprefix("file://"))
        if job.status != "Completed":
            raise WrongOutput(f"our job is {job.status}: {job.headline}; {folder}")
        check(folder)
        report = json.loads((folder / "report.json").read_text())
        marks = commit_marks(folder)
        stages = {f"s_{name}": value for name, value in report["seconds"].items()}
        shutil.rmtree(folder, ignore_errors=True)
        return Run(seconds, marks, {**stages, **usage.numbers})


def commit_marks(folder: Path) -> list[tuple[float, int]]:
    """When each commit was written, and the rows that it made count."""
    found = []
    for path in folder.glob("commits/*/*.json"):
        commit: Mapping[str, Any] = json.loads(path.read_text())
        found.append((path.stat().st_mtime, commit["rows"] or commit["items_succeeded"]))
    return found


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...
