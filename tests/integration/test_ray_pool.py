"""Bundles on real Ray actors: what becomes of them, and of the processes, when actors are lost or not needed."""

import errno
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.driver import plan_input
from batch_endpoints.engine.on_ray import pool as ray_pool
from batch_endpoints.engine.on_ray.runner import RayPoolRunner
from batch_endpoints.errors import InputError, WorkersLost
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import WorkerPlan

TWO = WorkerPlan(2, 1.0)
# the worker is the parent of the process beside the host
KILLS_ITS_WORKER = """
import os, signal, time
{noting}
def run(mini_batch):
    (path,) = mini_batch
    name = os.path.basename(path)
    note(name)
    if name == "003.txt" and (ALWAYS or not os.path.exists(MARK)):
        open(MARK, "w").close()
        beside = open(f"/proc/{{os.getppid()}}/stat").read()
        os.kill(int(beside.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(60)
    return [name]
"""
WAITS = """
import os, time
{noting}
def run(mini_batch):
    (path,) = mini_batch
    if path.endswith("001.txt"):
        note(str(os.getpid()))
        while not os.path.exists(GO):
            time.sleep(0.02)
    return [path]
"""


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


def job_that(script, place, files, each=2, **values):
    constants = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    settings = {"max_concurrency_per_instance": each, "error_threshold": -1}
    return Job(place, constants + script.format(noting=noting(place)), files, settings=settings)


def test_what_a_killed_worker_was_at_is_scored_once_by_another(tmp_path):
    job = job_that(KILLS_ITS_WORKER, tmp_path, 8, ALWAYS=False, MARK=str(tmp_path / "mark"))
    state = job.run(RayPoolRunner)
    assert (state.status, state.progress.items_failed) == ("Completed", 0)
    assert [row["prediction"] for row in job.rows()] == [f"{n:03}.txt" for n in range(8)]
    assert Counter(job.calls())["003.txt"] == 2


def test_a_mini_batch_that_always_takes_its_worker_along_fails_and_the_rest_of_its_bundle_goes_on(tmp_path):
    job = job_that(KILLS_ITS_WORKER, tmp_path, 70, ALWAYS=True, MARK=str(tmp_path / "mark"))  # two in most bundles
    state = job.run(RayPoolRunner)
    assert (state.status, state.progress.items_succeeded, state.progress.items_failed) == ("Completed", 69, 1)
    assert [row["prediction"] for row in job.rows()] == [f"{n:03}.txt" for n in range(70) if n != 3]
    (failed,) = job.failed_items()
    assert (failed["file"], failed["attempts"]) == ("003.txt", 5)
    assert failed["reason"].startswith("5 workers ended at it, one behind the other, outside of run(): ")


FAILS_TO_LOAD = """
def init():
    if os.path.exists(MARK) and not os.path.exists(GOOD):
        note("broken")
        if ONCE:
            open(GOOD, "w").close()
        raise OSError("the model cannot be read")
"""


@pytest.mark.parametrize("once", [True, False])
def test_code_that_others_have_loaded_fails_the_job_only_where_it_fails_again_and_again(tmp_path, once):
    marks = {"MARK": str(tmp_path / "mark"), "GOOD": str(tmp_path / "good"), "ONCE": once}
    job = job_that(KILLS_ITS_WORKER + FAILS_TO_LOAD, tmp_path, 8, each=1, ALWAYS=False, **marks)
    state = job.run(RayPoolRunner)
    if once:
        assert (state.status, state.progress.items_succeeded) == ("Completed", 8)
        assert job.calls().count("broken") == 1
    else:
        assert (state.status, state.error.code) == ("Failed", "InitFailed")
        assert state.progress.items_succeeded in (2, 3)  # the third may not have been committed yet
        assert state.error.message.endswith("OSError: the model cannot be read")
        assert job.calls().count("broken") == 3


def test_workers_that_never_come_up_fail_the_job_and_say_why(tmp_path, monkeypatch):
    class WithoutPackage(ray_pool.ScoringActor):
        def __init__(self, folder_uri, input_root):
            raise ModuleNotFoundError("No module named 'pyarrow'")

    monkeypatch.setattr(ray_pool, "_MOST_LOST_STARTS", 2)
    monkeypatch.setattr(ray_pool, "ScoringActor", WithoutPackage)
    outcomes = RayPoolRunner(tmp_path.as_uri()).run([Bundle(0, 0, (("a",), ("b",)))], WorkerPlan(1, 0.5), "")
    with pytest.raises(WorkersLost, match=r"2 workers ended, one behind .* were up: .*No module named 'pyarrow'"):
        list(outcomes)


def actors_whose_disk_is_full(tokens):
    """A class of them: as many runs as there are tokens (files of a folder) cannot write."""

    class FullDisk(ray_pool.ScoringActor):
        @ray.method(concurrency_group="run")
        def run(self, bundle, *how):
            for token in tokens.glob("*"):
                token.unlink(missing_ok=True)
                self._scorer._files.open_output = self.cannot_write
                break
            return super().run(bundle, *how)

        def cannot_write(self, path):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    return FullDisk


