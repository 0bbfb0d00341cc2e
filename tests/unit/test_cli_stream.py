"""How a job that is followed looks in a pipe."""

import pytest

from batch_endpoints.cli.durations import duration
from batch_endpoints.cli.stream import ending, plain, progress_line
from batch_endpoints.client import JobEvent

RUNNING = {"status": "Running", "progress": {"items": 100, "items_succeeded": 38, "items_failed": 2,
                                             "items_per_second": 12.54, "eta_seconds": 4.8, "rows": 40}}  # fmt: skip


class Watched:
    """A job that tells what it is given."""

    def __init__(self, *told):
        self.told, self.document = told, {}

    @property
    def status(self):
        return self.document["status"]

    @property
    def ended(self):
        return self.status == "Completed"

    def stream(self):
        for told in self.told:
            if isinstance(told, str):
                yield JobEvent("log", self, told)
            else:
                self.document = told
                yield JobEvent("progress", self)


def running(done):
    return {"status": "Running", "progress": {"items": 9, "items_succeeded": done, "items_failed": 0,
                                              "items_per_second": 0.0}}  # fmt: skip


def test_progress_in_one_line():
    assert progress_line(RUNNING) == "Running: 40 of 100 items, 2 failed, 12.5 items/s, about 5 s left"
    assert progress_line({"status": "Queued", "progress": {}}) == "Queued"


def test_rows_that_failed_are_told_where_there_are_any():
    document = RUNNING | {"progress": RUNNING["progress"] | {"rows_failed": 1}, "notes": []}
    assert progress_line(document) == "Running: 40 of 100 items, 2 failed, 1 row failed, 12.5 items/s, about 5 s left"
    assert ending(document) == ["Running: 38 of 100 items scored, 2 failed, 40 rows, 1 row failed"]


def test_a_pipe_gets_every_log_line_and_few_of_progress():
    clock = iter([0.0, 1.0, 2.0, 7.0, 8.0, 9.0])
    lines = []
    queued, last = {"status": "Queued", "progress": {}}, {"status": "Finalizing", "progress": {}}
    done = {"status": "Completed", "progress": {}}
    job = Watched(queued, "one", running(1), running(2), "two", running(3), running(4), last, done, "three")
    plain(job, lines.append, lambda: next(clock))
    assert lines == ["Queued", "one", "Running: 1 of 9 items", "two", "Running: 3 of 9 items", "Finalizing", "three"]


def test_the_end_says_counts_notes_and_where_the_output_is():
    document = {
        **RUNNING,
        "status": "Completed",
        "notes": ["one worker"],
        "outputs": {"score": {"path": "file:///x"}},
    }
    assert ending(document) == [
        "Completed: 38 of 100 items scored, 2 failed, 40 rows",
        "note: one worker",
        "score: file:///x",
    ]


def test_the_end_of_a_failed_job_says_why_once():
    error = {"code": "RunFailed", "message": "score.py:6: no good", "details": "All 2 failed.\nThe first is 'a'."}
    document = {**RUNNING, "status": "Failed", "notes": ["the first, 'a': score.py:6: no good"], "error": error}
    assert ending(document) == [
        "Failed: 38 of 100 items scored, 2 failed, 40 rows",
        "score.py:6: no good",
        "All 2 failed.",
        "The first is 'a'.",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (7900, "2 h 11 min")])
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
