"""The report of a job: items add up, rows, stages, tries and versions; and failed items with their stack."""

import json
import os
import platform
import re
import sys
from datetime import datetime, timedelta, timezone

import mlflow
import pytest
from job_folders import Job

from batch_endpoints.storage.job.commits import Commit, CommitLog
from batch_endpoints.storage.job.logs import merged_logs

SOME_BAD = """
import os
def run(mini_batch):
    bad = [file for file in mini_batch if int(os.path.basename(file)[:3]) % 4 == 3]
    if bad:
        raise ValueError(f"no good: {os.path.basename(bad[0])}")
    return mini_batch
"""
ROWS = """
import pandas
def run(mini_batch: pandas.DataFrame):
    return mini_batch["x"] * 2
"""
DOUBLES = """
import mlflow.pyfunc
class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input["a"].to_numpy() * 2
mlflow.models.set_model(Doubles())
"""


def test_what_a_link_leads_out_to_is_skipped_for_those_who_are_elsewhere(tmp_path):
    (tmp_path / "secret.txt").write_text("hush")
    job = Job(
        tmp_path,
        "def run(files): return [open(file).read() for file in files]",
        files=1,
        open_folders=[f"{tmp_path}/in"],
    )
    (job.input / "more.txt").symlink_to(tmp_path / "secret.txt")

    assert job.run().status == "Completed"

    reason = "a link out of the folders that are open to clients who are not on the server's machine"
    assert json.loads((job.folder / "skipped.jsonl").read_text()) == {"file": "more.txt", "reason": reason}
    assert [row["prediction"] for row in job.rows()] == ["000.txt"]


def test_the_report_and_the_failed_items_reconcile(tmp_path):
    asked_at = datetime.now(timezone.utc) - timedelta(seconds=100)
    settings = {"mini_batch_size": 2, "retry_settings": {"max_retries": 1}}
    job = Job(tmp_path, SOME_BAD, files=30, settings=settings, created_at=asked_at.isoformat())
    os.mkfifo(job.input / "pipe")
    (job.input / "loop").symlink_to(job.input)

    state = job.run()

    report, failed = job.report(), job.failed_items()
    assert report["items"] == {"given": 32, "succeeded": 16, "failed": 14, "skipped": 2, "not_scored": 0}
    assert report["files"] == {**report["items"], "partly_failed": 0}, "a file is an item here"
    assert report["rows"] == {"read": None, "failed": 0, "written": 16}
    assert {one["file"]: one["reason"] for one in report["skipped"]} == {
        "loop": "a link to a folder that is listed as '.' already",
        "pipe": "neither a file nor a folder: a pipe, a socket or a device",
    }
    assert any("2 entries of the input are skipped; the first, 'loop': a link" in note for note in report["notes"])
    told = [json.loads(line) for line in (job.folder / "skipped.jsonl").read_text().splitlines()]
    assert told == report["skipped"]
    assert {row["file"] for row in job.rows()} | {item["file"] for item in failed} == {
        f"{n:03}.txt" for n in range(30)
    }
    assert len(failed) == 14
    assert report["attempts"] == 8 + 2 * 7, "each of the 7 mini-batches that fail is tried again once"
    assert report["worker_seconds"] > 0
    seconds = report["seconds"]
    assert list(seconds) == ["queue", "environment", "list", "first_mini_batch", "scoring", "finalizing"]
    assert 100 <= seconds["queue"] < 160
    assert set(report["versions"]) == {"batch_endpoints", "ray", "python", "host_python"}
    assert report["versions"]["host_python"] == platform.python_version()
    assert state.progress.eta_seconds is None


def test_each_failed_item_has_its_reason_and_the_last_lines_of_the_stack(tmp_path):
    job = Job(tmp_path, SOME_BAD, files=4, settings={"mini_batch_size": 2, "retry_settings": {"max_retries": 1}})

    job.run()

    one, other = job.failed_items()
    stack = one.pop("stack")
    assert one == {
        "file": "002.txt",
        "mini_batch": 1,
        "reason": "score.py:6: ValueError: no good: 003.txt",
        "error": "ValueError",
        "message": "no good: 003.txt",
        "attempts": 2,
    }
    assert stack.splitlines()[-1] == "ValueError: no good: 003.txt"
    assert 'score.py", line 6, in run' in stack
    assert other["stack"] == stack


