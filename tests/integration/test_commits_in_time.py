"""What is finished is committed when it is time for that, though the next mini-batch goes on for long."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.worker import commit_timer
from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.engine.worker.mini_batch_inputs import MiniBatchFiles
from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.storage.job.commits import Commit, CommitLog

WAITS = """
import os, time
{noting}
def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    note(name)
    while name == "002.txt" and not os.path.exists({gate!r}):
        time.sleep(0.01)
    open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name), "w").close()
    return [name]
"""
FILES = [f"{number:03}.txt" for number in range(4)]
BUNDLE = Bundle(0, 0, tuple((file,) for file in FILES))


class Timer:
    """Its time comes when a test says so."""

    made: list

    def __init__(self, seconds, act, arguments):
        self.seconds, self.act = seconds, lambda: act(*arguments)
        Timer.made.append(self)

    def start(self): ...

    def cancel(self): ...


@pytest.fixture
def at_the_third(tmp_path, monkeypatch):
    """A job whose worker is at the third of four mini-batches, until ``gate`` is there; and what comes of its run."""
    Timer.made = []
    monkeypatch.setattr(commit_timer.threading, "Timer", Timer)
    gate = tmp_path / "gate"
    job = Job(tmp_path, WAITS.format(noting=noting(tmp_path), gate=str(gate)), files=FILES)
    with closing(BundleScorer(job.job_folder.uri, job.input.as_uri())) as scorer, ThreadPoolExecutor() as pool:
        running = pool.submit(scorer.run, BUNDLE)
        wait_until(lambda: "002.txt" in job.calls(), what="the third mini-batch")
        yield job, running, gate
        gate.touch()


def committed(job):
    """Of each commit its range, and the files that the script wrote in it; as many rows are checked by the way."""
    found = []
    for commit in CommitLog(job.job_folder.files).chain(BUNDLE):
        assert commit.rows == commit.end - commit.start
        found.append((commit.start, commit.end, [file.name for file in commit.files]))
    return found


def test_what_is_finished_counts_while_the_next_mini_batch_is_being_scored(at_the_third):
    job, running, gate = at_the_third
    (timer,) = Timer.made
    assert 0 < timer.seconds <= 10
    timer.act()
    assert committed(job) == [(0, 2, FILES[:2])]
    gate.touch()
    assert running.result(60).mini_batches == 4
    assert committed(job) == [(0, 2, FILES[:2]), (2, 4, FILES[2:])]


def test_a_mini_batch_that_another_worker_has_committed_meanwhile_counts_once_with_its_files(at_the_third):
    job, running, gate = at_the_third
    CommitLog(job.job_folder.files).add(Commit(bundle=0, start=0, end=3, rows=3, items_succeeded=3))
    Timer.made[0].act()
    gate.touch()
    assert running.result(60).mini_batches == 4
    assert committed(job) == [(0, 3, []), (3, 4, FILES[3:])]


def test_what_could_not_be_committed_in_time_is_committed_with_the_next_mini_batch(at_the_third, monkeypatch):
    job, running, gate = at_the_third
    with monkeypatch.context() as patched:
        patched.setattr(CommitLog, "add", lambda log, commit: os.stat("/none"))
        Timer.made[0].act()
    assert committed(job) == []
    gate.touch()
    assert running.result(60).mini_batches == 4
    assert committed(job) == [(0, 4, FILES)]


def test_what_is_finished_counts_when_the_store_of_the_next_mini_batch_stays_away(at_the_third, monkeypatch):
    job, running, gate = at_the_third

    def away(*arguments):
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(MiniBatchFiles, "of", away)
    gate.touch()
    with pytest.raises(StoreUnavailable, match=r"worker '.+' cannot go on: the store does not answer"):
        running.result(60)
    assert committed(job) == [(0, 3, FILES[:3])]


def test_a_time_that_comes_when_all_is_done_changes_nothing(at_the_third):
    job, running, gate = at_the_third
    gate.touch()
    running.result(60)
    late = threading.Thread(target=Timer.made[0].act)
    late.start()
    late.join(60)
    assert not late.is_alive()
    assert committed(job) == [(0, 4, FILES)]
