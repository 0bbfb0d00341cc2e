"""One bundle is committed while the next one is scored, by one and the same worker."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.storage.job.commits import CommitLog

WRITES = """
import os
{noting}
def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    note(name)
    open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name), "w").close()
    return [name]
"""
FIRST, SECOND, THIRD = (Bundle(n, n, ((f"{n:03}.txt",),)) for n in range(3))


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, WRITES.format(noting=noting(tmp_path)), files=3)


@pytest.fixture
def first_being_committed(job, monkeypatch):
    """A worker that cannot end the commit of the first bundle before an event; the run of that, and the event."""
    add, begun, may_end = CommitLog.add, threading.Event(), threading.Event()

    def slow(log, commit):
        if commit.bundle == FIRST.index:
            begun.set()
            assert may_end.wait(30)
        return add(log, commit)

    monkeypatch.setattr(CommitLog, "add", slow)
    with closing(BundleScorer(job.job_folder.uri, job.input.as_uri())) as scorer, ThreadPoolExecutor() as pool:
        first = pool.submit(scorer.run, FIRST)
        assert begun.wait(30)
        yield scorer, pool, first, may_end
        may_end.set()


def files_of(job, bundle):
    (commit,) = CommitLog(job.job_folder.files).chain(bundle)
    return [file.name for file in commit.files]


def test_the_next_bundle_is_scored_and_committed_meanwhile_with_its_own_files(job, first_being_committed):
    scorer, pool, first, may_end = first_being_committed
    assert pool.submit(scorer.run, SECOND).result(30).items_succeeded == 1
    assert not first.done()
    assert files_of(job, SECOND) == ["001.txt"]
    may_end.set()
    assert first.result(30).items_succeeded == 1
    assert files_of(job, FIRST) == ["000.txt"]
    assert job.calls() == ["000.txt", "001.txt"]


def test_a_worker_that_cannot_commit_begins_nothing_more(job, first_being_committed, monkeypatch):
    scorer, pool, *_ = first_being_committed

    def no_place(log, commit):
        raise OSError("the disk is gone")

    monkeypatch.setattr(CommitLog, "add", no_place)
    with pytest.raises(StoreUnavailable, match=r"^worker '[^']+' cannot go on: the disk is gone"):
        pool.submit(scorer.run, SECOND).result(30)
    with pytest.raises(StoreUnavailable, match=r"^worker '[^']+' cannot go on: the disk is gone"):
        pool.submit(scorer.run, THIRD).result(30)
    assert job.calls() == ["000.txt", "001.txt"]


def test_only_one_bundle_at_a_time_uses_the_code(tmp_path):
    script = """
        import os, time
        {noting}
        def run(mini_batch):
            name = os.path.basename(mini_batch[0])
            note(name)
            while name == "000.txt" and not os.path.exists({gate!r}):
                time.sleep(0.01)
            note("end")
            return [name]
        """
    gate = tmp_path / "gate"
    job = Job(tmp_path, script.format(noting=noting(tmp_path), gate=str(gate)), files=3)
    with closing(BundleScorer(job.job_folder.uri, job.input.as_uri())) as scorer, ThreadPoolExecutor() as pool:
        first = pool.submit(scorer.run, FIRST)
        wait_until(lambda: job.calls(), what="the first")
        second = pool.submit(scorer.run, SECOND)
        assert not second.done()
        gate.touch()
        assert (first.result(30).items_succeeded, second.result(30).items_succeeded) == (1, 1)
    assert job.calls() == ["000.txt", "end", "001.txt", "end"]


def test_a_worker_that_is_stopped_ends_both(job, first_being_committed):
    scorer, pool, first, may_end = first_being_committed
    scorer.stop()
    with pytest.raises(WorkerStopped):
        pool.submit(scorer.run, SECOND).result(30)
    may_end.set()
    assert first.result(30).items_succeeded == 1  # it counts: there it is
    assert job.calls() == ["000.txt"]


def test_a_run_that_comes_behind_the_end_of_its_worker_brings_nothing_here(job):
    scorer = BundleScorer(job.job_folder.uri, job.input.as_uri())
    scorer.stop()
    scorer.close()
    with pytest.raises(WorkerStopped):
        scorer.run(FIRST)
    assert not scorer._scratch.exists()
