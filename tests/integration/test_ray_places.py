"""Workers on a Ray cluster of several nodes: on which of them they run, and what they see there."""

import os
import re
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
from job_folders import Job, noting, wait_until
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

from batch_endpoints.engine.on_ray import pool as ray_pool
from batch_endpoints.engine.on_ray.placement import Placement
from batch_endpoints.engine.on_ray.runner import RayPoolRunner

# a worker's node is that of its raylet; workers wait for each other, so that each of them gets a mini-batch
MEETS = """
import os, time
{noting}
def init():
    note(os.environ["RAY_RAYLET_PID"] + ":" + os.environ.get("CUDA_VISIBLE_DEVICES", "-"))
def run(mini_batch):
    while len(open(NOTES).read().split()) < WORKERS:
        time.sleep(0.02)
    return mini_batch
"""


@pytest.fixture(scope="module", autouse=True)
def nodes():
    """A head without CPUs and three nodes with one each; one has a GPU, as far as Ray knows."""
    folder = tempfile.mkdtemp(prefix="be-", dir="/tmp")  # a socket's path must be short
    os.mkdir(f"{folder}/ray")
    before = dict(os.environ)
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    cluster = Cluster()
    try:
        soon = {"health_check_period_ms": 300, "health_check_failure_threshold": 3, "health_check_timeout_ms": 30_000}
        cluster.add_node(num_cpus=0, include_dashboard=False, _system_config=soon)
        for gpus in (1, 0, 0):
            cluster.add_node(wait=False, num_cpus=1, num_gpus=gpus)
        cluster.wait_for_nodes()
        ray.init(cluster.address, logging_level="error", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def job_on(place, instances, each, workers):
    """A job whose workers note their nodes and devices, and go on when there were so many of them."""
    values = f"NOTES, WORKERS = {str(place / 'calls')!r}, {workers}\n"
    return Job(
        place,
        values + MEETS.format(noting=noting(place)),
        12,
        deployment={"resources": {"instance_count": instances}},
        settings={"max_concurrency_per_instance": each, "retry_settings": {"timeout": 60, "max_retries": 0}},
    )


def devices_by_node(job):
    """What the workers on each node have seen of GPUs, the fewest first."""
    nodes = {}
    for note in job.calls():
        node, _, device = note.partition(":")
        nodes.setdefault(node, []).append(device)
    return sorted(sorted(devices) for devices in nodes.values())


def wait_for_free_cpus(count):
    wait_until(lambda: ray.available_resources().get("CPU", 0) == count, what="the CPUs that are given back")


def test_all_workers_of_one_instance_run_on_one_node(tmp_path):
    job = job_on(tmp_path, instances=1, each=2, workers=2)
    state = job.run(RayPoolRunner)
    assert state.status == "Completed", state.error
    assert [len(devices) for devices in devices_by_node(job)] == [2]
    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}
    wait_for_free_cpus(3)


def test_each_instance_has_as_many_workers_of_which_each_sees_one_gpu_of_its_own_or_none(tmp_path):
    job = job_on(tmp_path, instances=4, each=2, workers=6)
    state = job.run(RayPoolRunner)
    assert state.status == "Completed", state.error
    assert devices_by_node(job) == [["", "0"], ["-", "-"], ["-", "-"]]
    assert "the job asks for 4 nodes and the cluster has 3: it runs on 3" in state.notes


def test_where_other_programs_leave_no_room_workers_run_where_there_is_some(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_pool, "_LOOK_SECONDS", 0.5)
    monkeypatch.setattr(ray_pool, "_PLACE_SECONDS", 1.0)

    @ray.remote(num_cpus=1)
    class Other:
        def is_up(self):
            return True

    others = [Other.remote() for _ in range(2)]
    ray.get([other.is_up.remote() for other in others])
    job = job_on(tmp_path, instances=3, each=1, workers=1)
    try:
        state = job.run(RayPoolRunner)
    finally:
        for other in others:
            ray.kill(other)
    assert state.status == "Completed", state.error
    assert (
        "no worker was up after 0.5 seconds: 3 with 1 CPUs each are asked for, and 1 of 3 CPUs are free"
        in state.notes
    )
    assert "there are no 3 nodes with room for 1 workers on each: they run wherever there is room" in state.notes
    wait_for_free_cpus(3)


def test_the_workers_of_a_lost_node_come_up_on_another_one(tmp_path):
    job = job_on(tmp_path, instances=1, each=2, workers=4)  # two before, and two behind it
    with ThreadPoolExecutor() as pool:
        state = pool.submit(job.run, RayPoolRunner)
        wait_until(lambda: len(job.calls()) == 2, what="the workers")
        os.kill(int(job.calls()[0].partition(":")[0]), signal.SIGKILL)
        assert state.result().status == "Completed", state.result().error
    assert [len(devices) for devices in devices_by_node(job)] == [2, 2]
    assert len(job.rows()) == 12


@pytest.mark.parametrize("known", ["at once", "later"])
def test_what_a_lost_node_was_at_in_the_end_goes_to_a_worker_on_one_that_is_left(tmp_path, nodes, monkeypatch, known):
    """All others have let go by then, and no node is left to take the place of the lost one."""
    if ray.cluster_resources()["CPU"] < 2:
        nodes.add_node(num_cpus=1)
    instances = int(ray.cluster_resources()["CPU"])
    choose, stale = Placement.next, []
    monkeypatch.setattr(Placement, "next", lambda self, taken: stale.pop() if stale else choose(self, taken))
    monkeypatch.setattr(ray_pool, "_LOOK_SECONDS", 3.0)
    script = f"""
import os, time
{noting(tmp_path)}
def run(mini_batch):
    note(os.environ["RAY_RAYLET_PID"])
    while not os.path.exists("{tmp_path}/" + os.environ["RAY_RAYLET_PID"]):
        time.sleep(0.02)
    return mini_batch
"""
    settings = {"max_concurrency_per_instance": 1, "retry_settings": {"timeout": 100, "max_retries": 0}}
    deployment = {"resources": {"instance_count": instances}}
    job = Job(tmp_path, script, instances, deployment=deployment, settings=settings)
    with ThreadPoolExecutor() as pool:
        state = pool.submit(job.run, RayPoolRunner)
        wait_until(lambda: len(job.calls()) == instances, what="the workers")
        (group,) = (one for one in placement_group_table().values() if one["state"] == "CREATED")
        raylets = {node.node_id: node.all_processes["raylet"][0].process.pid for node in nodes.worker_nodes}
        lost = str(raylets[group["bundles_to_node_id"][0]])
        for other in set(job.calls()) - {lost}:
            (tmp_path / other).touch()
        wait_until(lambda: len(job.commits()) == instances - 1, what="what the others do")
        wait_for_free_cpus_of(group, instances - 1)
        stale += [0] if known == "later" else []
        os.kill(int(lost), signal.SIGKILL)
        assert state.result(timeout=40).status == "Completed", state.result().error
    assert len(job.rows()) == instances
    assert len(job.calls()) == instances + 1


def wait_for_free_cpus_of(group, count):
    """Those that the instances of a job have for workers."""
    name = re.compile(f"CPU_group_[0-9]+_{group['placement_group_id']}")

    def free():
        return sum(cpus for key, cpus in ray.available_resources().items() if name.fullmatch(key))

    wait_until(lambda: free() == count, what="the CPUs that workers give back")
