"""A graph of steps behind an endpoint, and by itself, as somebody who comes from Azure ML runs it."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from processes import is_python, kill, runs, slowdown, wait_for
from servers import prepared

from batch_endpoints.storage.files.addresses import local_path


@pytest.fixture(scope="session")
def wine(examples):
    return prepared(examples / "pipelines")


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


MARKED = """
type: pipeline
outputs: {{done: {{type: uri_file}}}}
jobs:
  first:
    command: echo ran >> {place}/first; echo 1 > ${{{{outputs.one}}}}
    outputs: {{one: {{type: uri_file}}}}
  second:
    command: >-
      sleep 300 & echo $$ $! >> {place}/second;
      while [ ! -e {place}/gate ]; do sleep 0.1; done; cat ${{{{inputs.one}}}} > ${{{{outputs.done}}}}
    inputs: {{one: {{type: uri_file, path: "${{{{parent.jobs.first.outputs.one}}}}"}}}}
    outputs: {{done: {{type: uri_file, path: "${{{{parent.outputs.done}}}}"}}}}
"""


@pytest.fixture
def waiting(server, tmp_path):
    """A pipeline whose second step waits for a gate, and has left a process beside itself."""
    (tmp_path / "pipeline.yml").write_text(MARKED.format(place=tmp_path))
    job = server.client.create_job(tmp_path / "pipeline.yml")
    wait_for(lambda: (tmp_path / "second").exists(), "the second step")
    return job


def test_finished_steps_are_not_run_again_when_the_driver_is_killed(server, waiting, tmp_path):
    folder = local_path(waiting.document["folder"])
    (driver,) = filter(is_python, server.pids(f"batch_endpoints.engine {folder.as_uri()}"))
    assert kill(driver)
    wait_for(lambda: len((tmp_path / "second").read_text().splitlines()) == 2, "another attempt of the second step")
    (tmp_path / "gate").touch()
    assert waiting.wait().status == "Completed"
    assert (tmp_path / "first").read_text() == "ran\n"
    assert [one.read_text() for one in waiting.outputs["done"].download(tmp_path / "got")] == ["1\n"]


def test_a_canceled_pipeline_leaves_no_process_and_goes_on_when_it_is_resumed(waiting, tmp_path):
    pids = list(map(int, (tmp_path / "second").read_text().split()))
    assert [runs(pid) for pid in pids] == [True, True]
    waiting.cancel()
    wait_for(lambda: not any(map(runs, pids)), "the end of the step's processes", seconds=5 * slowdown() + 5)
    wait_for(lambda: waiting.refresh().ended, "the end of the job")
    assert {path: step["status"] for path, step in waiting.document["steps"].items()} == {
        "first": "Completed",
        "second": "Canceled",
    }
    (tmp_path / "gate").touch()
    assert waiting.resume().wait().status == "Completed"
    assert (tmp_path / "first").read_text() == "ran\n"
