"""Processes are killed in the middle of a job: it completes, and every input is in the output exactly once."""

from __future__ import annotations

import json
import time

import pandas as pd
import pytest
from processes import WORKER, command_of, is_python, kill, runs, slowdown, wait_for

from batch_endpoints.cli.local_ray import free_ports
from batch_endpoints.storage.files.addresses import local_path

GATED = """
import os, time

def run(mini_batch):
    numbers = [int(open(file).read()) for file in mini_batch]
    while numbers[0] >= 10 and not os.path.exists({gate!r}):
        time.sleep(0.02)
    return numbers
"""

ENDLESS = """
import logging, os, re, subprocess
from pathlib import Path

def run(mini_batch):
    logging.getLogger("mine").debug("a quiet word")
    if mini_batch[0].endswith("0000.txt"):
        return mini_batch
    child = subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True)
    pids = Path(os.environ["PIDS"])
    with pids.open("a") as file:
        file.write(f"{os.getpid()} {child.pid} ")
    re.match("(a+)+$", "a" * 60 + "b")  # busy in C, and never lets go of the lock
"""


def folder_of(server, job):
    return local_path(job.document["folder"])


def commits(server, job):
    return list((folder_of(server, job) / "commits").rglob("*.json"))


@pytest.fixture
def gate(tmp_path):
    """A file without which only the first five mini-batches of two files come to their end."""
    return tmp_path / "gate"


@pytest.fixture
def running_job(server, deploy, numbered_files, gate):
    """A job that has committed some of its mini-batches, and has many to go."""
    endpoint = deploy(
        "gated-ones",
        GATED.format(gate=str(gate)),
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"timeout": 600},
    )
    job = server.client.invoke(endpoint, input=str(numbered_files(60)))
    wait_for(lambda: len(commits(server, job)) >= 3, "the first commits")
    yield job
    server.client.endpoints.delete(endpoint)


def test_a_killed_driver_is_replaced_and_every_input_is_there_once(server, running_job, gate):
    engine = f"batch_endpoints.engine {folder_of(server, running_job).as_uri()}"
    (driver,) = filter(is_python, server.pids(engine))
    assert kill(driver)
    gate.touch()
    done = running_job.wait(timeout_seconds=240)
    assert done.document["launches"] == 2
    check_output(done)


def test_killed_workers_and_replicas_cost_no_input(server, running_job, gate):
    for marker in (WORKER, "ray::ServeReplica:batch-endpoints-controller", "scoring/host.py"):
        wait_for(lambda marker=marker: any(map(kill, server.pids(marker)[:1])), f"the end of {marker}")
    for pid in server.pids("ray::ServeReplica:batch-endpoints-ingress"):
        kill(pid)
    gate.touch()
    done = running_job.wait(timeout_seconds=240)
    check_output(done)


def test_a_canceled_job_ends_soon_leaves_no_process_of_the_user_and_can_be_resumed(server, running_job, gate):
    running_job.cancel()
    wait_for(lambda: running_job.refresh().ended, "the end of the job")
    assert running_job.status == "Canceled"
    wait_for(lambda: not server.pids("scoring/host.py"), "the end of the hosts")
    before = {path.name for path in commits(server, running_job)}
    assert before

    gate.touch()
    server("job", "resume", "-n", running_job.name, "--set", "retry_settings.timeout=60")
    done = running_job.refresh().wait(timeout_seconds=240)
    check_output(done)
    assert before < {path.name for path in commits(server, running_job)}


def test_within_five_seconds_of_a_cancel_all_that_a_script_has_started_is_gone(
    server, deploy, numbered_files, tmp_path
):
    slow = slowdown()
    endpoint = deploy("endless", ENDLESS, mini_batch_size=1, environment_variables={"PIDS": "/dev/null"})
    pids = tmp_path / "pids"
    job = server.client.invoke(
        endpoint,
        input=str(numbered_files(80)),
        max_concurrency_per_instance=2,
        retry_settings={"timeout": 600},
        environment_variables={"PIDS": str(pids)},
        logging_level="debug",
    )
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 4, "both workers to be at it")
    started = [int(pid) for pid in pids.read_text().split()]
    assert all(map(runs, started))

    began = time.monotonic()
    job.cancel()
    wait_for(lambda: not any(map(runs, started)), "the end of them")
    seconds = time.monotonic() - began

    wait_for(lambda: job.refresh().ended, "the end of the job")
    assert seconds < 5 * max(slow, slowdown())
    assert job.status == "Canceled"
    assert "a quiet word" in job.logs()


@pytest.mark.chaos
def test_after_a_killed_head_up_clears_away_what_it_left_and_the_job_goes_on(shell, numbered_files, tmp_path, gate):
    (port,) = free_ports(1)
    (tmp_path / "score.py").write_text(GATED.format(gate=str(gate)))
    (tmp_path / "weights.txt").write_text("42")
    (tmp_path / "endpoint.yml").write_text("name: lasting\n")
    (tmp_path / "deployment.yml").write_text(
        "name: slow-ones\nendpoint_name: lasting\nmodel: {path: weights.txt}\n"
        "code_configuration: {code: ., scoring_script: score.py}\n"
        "settings: {mini_batch_size: 2, retry_settings: {timeout: 600}}\n"
    )
    try:
        shell("up", "--port", port)
        shell("endpoint", "create", "-f", tmp_path / "endpoint.yml")
        shell("deployment", "create", "-f", tmp_path / "deployment.yml", "--set-default")
        job = json.loads(shell("endpoint", "invoke", "-n", "lasting", "--input", numbered_files(40)))["name"]
        folder = local_path(json.loads(shell("job", "show", "-n", job))["folder"])
        wait_for(lambda: list((folder / "commits").rglob("*.json")), "the first commits")

        head = json.loads((shell.home / "server.json").read_text())["ray"]["pid"]
        before = shell.pids(str(shell.home))
        assert len(before) >= 2  # the driver and the host of its worker
        assert kill(head)
        wait_for(lambda: shell.run("status").returncode == 1, "the end of what answered")
        shell("up", "--port", port)
        assert not [command for pid in before if (command := command_of(pid))]
        gate.touch()
        done = shell.run("job", "stream", "-n", job)
        assert done.returncode == 0, done.stdout + done.stderr
        found = pd.read_csv(folder / "named-outputs" / "score" / "predictions.csv")
        assert list(found["prediction"]) == list(range(40))
    finally:
        shell.run("down")


def check_output(job):
    assert job.status == "Completed", job.error
    found = pd.read_csv(f"{job.outputs['score'].uri.removeprefix('file://')}/predictions.csv")
    assert list(found["prediction"]) == list(range(60))
    assert job.progress.items_succeeded == 60
    assert job.progress.items_failed == 0
