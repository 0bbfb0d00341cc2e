"""Bundles through Ray Data: what becomes of them, and of the processes, when workers are lost or not needed."""

import errno
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from job_folders import Job, noting, wait_until
from parallel_steps import Step

from batch_endpoints.engine.on_ray import scoring, watch, worker
from batch_endpoints.engine.on_ray.runner import RayRunner
from batch_endpoints.errors import WorkersLost
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
        "local",
        num_cpus=2,
        object_store_memory=80 << 20,  # about the least that Ray takes
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
        _temp_dir=folder,
    )
    yield folder
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
    state = job.run(RayRunner)
    assert (state.status, state.progress.items_failed) == ("Completed", 0)
    assert [row["prediction"] for row in job.rows()] == [f"{n:03}.txt" for n in range(8)]
    assert Counter(job.calls())["003.txt"] == 2


def test_a_mini_batch_that_always_takes_its_worker_along_fails_and_the_rest_of_its_bundle_goes_on(tmp_path):
    job = job_that(KILLS_ITS_WORKER, tmp_path, 70, ALWAYS=True, MARK=str(tmp_path / "mark"))  # two in most bundles
    state = job.run(RayRunner)
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
    state = job.run(RayRunner)
    if once:
        assert (state.status, state.progress.items_succeeded) == ("Completed", 8)
        assert job.calls().count("broken") == 1
    else:
        assert (state.status, state.error.code) == ("Failed", "InitFailed")
        assert state.progress.items_succeeded in (2, 3)  # the third may not have been committed yet
        assert state.error.message.endswith("OSError: the model cannot be read")
        assert job.calls().count("broken") == 3


def runs(job, bundles, workers):
    return RayRunner(job.job_folder.uri).run(bundles, workers, job.input.as_uri())


@pytest.mark.parametrize("how", ["raises", "ends"])
def test_workers_that_never_come_up_fail_the_job_and_say_why(tmp_path, monkeypatch, how):
    class WithoutPackage(worker.ScoringWorker):
        def __init__(self, *arguments):
            if how == "ends":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ModuleNotFoundError("No module named 'pyarrow'")

    monkeypatch.setattr(watch, "_MOST_LOST_STARTS", 2)
    monkeypatch.setattr(worker, "ScoringWorker", WithoutPackage)
    job = job_that("{noting}\ndef run(mini_batch): return mini_batch", tmp_path, 2)
    why = "2 times, one behind the other, before it was up" if how == "ends" else "No module named 'pyarrow'"
    with pytest.raises(WorkersLost, match=why):
        list(runs(job, [Bundle(0, 0, (("000.txt",), ("001.txt",)))], WorkerPlan(1, 0.5)))


def workers_whose_disk_is_full(tokens):
    """A class of them: as many blocks as there are tokens (files of a folder) cannot be written."""

    class FullDisk(worker.ScoringWorker):
        def __call__(self, block):
            for token in tokens.glob("*"):
                token.unlink(missing_ok=True)
                self._scorer._files.open_output = self.cannot_write
                break
            yield from super().__call__(block)

        def cannot_write(self, path):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    return FullDisk


def test_what_a_worker_cannot_write_is_scored_and_written_by_another(tmp_path, monkeypatch):
    job = job_that("{noting}\ndef run(mini_batch): return mini_batch", tmp_path, 8)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "1").touch()
    monkeypatch.setattr(worker, "ScoringWorker", workers_whose_disk_is_full(tmp_path / "tokens"))
    state = job.run(RayRunner)
    assert (state.status, state.progress.items_succeeded, state.progress.items_failed) == ("Completed", 8, 0)
    assert len(job.rows()) == 8


def test_a_job_whose_workers_can_write_nowhere_fails_with_the_reason_and_is_resumed(tmp_path, monkeypatch):
    job = job_that("{noting}\ndef run(mini_batch): return mini_batch", tmp_path, 8)
    (tmp_path / "tokens").mkdir()
    for number in range(20):
        (tmp_path / "tokens" / str(number)).touch()
    with monkeypatch.context() as patched:
        patched.setattr(worker, "ScoringWorker", workers_whose_disk_is_full(tmp_path / "tokens"))
        state = job.run(RayRunner)
    assert (state.status, state.error.code, job.commits()) == ("Failed", "StoreUnavailable", [])
    assert re.match(r"worker '.+' cannot go on: \[Errno 28\] No space left on device: 'parts/", state.error.message)
    assert "job resume" in state.error.details
    job.job_folder.write_job(job.job_folder.job().model_copy(update={"resumption": 1}))
    assert job.run().progress.items_succeeded == 8


