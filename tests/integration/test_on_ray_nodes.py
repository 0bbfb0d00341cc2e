"""Workers on a Ray cluster of several nodes: on which of them they run, and what they see there."""

import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
from job_folders import Job, noting, wait_until
from ray.cluster_utils import Cluster

from batch_endpoints.engine.on_ray import watch
from batch_endpoints.engine.on_ray.runner import RayRunner

# a node is known by its raylet, the parent of a worker, which is the parent of the process beside the host
NODE = """
import os, time
{noting}
def parent(pid):
    return open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[1]
node = parent(parent(os.getppid()))
"""
# workers wait for each other, so that each of them gets a mini-batch
MEETS = """
def init():
    note(node + ":" + os.environ.get("CUDA_VISIBLE_DEVICES", "-"))
def run(mini_batch):
    while len(open(NOTES).read().split()) < WORKERS:
        time.sleep(0.02)
    return mini_batch
"""


@pytest.fixture(scope="module", autouse=True)
def nodes():
    """A head without CPUs and three nodes with one each; one has a GPU, as far as Ray knows, another one is spot."""
    folder = tempfile.mkdtemp(prefix="be-", dir="/tmp")  # a socket's path must be short
    os.mkdir(f"{folder}/ray")
    before = dict(os.environ)
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": folder}
    cluster = Cluster()
    try:
        soon = {"health_check_period_ms": 300, "health_check_failure_threshold": 3, "health_check_timeout_ms": 30_000}
        cluster.add_node(num_cpus=0, include_dashboard=False, _system_config=soon)
        for gpus, market in ((1, "on-demand"), (0, "spot"), (0, "on-demand")):
            cluster.add_node(wait=False, num_cpus=1, num_gpus=gpus, labels={"market": market})
        cluster.wait_for_nodes()
        ray.init(cluster.address, logging_level="error", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def job_on(place, instances, each, workers, **properties):
    """A job whose workers note their nodes and devices, and go on when there were so many of them."""
    values = f"NOTES, WORKERS = {str(place / 'calls')!r}, {workers}\n"
    return Job(
        place,
        values + NODE.format(noting=noting(place)) + MEETS,
        12,
        deployment={"resources": {"instance_count": instances, "properties": properties}},
        settings={"max_concurrency_per_instance": each, "retry_settings": {"timeout": 100, "max_retries": 0}},
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


def notes(job):
    state = job.job_folder.state()
    return state.notes if state else ()


# a script that notes the node of its worker, and stays there until a file of that name, or "all", is in the folder
GATED = """
def run(mini_batch):
    note(node)
    while not os.path.exists(f"{PLACE}/{node}") and not os.path.exists(f"{PLACE}/all"):
        time.sleep(0.02)
    return mini_batch
"""


def gated_job(place, files, instances):
    script = f"PLACE = {str(place)!r}\n" + NODE.format(noting=noting(place)) + GATED
    settings = {"max_concurrency_per_instance": 1, "retry_settings": {"timeout": 100, "max_retries": 0}}
    return Job(place, script, files, deployment={"resources": {"instance_count": instances}}, settings=settings)


def test_workers_of_all_instances_run_wherever_there_is_room(tmp_path):
    job = job_on(tmp_path, instances=4, each=2, workers=6)
    state = job.run(RayRunner)
    assert state.status == "Completed", state.error
    assert [len(devices) for devices in devices_by_node(job)] == [2, 2, 2]
    assert state.notes[0] == (
        "the job asks for 4 nodes and the cluster has 3: its workers run wherever there is room"
    )
    wait_for_free_cpus(3)


def test_workers_that_reserve_a_part_of_a_gpu_share_it(tmp_path):
    job = job_on(tmp_path, instances=1, each=2, workers=2, num_cpus=0.1, num_gpus=0.5)
    state = job.run(RayRunner)
    assert state.status == "Completed", state.error
    assert devices_by_node(job) == [["0", "0"]]


def test_what_no_node_has_fails_the_job_at_once_by_its_name(tmp_path):
    state = job_on(tmp_path, instances=1, each=1, workers=1, num_gpus=2).run(RayRunner)
    assert (state.status, state.error.code) == ("Failed", "ResourcesUnavailable")
    assert state.error.message == "resources.properties.num_gpus is 2, and no node of the cluster has more than 1"


def test_workers_run_on_the_nodes_with_the_labels_that_are_asked_for(tmp_path):
    job = job_on(tmp_path, instances=1, each=2, workers=2, label_selector={"market": "!in(on-demand, reserved)"})
    state = job.run(RayRunner)
    assert state.status == "Completed", state.error
    (node,) = devices_by_node(job)
    assert len(node) == 2, "of the head and three nodes one is spot, and both workers are there"


def test_a_job_says_which_labels_it_waits_for_and_goes_on_when_a_node_with_them_comes(tmp_path, nodes, monkeypatch):
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.5)
    job = job_on(tmp_path, instances=1, each=1, workers=1, label_selector={"market": "reserved"})
    with ThreadPoolExecutor() as pool:
        running = pool.submit(job.run, RayRunner)
        noted = "no worker was up after 0.5 seconds: 1 with 1 CPUs each on nodes with market: reserved are asked for"
        wait_until(lambda: any(note.startswith(noted) for note in notes(job)), what="a note of what it waits for")
        added = nodes.add_node(num_cpus=1, labels={"market": "reserved"})
        try:
            state = running.result()
        finally:
            nodes.remove_node(added)
    assert state.status == "Completed", state.error
    assert state.notes[0] == "the job waits for a node with market: reserved: the cluster has none now"
    wait_for_free_cpus(3)


def test_where_others_leave_little_room_a_job_runs_in_it_and_says_what_its_workers_wait_for(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.5)

    @ray.remote(num_cpus=1)
    class Other:
        def is_up(self):
            return True

    others = [Other.remote() for _ in range(2)]
    ray.get([other.is_up.remote() for other in others])
    job = gated_job(tmp_path, 12, instances=3)
    noted = "1 of 3 workers were up after 0.5 seconds: 2 more with 1 CPUs each are asked for, and 0 of 3 CPUs and"
    try:
        with ThreadPoolExecutor() as pool:
            running = pool.submit(job.run, RayRunner)
            wait_until(lambda: any(noted in note for note in notes(job)), what="a note of what it waits for")
            (tmp_path / "all").touch()
            assert running.result().status == "Completed", running.result().error
    finally:
        for other in others:
            ray.kill(other)
    wait_for_free_cpus(3)


def test_what_the_workers_of_a_lost_node_were_at_is_scored_once_on_another_one(tmp_path):
    job = gated_job(tmp_path, 40, instances=2)
    with ThreadPoolExecutor() as pool:
        state = pool.submit(job.run, RayRunner)
        wait_until(lambda: len(set(job.calls())) == 2, what="the workers")
        lost = job.calls()[0]
        os.kill(int(lost), signal.SIGKILL)
        wait_until(lambda: len(set(job.calls())) == 3, what="the worker on a third node")
        (tmp_path / "all").touch()
        assert state.result().status == "Completed", state.result().error
    assert [row["file"] for row in job.rows()] == [f"{n:03}.txt" for n in range(40)]
    assert job.failed_items() == []


def test_a_node_that_is_lost_for_good_does_not_stall_the_job(tmp_path, nodes):
    """No node is left to take its place, and the others have taken all that there is."""
    if ray.cluster_resources()["CPU"] < 2:
        nodes.add_node(num_cpus=1)
    instances = int(ray.cluster_resources()["CPU"])
    job = gated_job(tmp_path, 10 * instances, instances)
    with ThreadPoolExecutor() as pool:
        state = pool.submit(job.run, RayRunner)
        wait_until(lambda: len(set(job.calls())) == instances, what="the workers")
        lost = job.calls()[0]
        os.kill(int(lost), signal.SIGKILL)
        for other in set(job.calls()) - {lost}:
            (tmp_path / other).touch()
        assert state.result(timeout=200).status == "Completed", state.result().error
    assert [row["file"] for row in job.rows()] == [f"{n:03}.txt" for n in range(10 * instances)]
