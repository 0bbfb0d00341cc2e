"""Attempts of command steps on a Ray cluster: what is lost, what is stopped, and that one attempt counts."""

import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
import ray
from job_folders import wait_until
from ray.cluster_utils import Cluster
from step_folders import Step

from batch_endpoints.engine.on_ray.commands import RayCommands
from batch_endpoints.errors import StepLost
from batch_endpoints.storage.job.step_record import step_record


@pytest.fixture(scope="module", autouse=True)
def nodes():
    """A head without CPUs and two nodes with one each, of which a silent one is given up after half a minute."""
    folder = tempfile.mkdtemp(prefix="be-", dir="/tmp")  # a socket's path must be short
    os.mkdir(f"{folder}/ray")
    before = dict(os.environ)
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    cluster = Cluster()
    try:
        soon = {"health_check_period_ms": 300, "health_check_failure_threshold": 3, "health_check_timeout_ms": 8_000}
        cluster.add_node(num_cpus=0, include_dashboard=False, _system_config=soon)
        for _ in range(2):
            cluster.add_node(wait=False, num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(cluster.address, logging_level="error", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def runner():
    with closing(RayCommands()) as runner:
        yield runner


def parent(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def is_up(pid):
    """Does a process run, or is it stopped?"""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def waiting_step(place):
    """A step whose attempts say who they are, and end when there is a file ``go``; a child of theirs never does."""
    return Step(
        place,
        f"setsid sleep 1000 & echo $! $$ >> {place}/pids; echo ${{{{outputs.o}}}} > ${{{{outputs.o}}}}/mine; "
        f"until test -e {place}/go; do sleep 0.1; done",
        outputs=["o"],
    )


def pids_of(place, attempts=1):
    wait_until(lambda: (place / "pids").exists() and (place / "pids").read_text().count("\n") == attempts)
    return [int(pid) for pid in (place / "pids").read_text().split()[-2:]]


def test_an_attempt_runs_on_a_node_and_its_failure_is_the_users(tmp_path, runner):
    step = Step(tmp_path, "echo $PPID; echo no >&2; exit 4")
    assert "no (exit code 4)" in runner.run(step.uri, 1).error.message


def test_what_no_node_has_is_an_error_at_once(tmp_path, runner):
    step = Step(tmp_path, "true", component={"resources": {"properties": {"num_gpus": 2}}})
    assert runner.run(step.uri, 1).error.code == "ResourcesUnavailable"


def test_a_stop_ends_what_runs_and_begins_nothing_more(tmp_path, runner):
    step = waiting_step(tmp_path)
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(runner.run, step.uri, 1)
        pids = pids_of(tmp_path)
        runner.stop()
        assert outcome.result().stopped
    wait_until(lambda: not any(map(is_up, pids)))
    assert runner.run(step.uri, 2).stopped
    assert step_record(step.files) is None


def test_an_attempt_whose_worker_is_killed_is_lost_with_all_its_processes(tmp_path, runner):
    step = waiting_step(tmp_path)
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(runner.run, step.uri, 1)
        pids = pids_of(tmp_path)
        os.kill(parent(parent(pids[1])), signal.SIGKILL)
        with pytest.raises(StepLost):
            outcome.result()
        wait_until(lambda: not any(map(is_up, pids)))
        (tmp_path / "go").touch()
        assert runner.run(step.uri, 2).record.attempt == 2


def test_of_an_attempt_on_a_node_that_was_only_silent_and_the_next_one_counts(tmp_path, runner):
    step = waiting_step(tmp_path)
    with ThreadPoolExecutor() as pool:
        outcome = pool.submit(runner.run, step.uri, 1)
        pids = pids_of(tmp_path)
        worker = parent(parent(pids[1]))
        raylet = parent(worker)
        for pid in (raylet, worker):
            os.kill(pid, signal.SIGSTOP)
        try:
            (tmp_path / "go").touch()
            with pytest.raises(StepLost):
                outcome.result()
            record = runner.run(step.uri, 2).record
        finally:
            for pid in (worker, raylet):
                os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "the outputs are complete" in step.log(1) or not is_up(worker))  # it has gone on, or was ended
    wait_until(lambda: not any(map(is_up, [raylet, *pids])))
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)  # of a raylet that has ended: Ray may leave it
    assert record.attempt == 2
    assert step_record(step.files) == record
    mine = step.output(step.run(3), "o") / "mine"
    assert mine.read_text().strip() == str(mine.parent) == f"{tmp_path}/step/attempts/2/o"
