"""What a job tells of its pace."""

import threading
import time

import pytest

from batch_endpoints.engine.driver import progress
from batch_endpoints.engine.driver.progress import ProgressKeeper, follow_commits
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.policies.work_queue import WorkQueue
from batch_endpoints.specs import JobState
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommitLog, Totals
from batch_endpoints.storage.job.job_folder import JobFolder


@pytest.fixture
def keeper(tmp_path):
    keeper = ProgressKeeper(JobFolder(Disk(tmp_path), tmp_path.as_uri()))
    keeper.begin_run(mini_batches=10, items=100, committed={0: Totals(1, 10, 0, 10)}, before=Totals())
    keeper.worker_up()
    return keeper


def pace(keeper):
    return keeper.state.progress.items_per_second, keeper.state.progress.eta_seconds


def test_the_first_results_tell_no_pace_because_starting_took_most_of_their_time(keeper):
    keeper.bundle(1, Totals(1, 10, 0, 10))
    assert pace(keeper) == (0, None)


def test_the_pace_is_that_since_the_first_results(keeper):
    keeper.bundle(1, Totals(1, 10, 0, 10))
    keeper.bundle(2, Totals(1, 10, 0, 10))
    rate, left = pace(keeper)
    assert rate > 0
    assert left == pytest.approx(70 / rate, abs=0.1)


def test_failed_rows_are_counted_beside_failed_items(keeper):
    keeper.bundle(1, Totals(1, 9, 1, 85, 5))
    keeper.bundle(2, Totals(1, 10, 0, 98, 2))
    progress = keeper.state.progress
    assert (progress.items_failed, progress.rows, progress.rows_failed) == (1, 193, 7)
    assert keeper.failures == 8


def test_the_end_keeps_the_last_pace_and_has_nothing_left(keeper, tmp_path):
    keeper.bundle(1, Totals(1, 10, 0, 10))
    keeper.bundle(2, Totals(1, 10, 0, 10))
    rate, _ = pace(keeper)
    keeper.end("Failed", Totals(5, 50, 0, 50))
    assert pace(keeper) == (rate, None)
    assert JobState.model_validate_json((tmp_path / "report.json").read_text()) == keeper.state


def test_what_every_worker_commits_is_seen_while_its_bundle_goes_on(keeper, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    bundles = [Bundle(n, 10 * n, tuple((f"{10 * n + at}",) for at in range(10))) for n in range(1, 9)]
    queue, commits = WorkQueue(bundles), CommitLog(Disk(tmp_path))
    at = [queue.take(worker)[0] for worker in ("one", "other")]
    for bundle in at:
        commits.add(Commit(bundle=bundle.index, start=bundle.start, end=bundle.start + 2, items_succeeded=2))
    looked = threading.Event()
    with follow_commits(keeper, commits, bundles, len(at), looked.set):
        assert looked.wait(10)
    assert keeper.state.progress.mini_batches_done == 1 + 2 + 2


@pytest.mark.parametrize(("waits_for", "status"), [("nodes", "Provisioning"), ("workers", "Queued")])
def test_a_job_is_running_when_its_first_worker_is_up_and_stays_so(tmp_path, waits_for, status):
    keeper = ProgressKeeper(JobFolder(Disk(tmp_path), tmp_path.as_uri()))
    seen = [keeper.state.status]
    for _ in range(2):  # the second round finds it running
        keeper.begin_run(1, 1, committed={}, before=Totals(), waits_for=waits_for)
        seen.append(keeper.state.status)
        keeper.worker_up()
        seen.append(keeper.state.status)
    keeper.finalize()
    keeper.worker_up()
    assert seen == ["Preparing", status, "Running", "Running", "Running"]
    assert keeper.state.status == "Finalizing"


def test_what_a_job_waits_for_is_shown_while_it_waits(keeper, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.01)
    looks = threading.Semaphore(0)
    with follow_commits(keeper, CommitLog(Disk(tmp_path)), [], 1, looks.release):
        keeper.note("no worker was up after 10 seconds")
        until = time.monotonic() + 30
        while not shown(tmp_path).notes and time.monotonic() < until:
            looks.acquire()
        assert shown(tmp_path).notes == ("no worker was up after 10 seconds",)


def shown(folder):
    return JobFolder(Disk(folder), folder.as_uri()).state()
