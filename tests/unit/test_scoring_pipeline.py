"""What a driver does where Ray Data drops bundles, and where workers cannot go on."""

import pytest

from batch_endpoints.engine.on_ray import scoring
from batch_endpoints.engine.on_ray.worker import Report
from batch_endpoints.errors import InitFailed, StoreUnavailable, WorkersLost
from batch_endpoints.interfaces.runner import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import WorkerPlan
from batch_endpoints.specs import JobError
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommitLog

BUNDLES = [Bundle(n, n, ((f"{n}.txt",),)) for n in range(6)]
DISK_FULL = JobError(code=StoreUnavailable.code, message="the disk is full", details="make room").model_dump_json()
BROKEN_CODE = JobError(code=InitFailed.code, message="no module 'torch'").model_dump_json()


class Pipeline(scoring.ScoringPipeline):
    """Each execution brings what the next entry of a script has: of bundles by index, or of an unfit worker."""

    def __init__(self, folder, script, workers=2):
        self.commits, self.script, self.asked = CommitLog(Disk(folder)), list(script), []
        super().__init__("job", Disk(folder), folder.as_uri(), "", WorkerPlan(workers, 1.0), None)

    def _run(self, bundles):
        self.asked.append([bundle.index for bundle in bundles])
        for what in self.script.pop(0):
            if isinstance(what, int):
                self.commit(what)
                report = Report(what, "fit", BundleOutcome(what, 1, 1, 0, 1, 0))
            else:
                worker, error = what
                report = Report(bundles[0].index, worker, unfit=error)
            if outcome := self._outcome_of(report):
                yield outcome

    def commit(self, index):
        self.commits.add(Commit(bundle=index, start=index, end=index + 1, items_succeeded=1))

    def done(self):
        return sorted(outcome.bundle for outcome in self.outcomes(BUNDLES))


def test_what_is_dropped_is_run_again(tmp_path):
    pipeline = Pipeline(tmp_path, [[0, 2], [5, 1], [3, 4]])
    assert pipeline.done() == [0, 1, 2, 3, 4, 5]
    assert pipeline.asked == [[0, 1, 2, 3, 4, 5], [1, 3, 4, 5], [3, 4]]


def test_runs_that_bring_nothing_come_to_an_end(tmp_path):
    pipeline = Pipeline(tmp_path, [[0, 1, 2], [], [], [], [], []])
    with pytest.raises(WorkersLost, match="3 runs, one behind the other, have brought nothing of 3 bundles"):
        pipeline.done()
    assert len(pipeline.asked) == 4


def test_one_that_commits_counts_as_progress_though_its_report_is_lost(tmp_path):
    pipeline = Pipeline(tmp_path, [[0, 1, 2], [], [], [3, 4, 5]])
    assert pipeline.done() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([[("a", DISK_FULL), ("b", DISK_FULL), 0, ("c", DISK_FULL)], [1, 2, 3, 4, 5]], id="two in a row"),
        pytest.param([[("a", DISK_FULL)] * 9, [0, 1, 2, 3, 4, 5]], id="one says it of all of its bundles"),
        pytest.param([[("a", BROKEN_CODE)], [("b", BROKEN_CODE)], [0, 1, 2, 3, 4, 5]], id="in one run each"),
    ],
)
def test_workers_that_cannot_go_on_are_borne_with_while_others_can(tmp_path, script):
    assert Pipeline(tmp_path, script).done() == [0, 1, 2, 3, 4, 5]


def test_a_job_whose_workers_cannot_write_one_after_the_other_says_why(tmp_path):
    pipeline = Pipeline(tmp_path, [[0], [("a", DISK_FULL)], [("b", DISK_FULL), ("c", DISK_FULL)]])
    with pytest.raises(StoreUnavailable, match="the disk is full") as told:
        pipeline.done()
    assert told.value.mend == "make room"


def test_as_many_as_the_job_has_may_be_unfit_at_once(tmp_path):
    unfit = [(f"worker-{n}", DISK_FULL) for n in range(4)]
    assert Pipeline(tmp_path, [unfit, [0, 1, 2, 3, 4, 5]], workers=5).done() == [0, 1, 2, 3, 4, 5]


def test_code_that_no_worker_can_load_any_more_is_the_jobs_error(tmp_path):
    pipeline = Pipeline(tmp_path, [[0, ("a", BROKEN_CODE), ("b", BROKEN_CODE), ("c", BROKEN_CODE)]])
    seen = []
    for outcome in pipeline.outcomes(BUNDLES):
        seen.append(outcome)
        if outcome.fatal:
            break
    assert JobError.model_validate_json(seen[-1].fatal).message == "no module 'torch'"


def test_an_error_of_ours_is_a_traceback(tmp_path):
    pipeline = Pipeline(tmp_path, [])
    with pytest.raises(RuntimeError, match="a worker broke at bundle 3:\nTraceback"):
        pipeline._outcome_of(Report(3, "a", broken="Traceback …"))