def test_what_a_worker_cannot_write_is_scored_and_written_by_another(tmp_path, monkeypatch):
    job = job_that("{noting}\ndef run(mini_batch): return mini_batch", tmp_path, 8)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "1").touch()
    monkeypatch.setattr(ray_pool, "ScoringActor", actors_whose_disk_is_full(tmp_path / "tokens"))
    state = job.run(RayPoolRunner)
    assert (state.status, state.progress.items_succeeded, state.progress.items_failed) == ("Completed", 8, 0)
    assert len(job.rows()) == 8


def test_a_job_whose_workers_can_write_nowhere_fails_with_the_reason_and_is_resumed(tmp_path, monkeypatch):
    job = job_that("{noting}\ndef run(mini_batch): return mini_batch", tmp_path, 8)
    (tmp_path / "tokens").mkdir()
    for number in range(9):
        (tmp_path / "tokens" / str(number)).touch()
    with monkeypatch.context() as patched:
        patched.setattr(ray_pool, "ScoringActor", actors_whose_disk_is_full(tmp_path / "tokens"))
        state = job.run(RayPoolRunner)
    assert (state.status, state.error.code, job.commits()) == ("Failed", "StoreUnavailable", [])
    assert re.match(r"worker '.+' cannot go on: \[Errno 28\] No space left on device: 'parts/", state.error.message)
    assert "job resume" in state.error.details
    job.job_folder.write_job(job.job_folder.job().model_copy(update={"resumption": 1}))
    assert job.run().progress.items_succeeded == 8


def test_a_worker_without_work_gives_its_cpu_back_while_another_is_still_at_it(tmp_path):
    job = job_that(WAITS, tmp_path, 2, GO=str(tmp_path / "go"))
    bundles = [Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(2)]
    with ThreadPoolExecutor() as pool:
        outcomes = pool.submit(list, RayPoolRunner(job.job_folder.uri).run(bundles, TWO, job.input.as_uri()))
        wait_until(lambda: len(job.commits()) == 1 and job.calls(), what="one that is done and one that waits")
        wait_until(lambda: ray.available_resources().get("CPU", 0) >= 1, what="a free CPU")
        (tmp_path / "go").touch()
        assert [outcome.bundle for outcome in outcomes.result()] == [0, 1]
    assert len(job.commits()) == 2


@pytest.mark.parametrize("how", ["close", "stop"])
def test_whoever_closes_or_stops_the_outcomes_ends_the_script_at_once(tmp_path, monkeypatch, how):
    monkeypatch.setattr(ray_pool, "_CLOSE_SECONDS", 100.0)  # behind it the worker itself would be killed
    job = job_that(WAITS, tmp_path, 2, GO=str(tmp_path / "never"))
    bundles = [Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(2)]
    runner = RayPoolRunner(job.job_folder.uri)
    outcomes = runner.run(bundles, TWO, job.input.as_uri())
    assert next(outcomes).bundle == 0
    wait_until(job.calls, what="the call that does not end")
    (host,) = map(int, job.calls())
    began = time.monotonic()
    if how == "close":
        outcomes.close()
    else:
        with ThreadPoolExecutor() as pool:
            rest = pool.submit(list, outcomes)
            runner.stop()
            assert rest.result() == []
    wait_until(lambda: not os.path.exists(f"/proc/{host}"), what="the end of the host")
    assert time.monotonic() - began < 50
    assert len(job.commits()) == 1
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, what="both CPUs")


LOADS = """
import os
{noting}
def init():
    note(str(os.getpid()))
def run(mini_batch):
    return mini_batch["x"]
"""


def planned_behind(job, monkeypatch, then):
    """Calls ``then`` where most of the plan is not made yet, and the workers have loaded the code."""
    cut = plan_input.cut_tables

    def slow(*how):
        for number, batch in enumerate(cut(*how)):
            if number == 3:
                wait_until(lambda: len(job.calls()) == 2, what="the code of both workers")
                then()
            yield batch

    monkeypatch.setattr(plan_input, "cut_tables", slow)


def job_of_rows(place):
    settings = {"mini_batch_size": "5 rows", "mini_batch_format": "pandas", "max_concurrency_per_instance": 2}
    job = Job(place, LOADS.format(noting=noting(place)), files=[], settings=settings)
    (job.input / "rows.csv").write_text("x\n" + "".join(f"{n}\n" for n in range(100)))
    return job


def test_workers_come_up_and_load_the_code_while_a_large_file_is_still_being_cut(tmp_path, monkeypatch):
    job, seen = job_of_rows(tmp_path), []
    planned_behind(job, monkeypatch, lambda: seen.append(job.job_folder.plan()))
    state = job.run(RayPoolRunner)
    assert state.status == "Completed", state.error
    assert seen == [None]
    assert len(job.calls()) == 2
    assert [int(row["prediction"]) for row in job.rows()] == list(range(100))
    assert set(state.seconds) >= {"environment", "list", "first_mini_batch", "scoring"}


def test_workers_end_where_the_rest_of_the_input_cannot_be_planned(tmp_path, monkeypatch):
    job = job_of_rows(tmp_path)

    def fail():
        raise InputError("the rest cannot be read")

    planned_behind(job, monkeypatch, fail)
    state = job.run(RayPoolRunner)
    assert (state.status, state.error.message) == ("Failed", "the rest cannot be read")
    for host in job.calls():
        wait_until(lambda host=host: not os.path.exists(f"/proc/{host}"), what="the end of the host")
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, what="both CPUs")
