"""Jobs that run at once share the cluster: none waits for another one, and none slows another one down."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import pytest
from processes import slowdown
from servers import Server, Shell, deploy_script

from batch_endpoints.cli.local_ray import free_ports

SLEEPS = """
import os, time

def run(mini_batch):
    began = time.time()
    time.sleep(0.5)
    with open(os.environ["SPANS"], "a") as file:
        file.write(f"{began} {time.time()}\\n")
    return mini_batch
"""
FILES, JOBS = 40, 8


@dataclass(frozen=True)
class RoomyShell(Shell):
    @property
    def environment(self):
        return {**super().environment, "BATCH_ENDPOINTS_MAX_RUNNING_JOBS": str(JOBS)}


@pytest.fixture
def roomy_server(tmp_path):
    """A server that runs so many jobs at once."""
    shell = RoomyShell(tmp_path / "home")
    (port,) = free_ports(1)
    try:
        shown = json.loads(shell("up", "--port", str(port)))
        yield Server(shell.home, shown["url"], shown["ray_dashboard"], shown["docs"])
    finally:
        shell.run("down")


@pytest.mark.skipif(
    not os.environ.get("BATCH_ENDPOINTS_TEST_ALONE"),
    reason="compares how long jobs take, so it needs the machine for itself: BATCH_ENDPOINTS_TEST_ALONE=1, with -n 0",
)
def test_eight_jobs_at_once_keep_both_of_their_workers_busy_from_their_first_mini_batch_to_the_last(
    roomy_server, numbered_files, tmp_path
):
    endpoint = deploy_script(roomy_server, tmp_path, "sleeping", SLEEPS, mini_batch_size=1)
    folder = str(numbered_files(FILES))

    def invoke(number):
        spans = tmp_path / f"spans-{number}"
        job = roomy_server.client.invoke(
            endpoint,
            input=folder,
            max_concurrency_per_instance=2,
            resource_properties={"num_cpus": 0.1},
            environment_variables={"SPANS": str(spans)},
        )
        return job, spans

    slow = slowdown()
    alone = span_of(*invoke("alone"))
    together = [span_of(*one) for one in [invoke(number) for number in range(JOBS)]]
    slow = max(slow, slowdown())
    assert all(span <= 1.25 * slow * alone for span in together), (alone, together)
    begins, ends = zip(*(edges(tmp_path / f"spans-{number}") for number in range(JOBS)), strict=True)
    assert max(begins) < min(ends), "all of them ran at once"


def span_of(job, spans):
    """Seconds from a job's first mini-batch to its last; it has kept two workers busy meanwhile."""
    done = job.wait(timeout_seconds=600)
    assert (done.status, done.progress.items_succeeded) == ("Completed", FILES), done.report()
    began, ended = edges(spans)
    busy = sum(end - begin for begin, end in read(spans))
    assert busy / (ended - began) > 1.5, f"parallelism {busy / (ended - began):.2f} in {ended - began:.1f} s"
    return ended - began


def edges(spans):
    return min(begin for begin, _ in read(spans)), max(end for _, end in read(spans))


def read(spans):
    return [tuple(map(float, line.split())) for line in spans.read_text().splitlines()]
