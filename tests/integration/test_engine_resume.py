"""Jobs whose driver is killed, told to end, or canceled, and drivers that come after it."""

import json
import os
import signal
import threading

import pytest
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.driver.scoring_rounds import Stopped
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.worker import bundle, when_to_stop
from batch_endpoints.planning.job_plan import Bundle, JobPlan


def gated(place, at="020.txt"):
    """A script that notes each file it gets, and stays with one of them until the file ``gate`` is there."""
    return f"""
import os, time
{noting(place)}
def run(mini_batch):
    for file in mini_batch:
        name = os.path.basename(file)
        note(name)
        while name == {at!r} and not os.path.exists({str(place / "gate")!r}):
            time.sleep(0.02)
    return mini_batch
"""


@pytest.fixture
def at_the_gate(tmp_path):
    """A job of 40 files whose engine, a process, has committed 20 and is at the next one."""
    job = Job(tmp_path, gated(tmp_path), files=40, settings={"retry_settings": {"timeout": 600}})
    with job.started_until("020.txt") as process:
        yield job, process


def everything_once(job):
    return [row["file"] for row in job.rows()] == [f"{n:03}.txt" for n in range(40)]


def test_a_killed_driver_is_followed_by_one_that_scores_only_what_is_not_committed(at_the_gate):
    job, process = at_the_gate
    before = job.commits()
    process.kill()
    process.wait()
    (job.place / "gate").touch()

    state = job.run()

    assert state.status == "Completed"
    assert everything_once(job)
    committed = {name for commit in before for name in [f"{n:03}.txt" for n in _range(commit)]}
    again = {name for name in job.calls() if job.calls().count(name) > 1}
    assert len(committed) >= 19
    assert again.isdisjoint(committed)
    assert "020.txt" in again
    report = job.report()["progress"]
    assert (report["items"], report["items_succeeded"], report["items_failed"], report["rows"]) == (40, 40, 0, 40)


def _range(commit):
    told = json.loads(commit.read_text())
    return range(told["start"], told["end"])


def test_a_driver_told_to_end_leaves_a_job_that_another_one_finishes(at_the_gate):
    job, process = at_the_gate
    process.terminate()

    assert process.wait(timeout=120) == 143
    assert not (job.folder / "report.json").exists()
    assert os.listdir(job.place / "tmp") == []
    (job.place / "gate").touch()
    assert job.run().status == "Completed"
    assert everything_once(job)


def test_a_canceled_job_ends_at_once_as_canceled(at_the_gate):
    job, process = at_the_gate
    job.job_folder.ask_to_cancel()
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=120) == 130
    report = job.report()
    assert report["status"] == "Canceled"
    assert report["progress"]["items_succeeded"] == sum(len(_range(commit)) for commit in job.commits()) >= 19
    assert not job.output.exists()
    assert os.listdir(job.place / "tmp") == []


def test_a_canceled_job_that_is_resumed_scores_what_is_left(at_the_gate):
    job, process = at_the_gate
    job.job_folder.ask_to_cancel()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)
    before = job.commits()
    assert job.job_folder.state().status == "Canceled"
    (job.place / "gate").touch()

    job.job_folder.write_job(job.job_folder.job().model_copy(update={"resumption": 1}))
    state = job.run()

    assert state.status == "Completed"
    assert state.resumption == 1
    assert everything_once(job)
    assert job.commits()[: len(before)] == before


def test_a_cancel_that_comes_without_a_signal_is_seen_between_mini_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "LOOK_SECONDS", 0.0)
    mark = tmp_path / "job" / "cancel"
    script = gated(tmp_path) + f"\n    open({str(mark)!r}, 'w')"
    script = script.replace("    return mini_batch\n", "").rstrip() + "\n    return mini_batch\n"
    job = Job(tmp_path, script, files=40)

    assert job.run().status == "Canceled"
    assert job.calls() == ["000.txt"]
    assert job.report()["progress"]["items_succeeded"] == 1


def test_a_job_canceled_before_it_began_scores_nothing(tmp_path):
    job = Job(tmp_path, gated(tmp_path))
    job.job_folder.ask_to_cancel()

    assert job.run().status == "Canceled"
    assert job.calls() == []