def test_a_stack_is_kept_once_in_a_commit_and_in_short(tmp_path):
    script = """
    def deeper(n):
        if n: deeper(n - 1)
        raise ValueError("x" * 5000)
    def run(mini_batch):
        deeper(50)
    """
    job = Job(tmp_path, script, files=100, settings={"mini_batch_size": 50})

    job.run()

    stacks = [
        item.stack
        for commit in CommitLog(job.job_folder.files).chains(job.job_folder.plan())[0]
        for item in commit.failed
    ]
    assert sum(map(bool, stacks)) == 1
    assert {len(item["stack"].splitlines()) for item in job.failed_items()} == {10}
    assert max(len(item["stack"]) for item in job.failed_items()) < 10 * 301


def test_the_message_of_an_exception_is_kept_with_its_line_breaks_and_far_longer_than_the_reason(tmp_path):
    job = Job(tmp_path, "def run(b): raise ValueError('first\\n' + 'x' * 20_000 + '\\nlast')", files=2)

    job.run()

    for item in job.failed_items():
        assert len(item["reason"]) < 1100
        assert 9_900 < len(item["message"]) < 10_100
        assert item["message"].startswith("first\n")
        assert item["message"].endswith("\nlast")


def test_rows_are_counted_in_and_out_where_tables_are_read(tmp_path):
    job = Job(tmp_path, ROWS, files=["a.csv", "b.csv", "broken.csv"], settings={"mini_batch_size": "4 rows"})
    (job.input / "a.csv").write_text("x\n" + "1\n" * 7)
    (job.input / "b.csv").write_text("x\n" + "2\n" * 3)
    (job.input / "broken.csv").write_text("")

    job.run()

    report = job.report()
    assert report["rows"] == {"read": 10, "failed": 0, "written": 10}
    assert report["items"] == {"given": 5, "succeeded": 4, "failed": 1, "skipped": 0, "not_scored": 0}
    assert (report["files"]["given"], report["files"]["succeeded"], report["files"]["failed"]) == (3, 2, 1)


def test_a_job_that_ends_early_says_how_much_was_not_scored(tmp_path):
    job = Job(tmp_path, "def run(b): raise OSError('no disk')", settings={"error_threshold": 0})

    assert job.run().status == "Failed"

    items = job.report()["items"]
    assert items["not_scored"] > 0
    assert items["given"] == 10 == items["failed"] + items["not_scored"]


def test_a_job_without_a_plan_has_no_counts(tmp_path):
    job = Job(tmp_path, files=0)

    assert job.run().status == "Failed"

    report = job.report()
    assert (report["items"], report["rows"], report["skipped"]) == (None, None, [])


def test_a_job_whose_counts_do_not_add_up_is_not_completed(tmp_path):
    """Somebody's commit counts one item of three; the sum of what came out would hide the others."""
    job = Job(tmp_path, files=6, settings={"mini_batch_size": 3})
    job.start().communicate()
    files, plan = job.job_folder.files, job.job_folder.plan()
    for path in [*job.commits(), job.folder / "report.json"]:
        path.unlink()
    CommitLog(files).add(Commit(bundle=0, start=0, end=1, items_succeeded=1))

    state = job.run()

    assert plan.items == 6
    assert (state.status, state.error.code) == ("Failed", "ItemsUnaccountedFor")
    assert "have 3 items, of which 1 have succeeded and 0 have failed" in state.error.message


def test_the_headline_is_the_first_exception_with_how_often_it_was_seen(tmp_path):
    """A file that cannot be read comes first; messages that differ are of one exception at one line."""
    script = """
    def run(mini_batch):
        if "999" not in mini_batch[0]:
            raise ValueError(f"cannot score {mini_batch[0][-7:]}")
        return mini_batch
    """
    job = Job(tmp_path, script, files=5, settings={"error_threshold": 2})
    (job.input / "000.txt").unlink()
    (job.input / "000.txt").symlink_to("nowhere")
    (job.input / "999.txt").write_text("fine")

    state = job.run()

    seen = state.progress.items_failed - 1
    batches = state.progress.mini_batches_done
    assert state.error.message == (
        f"score.py:4: ValueError: cannot score 001.txt (seen in {seen} of {batches} mini-batches)"
    )
    assert 'score.py", line 4, in run' in state.error.details


def test_the_versions_are_those_of_the_interpreter_that_scored(tmp_path):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    job = Job(tmp_path, deployment={"environment": {"name": "own", "python": str(python)}}, files=1)

    assert job.run().status == "Completed", job.report()

    assert job.report()["versions"]["host_python"] == platform.python_version()
    assert "mlflow" not in job.report()["versions"], "a script has no model of MLflow's"


