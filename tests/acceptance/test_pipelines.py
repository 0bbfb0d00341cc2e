"""A graph of steps behind an endpoint, and by itself, as somebody who comes from Azure ML runs it."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from conftest import prepared


@pytest.fixture(scope="session")
def wine(examples):
    return prepared(examples / "pipelines", "")


def test_a_pipeline_file_runs_by_itself(server, examples, tmp_path):
    name = "hello-there"
    streamed = server.run(
        *("job", "create", "-f", examples / "pipelines" / "hello.yml", "-n", name, "--stream"),
        *("--set", "inputs.who=O'Brien & $HOME", "-o", "json"),
    )
    assert streamed.returncode == 0, streamed.stderr
    job = json.loads(streamed.stdout)
    assert job["status"] == "Completed"
    assert {path: step["status"] for path, step in job["steps"].items()} == {
        "greet": "Completed",
        "shout": "Completed",
    }
    assert "step shout: Completed" in streamed.stderr

    server("job", "download", "-n", name, "--output-name", "greetings", "-p", tmp_path)
    assert (tmp_path / "named-outputs" / "greetings" / "loud.txt").read_text() == "HELLO O'BRIEN & $HOME\n"


def test_a_pipeline_behind_an_endpoint_prepares_and_scores(server, wine, tmp_path):
    server("endpoint", "create", "-f", wine / "endpoint.yml")
    server("deployment", "create", "-f", wine / "deployment.yml", "--set-default")
    invoked = server.run(
        *("endpoint", "invoke", "-n", "wine", "--inputs", f"measurements={wine / 'data'}", "--stream"),
        *("--set", "inputs.threshold.default=12.5"),
    )
    assert invoked.returncode == 0, invoked.stderr
    job = json.loads(invoked.stdout)
    assert [job["steps"][path]["status"] for path in ("prepare", "score")] == ["Completed", "Completed"]

    server("job", "download", "-n", job["name"], "--output-name", "scores", "-p", tmp_path)
    (file,) = (tmp_path / "named-outputs" / "scores").iterdir()
    scored = pd.read_csv(file)
    source = pd.concat(pd.read_csv(one) for one in sorted((wine / "data").glob("*.csv"))).dropna(subset=["alcohol"])
    assert scored["alcohol"].tolist() == source["alcohol"].tolist()
    assert scored["strong"].tolist() == (source["alcohol"] >= 12.5).tolist()

    steps = json.loads(server("job", "list", "--parent-job-name", job["name"]))
    assert {step["step"]: step["status"] for step in steps} == {"prepare": "Completed", "score": "Completed"}
    assert all(step["name"].startswith(f"{job['name']}--") for step in steps)
    assert "prepare  | wines-000.csv is clean" in server("job", "logs", "-n", job["name"])
