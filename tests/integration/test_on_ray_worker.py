"""A worker of the pipeline, called as Ray calls it: what it reports, and what it does where one before has ended."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
from job_folders import Job, noting, wait_until

from batch_endpoints.engine.on_ray import worker
from batch_endpoints.engine.on_ray.worker import ScoringWorker, reports_of, to_block
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.specs import JobError

SCRIPT = """
import os
{noting}
def run(mini_batch):
    note(os.path.basename(mini_batch[0])[:3])
    return mini_batch
"""
BUNDLES = [Bundle(n, 2 * n, ((f"{2 * n:03}.txt",), (f"{2 * n + 1:03}.txt",))) for n in range(4)]


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, SCRIPT.format(noting=noting(tmp_path)), 8)


@pytest.fixture
def started(job, monkeypatch):
    """Starts a worker of the job; ``again`` where one has ended before it."""

    @contextmanager
    def start(again=False):
        context = SimpleNamespace(get_node_id=lambda: "node", was_current_actor_reconstructed=again)
        monkeypatch.setattr(worker, "ray", SimpleNamespace(get_runtime_context=lambda: context))
        monkeypatch.setattr(worker, "alive_nodes", lambda: {"node"})
        before = os.umask(0o022)
        try:
            with closing(ScoringWorker(job.job_folder.uri, job.input.as_uri(), "run")) as it:
                yield it
        finally:
            os.umask(before)

    return start


def reports(it, bundles, is_first=True):
    return [report for block in it(to_block(bundles, is_first)) for report in reports_of(block)]


def marks(job):
    """Number of each mini-batch that was marked -> how many marks count."""
    found = {}
    for path in sorted(job.folder.glob("crashes/run/*/*")):
        number = int(path.parent.name.partition("-")[2])
        found[number] = found.get(number, 0) + bool(path.read_text())
    return found


def test_a_block_gives_one_report_of_each_bundle_in_order_however_often_it_is_run(job, started):
    with started() as it:
        first = reports(it, BUNDLES)
        again = reports(it, BUNDLES)
    assert [report.bundle for report in first] == [0, 1, 2, 3]
    assert [report.outcome for report in first] == [report.outcome for report in again]
    assert sum(report.outcome.items_succeeded for report in first) == 8
    assert job.calls() == [f"{n:03}" for n in range(8)]
    assert marks(job) == {}


def test_one_that_comes_up_again_is_careful_at_the_first_bundle_that_is_not_done_and_there_alone(job, started):
    with started() as it:
        reports(it, BUNDLES[:1])
    with started(again=True) as it:
        assert [report.outcome.mini_batches for report in reports(it, BUNDLES)] == [2, 2, 2, 2]
    assert marks(job) == {2: 1, 3: 0}, "the first is committed, and at the last it has not ended"
    one_by_one = [path.name for path in job.commits() if path.parent.name == "000001"]
    assert one_by_one == ["000000002.json", "000000003.json"]
    assert job.calls() == [f"{n:03}" for n in range(8)]


def test_a_mini_batch_that_five_have_ended_at_fails_and_the_others_are_scored(job, started):
    place = job.folder / "crashes" / "run" / f"0-{3:09}"
    place.mkdir(parents=True)
    for life in range(5):
        (place / str(life)).write_text("node")
    with started() as it:
        reports(it, [BUNDLES[0], Bundle(1, 2, BUNDLES[1].mini_batches[:1])])
    with started(again=True) as it:
        found = reports(it, BUNDLES)
    assert [report.outcome.items_failed for report in found] == [0, 1, 0, 0]
    assert "003" not in job.calls()


def test_one_that_cannot_write_reports_so_of_all_that_it_has_and_ends_its_process(job, started, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(worker, "_LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(worker, "_end_this_process", ended.set)

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    with started() as it:
        assert reports(it, BUNDLES[:1])[0].outcome
        it._scorer._files.open_output = full
        found = reports(it, BUNDLES[1:])
        assert ended.wait(30)
    assert [report.bundle for report in found] == [1, 2, 3]
    assert {report.worker for report in found} == {found[0].worker}
    for report in found:
        error = JobError.model_validate_json(report.unfit)
        assert (error.code, report.outcome) == ("StoreUnavailable", None)
        assert "No space left on device" in error.message


def test_two_blocks_that_are_sent_at_once_are_scored_in_their_order(job, started, monkeypatch):
    monkeypatch.setattr(worker, "_SOON_SECONDS", 30.0)
    with started() as it, ThreadPoolExecutor() as pool:
        later = pool.submit(reports, it, BUNDLES[2:], False)
        wait_until(lambda: it._earliest is not None, what="the block that should be the later one")
        earlier = pool.submit(reports, it, BUNDLES[:2], True)
        assert [report.bundle for report in earlier.result(60) + later.result(60)] == [0, 1, 2, 3]
    assert job.calls() == [f"{n:03}" for n in range(8)]