def test_an_earlier_drivers_seconds_are_kept(tmp_path):
    job = Job(tmp_path, files=3)
    job.run()
    before = job.report()["seconds"]
    (job.folder / "report.json").unlink()

    job.run()

    assert job.report()["seconds"]["list"] == before["list"], "nothing is listed again"


def test_one_good_file_with_100_rows_does_not_hide_a_bad_one_in_its_mini_batch(tmp_path):
    """100 rows for two files are more than enough where a lost file is found by counting rows (as Azure ML does)."""
    (tmp_path / "doubles.py").write_text(DOUBLES)
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=str(tmp_path / "doubles.py"), pip_requirements=[])
    model = {"name": "m", "version": "1", "path": (tmp_path / "model").as_uri(), "type": "mlflow_model"}
    job = Job(
        tmp_path,
        files=["bad.csv", "good.csv"],
        settings={"mini_batch_size": 2},
        deployment={"model": model, "code_configuration": None},
    )
    (job.input / "bad.csv").write_text('a,b\n"1,2\n')
    (job.input / "good.csv").write_text("a,b\n" + "1,2\n" * 100)

    assert job.run().status == "Completed", job.report()

    (failed,) = job.failed_items()
    assert failed["file"] == "bad.csv"
    assert failed["error"] == "ParserError"
    assert "EOF inside string" in failed["reason"]
    assert failed["stack"].splitlines()[-1].endswith(failed["reason"].partition("ParserError: ")[2])
    assert job.report()["items"] == {"given": 2, "succeeded": 1, "failed": 1, "skipped": 0, "not_scored": 0}
    assert job.report()["rows"] == {"read": 100, "failed": 0, "written": 100}
    assert job.report()["versions"]["mlflow"] == mlflow.__version__


SWALLOWS = """
import os
import pandas as pd
def run(mini_batch):
    found = []
    for file in mini_batch:
        try:
            found.append(pd.read_csv(file).assign(NAME))
        except pd.errors.ParserError as error:
            print(error)
    return pd.concat(found)
"""


@pytest.mark.parametrize("names_files", [True, False])
def test_a_bad_file_that_a_script_swallows_beside_one_with_100_rows_is_reported_or_the_job_says_why_not(
    tmp_path, names_files
):
    script = SWALLOWS.replace("NAME", "source=os.path.basename(file)" if names_files else "")
    job = Job(tmp_path, script, files=["bad.csv", "good.csv"], settings={"mini_batch_size": 2})
    (job.input / "bad.csv").write_text('a,b\n"1,2\n')
    (job.input / "good.csv").write_text("a,b\n" + "1,2\n" * 100)

    state = job.run()

    assert (state.status, state.progress.rows) == ("Completed", 100)
    if names_files:
        (failed,) = job.failed_items()
        assert (failed["file"], failed["reason"]) == ("bad.csv", "run() returned rows, but none for this file")
        assert len(state.notes) == 1
    else:
        assert [note.partition(", so")[0] for note in state.notes] == [
            "run() returned 100 rows for 2 files and no column says which file each is of"
        ]


def test_the_headline_of_a_failed_job_is_in_its_log_and_so_is_one_stack_for_all_tries(tmp_path):
    settings = {"mini_batch_size": 2, "retry_settings": {"max_retries": 2}}
    script = "def run(mini_batch):\n  print('noise')\n  raise OSError('no disk')\n"
    job = Job(tmp_path, script, files=4, settings=settings)

    job.start().communicate()

    headline = "score.py:3: OSError: no disk (seen in 2 of 2 mini-batches)"
    assert job.report()["error"]["message"] == headline
    told = b"".join(merged_logs(job.folder.as_uri(), errors=True)).decode()
    driver = [line for line in told.splitlines() if line.startswith("driver ")]
    assert driver[1].endswith(f"Z ERROR {headline}")
    tries = re.findall(r"ERROR (try \d) failed for (\S+), \S+: score.py:3: OSError: no disk(.*)", told)
    assert sorted(tries, key=lambda one: one[1]) == [
        (f"try {n}", file, again)
        for file, first in (("000.txt", ""), ("002.txt", " (again)"))
        for n, again in ((1, first), (2, " (again)"), (3, " (again)"))
    ]
    assert told.count("  raise OSError('no disk')") == 2, "once of the worker, and once with the headline"
    assert "noise" not in told
    everything = b"".join(merged_logs(job.folder.as_uri())).decode()
    assert everything.count("noise") == 6
    times = re.findall(r"(\d{4}-\d\d-\d\dT\S+Z) (?:INFO|WARNING|ERROR) ", everything)
    assert len(times) > 10
    assert times == sorted(times)
