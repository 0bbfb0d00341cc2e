"""Anything may be killed at any moment: the output is that of a run that nobody disturbed, row and file for file.

Bundles are too short here for commits in their middle: tests/unit/test_interleaved_workers.py has these.

``BATCH_ENDPOINTS_TEST_CHAOS`` sets the number of disturbed runs, each with a seed of its own.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from processes import WORKER, is_python, kill

from batch_endpoints.storage.files.addresses import local_path

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
    time.sleep(float(os.environ["SECONDS"]))
    rows = [(number, power, number**power) for number in numbers for power in range(3)]
    return pd.DataFrame(rows, columns=["number", "power", "value"])
"""
MINI_BATCHES = 400
ROWS, FILES = 3 * 2 * MINI_BATCHES, 2 * MINI_BATCHES // 10 + 2 * MINI_BATCHES // 100
MOST = {"driver": 2, "worker": 4}  # with one more the job fails, or one of its mini-batches, as they should
MOST_IN_VAIN = 2  # hosts and workers before something is committed again: the third host that cannot load the script
VICTIMS = {
    "host": "scoring/host.py",
    "worker": WORKER,
    "driver": "batch_endpoints.engine file://",
    "controller": "ray::ServeReplica:batch-endpoints-controller",
    "ingress": "ray::ServeReplica:batch-endpoints-ingress",
}


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(int(os.environ.get("BATCH_ENDPOINTS_TEST_CHAOS", "1"))))
def test_whatever_is_killed_the_output_is_that_of_an_undisturbed_run(server, deploy, numbered_files, seed):
    endpoint = deploy(
        "chaos",
        SCRIPT,
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 100},
        environment_variables={"SECONDS": "0"},
    )
    folder = str(numbered_files(2 * MINI_BATCHES))
    undisturbed = output_of(server.client.invoke(endpoint, input=folder).wait(timeout_seconds=300))
    assert undisturbed["predictions.csv"].count("\n") == 1 + ROWS
    assert len(undisturbed) == 1 + FILES

    job = server.client.invoke(endpoint, input=folder, environment_variables={"SECONDS": "0.05"})
    victims = disturb(server, job.name, random.Random(seed))
    print("killed:", *victims)
    done = job.wait(timeout_seconds=300)
    assert (done.progress.items_succeeded, done.progress.items_failed) == (2 * MINI_BATCHES, 0), done.report()
    assert output_of(done) == undisturbed
    assert set(victims) == set(VICTIMS)
    server.client.endpoints.delete(endpoint)


def disturb(server, job, rng):
    """Kill something every second or so until everything was killed, and the job still runs or has ended.

    A machine may be so busy that nothing gets done between two kills: those that a job bears only so many times
    (see ``MOST`` and ``MOST_IN_VAIN``) are left alone then.

    Returns: what was killed, in order.
    """
    folder = local_path(server.client.job(job).document["folder"])
    victims, in_vain, committed = [], 0, 0
    deadline = time.monotonic() + 120
    while not (folder / "report.json").exists() and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.2, 1.5))
        kinds = [kind for kind in VICTIMS if kind not in victims] or ["host", "worker", "ingress"]
        kind = rng.choice([kind for kind in [*kinds, "driver"] if victims.count(kind) < MOST.get(kind, 1000)])
        if commits(folder) != committed:
            in_vain = 0
        if kind in ("host", "worker") and in_vain == MOST_IN_VAIN:
            continue
        pids = [pid for pid in server.pids(VICTIMS[kind]) if kind != "driver" or is_python(pid)]
        if pids and kill(rng.choice(pids)):
            victims.append(kind)
            in_vain, committed = in_vain + (kind in ("host", "worker")), commits(folder)
    return victims


def commits(folder):
    return sum(1 for _ in folder.glob("commits/*/*.json"))


def output_of(job):
    """The text of each file."""
    return {path.name: path.read_text() for path in Path(job.outputs["score"].uri.removeprefix("file://")).iterdir()}
