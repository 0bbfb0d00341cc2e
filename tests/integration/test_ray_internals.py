"""The private names of Ray that the engine uses: these tests fail when a release of Ray changes them."""

import inspect
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from job_folders import wait_until

from batch_endpoints.engine.on_ray import internals

import ray.data  # isort: skip  # after the settings that it reads at import


@pytest.fixture(scope="module", autouse=True)
def cluster():
    folder = tempfile.mkdtemp(prefix="be-", dir="/tmp")  # a socket's path must be short
    before = dict(os.environ)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    ray.init(
        "local", num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False, _temp_dir=folder
    )
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)
    shutil.rmtree(folder, ignore_errors=True)


def execution(folder, blocks, workers):
    from batch_endpoints.engine.on_ray.scoring import set_up_ray_data

    set_up_ray_data()

    class Waits:  # here, so that it is sent by value
        """An actor whose call comes to its end when there is a file."""

        def __init__(self, folder):
            self.folder = folder
            open(f"{folder}/up-{os.getpid()}", "w").close()

        def __call__(self, block):
            while not os.path.exists(f"{self.folder}/go"):
                threading.Event().wait(0.02)
            yield block

    pool = ray.data.ActorPoolStrategy(
        min_size=workers, max_size=workers, max_concurrent_calls_per_actor=2, max_tasks_in_flight_per_actor=1
    )
    dataset = ray.data.from_blocks([pa.table({"n": [n]}) for n in range(blocks)])
    dataset = dataset.map_batches(
        Waits, batch_format="pyarrow", compute=pool, num_cpus=1, fn_constructor_args=(str(folder),)
    )
    return internals.Execution(dataset)


def test_an_execution_gives_its_blocks_as_they_come(tmp_path):
    (tmp_path / "go").touch()
    running = execution(tmp_path, 3, 1)
    assert sorted(block["n"].to_pylist() for block in running.blocks()) == [[0], [1], [2]]
    running.end(print, 10)


def test_an_execution_says_how_many_actors_are_up_and_coming_and_ends_them_in_the_middle(tmp_path):
    running = execution(tmp_path, 3, 3)
    read = threading.Thread(target=lambda: list(running.blocks()))
    read.start()
    wait_until(lambda: running.pool() == internals.Pool(up=2, coming=1, lost_starts=0), what="two of three actors")
    (tmp_path / "words").mkdir()
    running.end(lambda actor, folder=str(tmp_path / "words"): open(f"{folder}/{os.getpid()}", "w").close(), 60)
    assert len(list((tmp_path / "words").iterdir())) == 2, "each actor that is up has run the word, though it is busy"
    read.join(60)
    assert not read.is_alive()
    for up in tmp_path.glob("up-*"):
        pid = up.name.removeprefix("up-")
        wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), what="the end of an actor")
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, what="both CPUs")


def test_an_actor_that_leaves_the_pool_while_it_is_asked_to_end_is_ended(tmp_path):
    """It has no more work; the pool lets go of it, and who asks it still knows it."""
    running = execution(tmp_path, 2, 2)
    read = threading.Thread(target=lambda: list(running.blocks()))
    read.start()
    wait_until(lambda: running.pool().up == 2, what="both actors")
    leave = running._executor.shutdown

    def leave_first(**how):
        running._pool._running_actors.clear()
        leave(**how)

    running._executor.shutdown = leave_first
    ending = threading.Thread(target=running.end, args=(lambda actor: None, 3600), daemon=True)
    ending.start()
    ending.join(60)
    assert not ending.is_alive(), "it waits for actors that nothing ends"
    (tmp_path / "go").touch()
    read.join(60)
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, what="both CPUs")


def test_the_settings_without_a_public_name_are_still_read():
    context = ray.data.DataContext.get_current()
    assert hasattr(context, "_max_num_blocks_in_streaming_gen_buffer")
    assert hasattr(context.issue_detectors_config, "detectors")
    internals.set_private_settings(context)
    assert context._max_num_blocks_in_streaming_gen_buffer is None
    package = Path(inspect.getfile(ray.data)).parent / "_internal"
    sources = "".join(path.read_text() for path in package.rglob("*.py"))
    assert "RAY_DATA_METADATA_PREFETCH_ON_THREAD" in sources
    assert "CLUSTER_SCALING_UP_" in sources
    assert os.environ["RAY_DATA_METADATA_PREFETCH_ON_THREAD"] == "0"


def test_a_cluster_without_an_autoscaler_can_bring_no_nodes():
    assert internals.kinds_of_nodes() == []
