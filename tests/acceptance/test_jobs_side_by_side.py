"""Jobs that run at once share the cluster: none waits for another one to end.

How fast they are then, tests/benchmarks/side_by_side.py measures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from processes import wait_for
from servers import Server, Shell, deploy_script

from batch_endpoints.cli.local_ray import free_ports

WAITS = """
import os, time, uuid

def init():
    global me
    me = uuid.uuid4().hex

def run(mini_batch):
    here = os.environ["HERE"]
    open(f"{here}/{os.environ['JOB']}-{me}", "w").close()
    while not os.path.exists(f"{here}/go"):
        time.sleep(0.05)
    return mini_batch
"""
FILES, JOBS, WORKERS = 12, 6, 2


@dataclass(frozen=True)
class RoomyShell(Shell):
    @property
    def environment(self):
        return {**super().environment, "BATCH_ENDPOINTS_MAX_RUNNING_JOBS": str(JOBS)}


@pytest.fixture
def roomy_server(tmp_path):
    """A server that runs so many jobs at once, however small this machine is."""
    shell = RoomyShell(tmp_path / "home")
    (port,) = free_ports(1)
    try:
        shown = json.loads(shell("up", "--port", str(port)))
        yield Server(shell.home, shown["url"], shown["ray_dashboard"], shown["docs"])
    finally:
        shell.run("down")


def test_jobs_at_once_on_few_cpus_have_all_of_their_workers_at_work_at_the_same_time(
    roomy_server, numbered_files, tmp_path
):
    """Each worker waits in its first mini-batch until all workers of all jobs are in theirs."""
    endpoint = deploy_script(
        roomy_server, tmp_path, "beside-others", WAITS, mini_batch_size=1, retry_settings={"timeout": 600}
    )
    here = tmp_path / "here"
    here.mkdir()
    folder = str(numbered_files(FILES))
    jobs = [
        roomy_server.client.invoke(
            endpoint,
            input=folder,
            max_concurrency_per_instance=WORKERS,
            resource_properties={"num_cpus": 0.1},
            environment_variables={"HERE": str(here), "JOB": str(number)},
        )
        for number in range(JOBS)
    ]
    try:
        wait_for(lambda: len(list(here.iterdir())) == JOBS * WORKERS, "all workers of all jobs", seconds=300)
        by_job = [len(list(here.glob(f"{number}-*"))) for number in range(JOBS)]
        assert by_job == [WORKERS] * JOBS
    finally:
        (here / "go").touch()
    for job in jobs:
        done = job.wait(timeout_seconds=600)
        assert (done.status, done.progress.items_succeeded) == ("Completed", FILES), done.report()