def test_a_worker_without_work_gives_its_cpu_back_while_another_is_still_at_it(tmp_path):
    job = job_that(WAITS, tmp_path, 2, GO=str(tmp_path / "go"))
    bundles = [Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(2)]
    with ThreadPoolExecutor() as pool:
        outcomes = pool.submit(list, runs(job, bundles, TWO))
        wait_until(lambda: len(job.commits()) == 1 and job.calls(), what="one that is done and one that waits")
        wait_until(lambda: ray.available_resources().get("CPU", 0) >= 1, what="a free CPU")
        (tmp_path / "go").touch()
        assert [outcome.bundle for outcome in outcomes.result()] == [0, 1]
    assert len(job.commits()) == 2


def test_a_job_of_more_workers_than_cpus_and_of_long_names_runs_where_the_object_store_is_small(tmp_path):
    names = [f"{'long-' * 40}{n:04}.txt" for n in range(300)]
    script = "def run(mini_batch): return mini_batch"
    resources = {"instance_count": 2, "properties": {"num_cpus": 1}}
    settings = {"max_concurrency_per_instance": 2, "error_threshold": -1}
    job = Job(tmp_path, script, names, deployment={"resources": resources}, settings=settings)
    state = job.run(RayRunner)
    assert (state.status, state.progress.items_succeeded) == ("Completed", 300)
    assert [row["file"] for row in job.rows()] == names


def test_ray_knows_a_job_by_the_names_of_endpoint_deployment_and_job(tmp_path, cluster):
    job = Job(tmp_path, files=2, endpoint_name="heart")
    assert job.run(RayRunner).status == "Completed"
    logs = [path.name for path in Path(cluster).rglob("ray-data-*.log")]
    assert any(name.startswith("ray-data-heart.echo.job_") for name in logs), logs


def test_a_worker_that_does_not_end_when_it_is_asked_to_is_killed_with_its_script(tmp_path, monkeypatch):
    class Deaf(worker.ScoringWorker):
        def stop(self):
            open(asked, "w").close()
            threading.Event().wait()

    asked = str(tmp_path / "asked")
    monkeypatch.setattr(worker, "ScoringWorker", Deaf)
    assert scoring._CLOSE_SECONDS < 5, "of what a canceled job has for its end"
    job = job_that(WAITS, tmp_path, 2, GO=str(tmp_path / "never"))
    bundles = [Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(2)]
    outcomes = runs(job, bundles, TWO)
    assert next(outcomes).bundle == 0
    wait_until(job.calls, what="the call that does not end")
    (host,) = map(int, job.calls())
    outcomes.close()
    assert os.path.exists(asked)
    wait_until(lambda: not os.path.exists(f"/proc/{host}"), what="the end of the host")
    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2, what="both CPUs")


@pytest.mark.parametrize("how", ["close", "stop"])
def test_whoever_closes_or_stops_the_outcomes_ends_the_script_at_once(tmp_path, monkeypatch, how):
    monkeypatch.setattr(scoring, "_CLOSE_SECONDS", 100.0)  # behind it the worker itself would be killed
    job = job_that(WAITS, tmp_path, 2, GO=str(tmp_path / "never"))
    bundles = [Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(2)]
    runner = RayRunner(job.job_folder.uri)
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


def test_a_parallel_step_has_its_groups_arguments_and_files_on_the_cluster(tmp_path):
    script = """
    import os, sys
    def run(rows, mini_batch_context):
        (key,) = mini_batch_context.partition_key_value.values()
        with open(os.path.join(sys.argv[1], key), "w") as file:
            file.write(str(rows["n"].sum()))
        return [f"{key} {len(rows)}"]
    """
    step = Step(
        tmp_path,
        script,
        files=0,
        outputs={"rows": {"type": "uri_folder"}, "files": {"type": "uri_folder"}},
        partition_keys=["k"],
        max_concurrency_per_instance=2,
        task={"program_arguments": "${{outputs.files}}"},
    )
    for number in range(3):
        lines = "".join(f"{'abcdefgh'[n % 8]},{n}\n" for n in range(number * 16, number * 16 + 16))
        (step.input / f"{number}.csv").write_text("k,n\n" + lines)

    state = step.run(RayRunner)

    assert state.status == "Completed", state.error
    assert [row["prediction"] for row in step.rows()] == [f"{key} 6" for key in "abcdefgh"]
    files = step.folder / "named-outputs" / "files"
    sums = {key: str(sum(range(at, 48, 8))) for at, key in enumerate("abcdefgh")}
    assert {file.name: file.read_text() for file in files.iterdir()} == sums
