"""Mini-batches that workers end at: which ends count, and what becomes of the mini-batch."""

import pytest

from batch_endpoints.engine.on_ray.crashes import MOST_CRASHES, Crashes
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import CommitLog

BUNDLE = Bundle(0, 7, (("a.txt",), ("b.txt", "c.txt")))


class Life:
    """Lives of one worker, one after the other; each of them tries the next mini-batch."""

    def __init__(self, folder):
        self.files, self.number = Disk(folder), 0
        self.alive = {"node"}
        self.commits = CommitLog(self.files)
        self._open = []  # what would be garbage would be ended well

    def crashes(self, run="run", node="node"):
        """It ends in the middle."""
        self.begin(run, node)

    def begin(self, run="run", node="node"):
        self.number += 1
        crashes = Crashes(self.files, run, f"life-{self.number}", node, lambda: self.alive)
        crashes.fail_what_crashes(BUNDLE)
        chain = self.commits.chain(BUNDLE)
        marking = crashes.marking(BUNDLE)
        self._open.append(marking)
        mark = marking.__enter__()
        mark(chain[-1].end if chain else BUNDLE.start)
        return marking

    @property
    def failed(self):
        return [item.file for commit in CommitLog(self.files).chain(BUNDLE) for item in commit.failed]


@pytest.fixture
def life(tmp_path):
    return Life(tmp_path)


def test_a_mini_batch_at_which_five_workers_end_fails_and_the_next_one_goes_on(life):
    for _ in range(MOST_CRASHES):
        assert life.failed == []
        life.crashes()
    life.begin()
    (commit,) = CommitLog(life.files).chain(BUNDLE)
    assert (commit.start, commit.end, commit.attempts, life.failed) == (7, 8, 5, ["a.txt"])
    assert commit.failed[0].reason.startswith("5 workers ended at it, one behind the other, outside of run(): ")
    for _ in range(MOST_CRASHES - 1):
        life.crashes()
    assert life.failed == ["a.txt"]
    life.begin()
    assert life.failed == ["a.txt", "b.txt", "c.txt"]


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param(lambda life: life.begin().__exit__(None, None, None), id="well, or by an error"),
        pytest.param(lambda life: life.crashes(run="of an earlier driver"), id="with an earlier driver"),
        pytest.param(lambda life: life.crashes(node="lost"), id="with its node"),
    ],
)
def test_no_other_end_of_a_worker_counts(life, ends):
    for _ in range(MOST_CRASHES - 1):
        ends(life)
    for _ in range(MOST_CRASHES - 1):
        life.crashes()
    life.begin()
    assert life.failed == []
