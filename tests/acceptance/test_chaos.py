"""Anything may be killed at any moment: the output is that of a run that nobody disturbed, row and file for file.

Bundles are too short here for commits in their middle: tests/unit/test_interleaved_workers.py has these.

``BATCH_ENDPOINTS_TEST_CHAOS`` sets the number of disturbed runs, each with a seed of its own.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from processes import is_python

SCRIPT = """
import os
import time
import pandas as pd

def write(name, text):
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name), "w") as file:
        file.write(text)

def run(mini_batch):
    numbers = [int(open(file).read()) for file in mini_batch]
    if numbers[0] % 10 == 0:
        write(f"{numbers[0]:04}.txt", str(numbers))
    if numbers[0] % 100 == 0:
        write("alike.txt", str(numbers))
    time.sleep(0.05)
    rows = [(number, power, number**power) for number in numbers for power in range(3)]
    return pd.DataFrame(rows, columns=["number", "power", "value"])
"""
MINI_BATCHES = 400
ROWS, FILES = 3 * 2 * MINI_BATCHES, 2 * MINI_BATCHES // 10 + 2 * MINI_BATCHES // 100
DRIVERS = 2  # a job may lose as many; with the third one it fails, because the next would be lost too
VICTIMS = {
    "host": "scoring/host.py",
    "worker": "ray::ScoringActor",
    "driver": "batch_endpoints.engine file://",
    "controller": "ray::ServeReplica:batch-endpoints-controller",
    "ingress": "ray::ServeReplica:batch-endpoints-ingress",
}


@pytest.mark.parametrize("seed", range(int(os.environ.get("BATCH_ENDPOINTS_TEST_CHAOS", "1"))))
def test_whatever_is_killed_the_output_is_that_of_an_undisturbed_run(server, deploy, numbered_files, seed):
    endpoint = deploy(
        "chaos",
        SCRIPT,
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 10},
    )
    folder = str(numbered_files(2 * MINI_BATCHES))
    undisturbed = output_of(server.client.invoke(endpoint, input=folder).wait(timeout_seconds=300))
    assert undisturbed["predictions.csv"].count("\n") == 1 + ROWS
    assert len(undisturbed) == 1 + FILES

    job = server.client.invoke(endpoint, input=folder)
    killed = disturb(server, job.name, random.Random(seed))
    done = job.wait(timeout_seconds=300)
    assert done.status == "Completed", (killed, done.error)
    assert (done.progress.items_succeeded, done.progress.items_failed) == (2 * MINI_BATCHES, 0), (killed, done.error)
    assert output_of(done) == undisturbed
    assert set(killed) == set(VICTIMS), killed
    server.client.endpoints.delete(endpoint)


def disturb(server, job, rng):
    """Kill something every second or so until everything was killed, and the job still runs or has ended.

    A worker is killed only where something was committed since the last one was: where the machine is so busy that
    none gets anything done in between, it is the fifth of them that costs its mini-batch, as it should.

    Returns: what was killed, in order.
    """
    folder = server.home / "jobs" / job
    report = folder / "report.json"
    killed = []
    committed = -1  # when a worker was killed last
    deadline = time.monotonic() + 120
    while not report.exists() and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.2, 1.5))
        kinds = [kind for kind in VICTIMS if kind not in killed] or ["host", "worker", "ingress"]
        if killed.count("driver") < DRIVERS:
            kinds.append("driver")
        kind = rng.choice(kinds)
        count = sum(1 for _ in folder.glob("commits/*/*.json"))
        if kind == "worker" and count == committed:
            continue
        pids = [pid for pid in server.pids(VICTIMS[kind]) if kind != "driver" or is_python(pid)]
        if pids:
            os.kill(rng.choice(pids), signal.SIGKILL)
            killed.append(kind)
            committed = count if kind == "worker" else committed
    return killed


def output_of(job):
    """The text of each file."""
    return {path.name: path.read_text() for path in Path(job.outputs["score"].uri.removeprefix("file://")).iterdir()}
