"""Errors of our own in a worker: each costs the mini-batch that it happened at, and neither driver nor job."""

import csv
import json

import pyarrow as pa
import pytest
from job_folders import Job

from batch_endpoints.engine.worker import bundle as bundles
from batch_endpoints.engine.worker.mini_batch_scorer import MiniBatchScorer

WRITES = """
import os
def run(mini_batch):
    name = os.path.basename(mini_batch[0])
    open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "of-" + name), "w").close()
    return [name]
"""


def result(job):
    """What came of a job: its status, the files that succeeded, and the failed items."""
    state = job.run()
    folder = job.folder / "named-outputs" / "score"
    whole = state.status == "Completed"
    rows = list(csv.reader((folder / "predictions.csv").read_text().splitlines())) if whole else []
    failed = [json.loads(line) for line in (job.folder / "failed_items.jsonl").read_text().splitlines()]
    return state, [row[0] for row in rows[1:]], failed


@pytest.mark.parametrize("error", [TypeError("no such thing"), RecursionError("too deep"), MemoryError()], ids=repr)
def test_an_error_while_a_mini_batch_is_scored_fails_that_one(tmp_path, monkeypatch, error):
    score = MiniBatchScorer.score

    def score_or_break(self, mini_batch, *rest):
        score(self, mini_batch, *rest)
        if list(mini_batch.files) == ["002.txt"]:
            raise error

    monkeypatch.setattr(MiniBatchScorer, "score", score_or_break)
    job = Job(tmp_path, WRITES, files=5)
    state, rows, failed = result(job)

    assert state.status == "Completed"
    assert rows == ["000.txt", "001.txt", "003.txt", "004.txt"]
    assert [one["file"] for one in failed] == ["002.txt"]
    assert (
        failed[0]["reason"] == f"{type(error).__name__}: an error of the worker, not of the script: {error}".strip()
    )
    assert "in score_or_break" in failed[0]["stack"]
    logs = "".join(path.read_text() for path in (job.folder / "logs").rglob("*") if path.is_file())
    assert "in score_or_break" in logs
    written = {path.name for path in (job.folder / "named-outputs").rglob("of-*")}
    assert written == {f"of-{name}" for name in rows}


@pytest.mark.parametrize("bad", [["001"], ["000", "004"], ["000", "001", "002", "003", "004"]], ids=str)
def test_an_error_while_rows_are_stored_fails_the_mini_batches_they_are_of(tmp_path, monkeypatch, bad):
    write_parts = bundles.write_parts

    def write_or_break(files, bundle, start, tables, format):
        names = pa.concat_tables(tables)["prediction"].to_pylist() if tables else []
        if any(name.removesuffix(".txt") in bad for name in names):
            raise AssertionError("rows that nothing can store")
        return write_parts(files, bundle, start, tables, format)

    monkeypatch.setattr(bundles, "write_parts", write_or_break)
    state, rows, failed = result(Job(tmp_path, files=5))

    assert [one["file"] for one in failed] == [f"{name}.txt" for name in bad]
    assert (state.status, rows) == (
        ("Completed", [f"{n:03}.txt" for n in range(5) if f"{n:03}" not in bad]) if len(bad) < 5 else ("Failed", [])
    )


def test_an_error_while_a_worker_gets_ready_fails_the_job_with_its_reason(tmp_path, monkeypatch):
    def get_ready(self, in_parts):
        raise KeyError("a bug of ours")

    monkeypatch.setattr(MiniBatchScorer, "get_ready", get_ready)
    state = Job(tmp_path).run()

    assert state.status == "Failed"
    assert state.error.message == "KeyError: an error of the worker, not of the script: 'a bug of ours'"
    assert "in get_ready" in state.error.details