def test_a_second_run_of_a_finished_job_does_nothing(tmp_path):
    job = Job(tmp_path, gated(tmp_path), files=3)
    first = job.run()
    (job.output / "predictions.csv").unlink()

    assert job.run() == first
    assert len(job.calls()) == 3
    assert not job.output.exists() or os.listdir(job.output) == []


def test_a_resumed_job_keeps_its_plan_when_files_came_since(tmp_path):
    job = Job(tmp_path, gated(tmp_path), files=3)

    def stop(uri):
        raise Stopped

    with pytest.raises(Stopped):
        job.run(stop)
    job.run()
    assert [row["file"] for row in job.rows()] == ["000.txt", "001.txt", "002.txt"]


def test_a_job_over_its_threshold_stays_failed_when_its_driver_is_lost_before_it_says_so(tmp_path):
    script = f"{noting(tmp_path)}\ndef run(b):\n  note('x')\n  raise ValueError('odd')"
    job = Job(tmp_path, script, files=5, settings={"error_threshold": 1})
    job.run()
    (job.folder / "report.json").unlink()
    before = job.calls()

    state = job.run()

    assert state.status == "Failed"
    assert job.calls() == before


def test_a_worker_that_ends_early_does_not_make_the_job_complete(tmp_path):
    job = Job(tmp_path, files=4)

    class Lazy:
        def __init__(self, uri):
            self._real = LocalRunner(uri)
            self.shape, self.prepare, self.close = self._real.shape, self._real.prepare, self._real.close

        def run(self, bundles, workers, root, listener):
            yield from self._real.run(bundles[:2], workers, root, listener)

    with pytest.raises(RuntimeError, match="2 mini-batches left"):
        job.run(Lazy)
    assert not (job.folder / "report.json").exists()
    assert job.run().status == "Completed"
    assert len(job.rows()) == 4


def test_two_drivers_at_once_give_one_output(tmp_path):
    job = Job(tmp_path, gated(tmp_path, at="000.txt"), files=40)
    states = []
    threads = [threading.Thread(target=lambda: states.append(job.run().status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: job.calls().count("000.txt") == 2, what="both drivers at the gate")
    (tmp_path / "gate").touch()
    for thread in threads:
        thread.join(timeout=120)

    assert states == ["Completed", "Completed"]
    assert everything_once(job)
    assert job.report()["progress"]["items_succeeded"] == 40


# counts move while a bundle is at work


@pytest.fixture
def often(monkeypatch):
    """Commit, look and tell without waiting."""
    monkeypatch.setattr(bundle, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(when_to_stop, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr("batch_endpoints.engine.driver.progress.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("batch_endpoints.engine.driver.progress.WRITE_SECONDS", 0.0)


def in_one_bundle(job, files):
    job.job_folder.write_plan(JobPlan(str(job.input), (Bundle(0, 0, tuple((f"{n:03}.txt",) for n in range(files))),)))


def test_progress_moves_with_the_commits_inside_a_bundle(tmp_path, often):
    job = Job(tmp_path, gated(tmp_path, at="003.txt"), files=6)
    in_one_bundle(job, 6)
    seen = []
    write = job.job_folder.write_state
    job.job_folder.write_state = lambda state: (seen.append(state.progress.items_succeeded), write(state))
    thread = threading.Thread(target=job.run)
    thread.start()
    try:
        wait_until(lambda: (job.progress() or {}).get("items_succeeded") == 3, what="progress in the bundle")
        assert job.progress()["mini_batches_done"] == 3
    finally:
        (tmp_path / "gate").touch()
        thread.join(timeout=120)

    assert job.report()["progress"]["items_succeeded"] == 6
    assert seen == sorted(seen)


def test_the_error_threshold_ends_a_job_in_the_middle_of_a_bundle(tmp_path, often):
    mark = tmp_path / "job" / "stop"
    script = f"""
import os, time
{noting(tmp_path)}
def run(mini_batch):
    note(os.path.basename(mini_batch[0]))
    while mini_batch[0].endswith("003.txt") and not os.path.exists({str(mark)!r}):
        time.sleep(0.02)
    raise ValueError("odd")
"""
    job = Job(tmp_path, script, files=40, settings={"error_threshold": 2})
    in_one_bundle(job, 40)

    state = job.run()

    assert state.status == "Failed"
    assert job.calls() == [f"00{n}.txt" for n in range(4)]
    assert state.progress.items_failed == len(job.failed_items()) == 4
