"""Endpoints and jobs from inside Ray: an actor that invokes, and a job given to ``ray job submit`` by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pandas as pd

from batch_endpoints.cli.local_ray import access_variables


def ray_job_submit(server, *command):
    return subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", server.dashboard, "--", *command],
        env={**server.environment, **access_variables(server.home / "ray-token")},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_an_actor_invokes_an_endpoint_and_reads_the_predictions(server, examples, deploy, numbered_files):
    script = "def run(mini_batch):\n    return [{'prediction': int(open(f).read()) % 2} for f in mini_batch]\n"
    endpoint = deploy("parity", script)
    done = ray_job_submit(
        server,
        sys.executable,
        str(examples / "ray-actor" / "invoke_from_actor.py"),
        server.url,
        endpoint,
        str(numbered_files(7)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "{0: 4, 1: 3}" in done.stdout


def test_a_job_written_by_hand_runs_without_the_server(server, examples, digits):
    folder = examples / "ray-job"
    done = ray_job_submit(server, sys.executable, "-m", "batch_endpoints.engine", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    found = pd.read_csv(folder / "named-outputs" / "score" / "digits.csv")
    assert list(found["file"]) == sorted(path.name for path in (digits / "data").iterdir())
    shutil.rmtree(folder / "named-outputs")

    again = ray_job_submit(server, sys.executable, "-m", "batch_endpoints.engine", str(folder))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "has ended before: Completed" in again.stdout
