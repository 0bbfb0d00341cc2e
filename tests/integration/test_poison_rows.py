"""Rows that a model or script cannot score, in whole jobs: one bad row costs one row."""

import math

import mlflow
import pytest
from job_folders import Job, noting
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from batch_endpoints.engine.worker import when_to_stop
from batch_endpoints.specs import ScoringJob

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

INVERSE_MODEL = """
import mlflow.pyfunc


class Inverse(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        assert (model_input["a"] != 0).all(), "there is a zero"
        return 1 / model_input["a"].to_numpy()


mlflow.models.set_model(Inverse())
"""
INVERSE = """
import pandas as pd
{note}

def run(mini_batch: pd.DataFrame):
    note(str(len(mini_batch)))
    if (mini_batch["a"] == 0).any():
        raise ValueError("there is a zero")
    return (1 / mini_batch["a"]).tolist()
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("registered")
    (place / "inverse.py").write_text(INVERSE_MODEL)
    signature = ModelSignature(Schema([ColSpec("double", "a")]), Schema([ColSpec("double")]))
    mlflow.pyfunc.save_model(place / "model", python_model=place / "inverse.py", signature=signature)
    return place / "model"


def settings(size="1000 rows", **more):
    return {"mini_batch_size": size, "retry_settings": {"max_retries": 0, "timeout": 60}, **more}


def no_code(model, **more):
    return {
        "model": {"name": "m", "version": "1", "path": model.as_uri()},
        "code_configuration": None,
        "settings": settings(**more),
    }


def write(path, values):
    path.write_text("a,id\n" + "".join(f"{value},{n}\n" for n, value in enumerate(values)))


def inverse(place):
    return INVERSE.format(note=noting(place))


def with_zeros(count, *zeros):
    return [0 if n in zeros else n + 1 for n in range(count)]


def test_of_a_model_without_a_script_one_bad_row_costs_one_row(tmp_path, model):
    job = Job(tmp_path, files=0, deployment=no_code(model, size="150 rows"))
    write(job.input / "a.csv", with_zeros(100, 7, 50))
    write(job.input / "b.csv", with_zeros(100, 60))  # rows 0 to 49 are in a mini-batch with a.csv

    state = job.run()

    assert state.status == "Completed", state.error
    zeros = {("a.csv", 7), ("a.csv", 50), ("b.csv", 60)}
    given = [(name, row) for name in ("a.csv", "b.csv") for row in range(100)]
    found = [(row["file"], int(row["row"])) for row in job.rows()]
    assert found == [place for place in given if place not in zeros]
    assert all(math.isclose(float(row["prediction"]), 1 / (int(row["row"]) + 1)) for row in job.rows())
    failed = job.failed_items()
    assert {(one["file"], one["row"]) for one in failed} == zeros
    stacks = [one.pop("stack") for one in failed]
    assert stacks[0].splitlines()[-1] == "AssertionError: there is a zero"
    assert stacks[1] == "", "in its commit another row has come the same way"
    assert failed[0] == {
        "file": "a.csv",
        "mini_batch": 0,
        "row": 7,
        "reason": "AssertionError: there is a zero",
        "error": "AssertionError",
        "message": "there is a zero",
        "attempts": 1,
    }
    progress = state.progress
    assert (progress.items, progress.items_succeeded, progress.items_failed) == (3, 3, 0)
    assert (progress.rows, progress.rows_failed) == (197, 3)
    assert state.notes[-1].startswith("3 rows failed; the first, 'a.csv' row 7: AssertionError: there is a zero")


def test_the_values_of_failed_rows_are_kept_where_that_is_asked_for(tmp_path, model):
    job = Job(tmp_path, files=0, deployment=no_code(model, keep_failed_inputs=True, output_columns=["id"]))
    (job.input / "a.csv").write_text("a,id\n1,x\n0,hush\n,y\n")

    job.run()

    (failed,) = job.failed_items()
    assert failed["input"] == {"a": 0.0, "id": "hush"}
    assert [row["id"] for row in job.rows()] == ["x", "y"]
    assert "hush" not in "".join(path.read_text() for path in (job.folder / "logs").iterdir())


def test_the_values_of_an_item_whose_rows_all_fail_are_kept_too_as_far_as_they_are_not_too_many(tmp_path):
    asked = settings("2000 rows", on_error="isolate", keep_failed_inputs=True)
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=asked)
    write(job.input / "few.csv", [0, 0])
    write(job.input / "good.csv", with_zeros(10))
    write(job.input / "many.csv", [0] * 1500)

    job.run()

    few, many = job.failed_items()
    assert few["inputs"] == [{"a": 0, "id": 0}, {"a": 0, "id": 1}]
    assert (many["rows"], len(many["inputs"])) == (1500, 1000)


def test_without_being_asked_for_no_values_are_kept(tmp_path):
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=settings(on_error="isolate"))
    write(job.input / "a.csv", [0, 0])
    write(job.input / "b.csv", [0, 1])

    job.run()

    item, row = job.failed_items()
    assert "inputs" not in item
    assert "input" not in row


def test_a_file_of_bad_rows_only_is_one_failed_item(tmp_path, model):
    job = Job(tmp_path, files=0, deployment=no_code(model))
    write(job.input / "a.csv", with_zeros(100))
    write(job.input / "b.csv", [0, 0, 0])

    state = job.run()

    (failed,) = job.failed_items()
    assert (failed["file"], failed["first_row"], failed["rows"]) == ("b.csv", 0, 3)
    assert "there is a zero" in failed["reason"]
    progress = state.progress
    assert (progress.items_succeeded, progress.items_failed, progress.rows_failed) == (1, 1, 0)


def test_one_good_file_of_many_rows_and_a_bad_one_in_a_mini_batch_reports_the_bad_one(tmp_path, model):
    """Where failures are told by the count of rows returned, the bad file is lost without a word."""
    job = Job(tmp_path, files=0, deployment=no_code(model))
    write(job.input / "good.csv", with_zeros(100))
    (job.input / "bad.csv").write_bytes(b'a,id\n"1')

    state = job.run()

    assert state.progress.mini_batches == 1
    assert [one["file"] for one in job.failed_items()] == ["bad.csv"]
    assert len(job.rows()) == 100


def test_a_model_may_be_told_to_fail_whole_files(tmp_path, model):
    job = Job(tmp_path, files=0, deployment=no_code(model, on_error="fail"))
    for name, zeros in {"a.csv": [], "b.csv": [3], "c.csv": []}.items():
        write(job.input / name, with_zeros(10, *zeros))

    state = job.run()

    assert [one["file"] for one in job.failed_items()] == ["b.csv"]
    assert [row["file"] for row in job.rows()] == ["a.csv"] * 10 + ["c.csv"] * 10
    assert state.progress.rows_failed == 0


def test_a_script_is_called_again_for_parts_only_where_it_says_so(tmp_path):
    for on_error, calls, failed in ((None, ["100"], 1), ("isolate", ["100", "0", "50", "25"], 0)):
        place = tmp_path / str(on_error)
        job = Job(place, inverse(place), files=0, settings=settings(on_error=on_error))
        write(job.input / "a.csv", with_zeros(100, 3))

        state = job.run()

        assert job.calls()[:4] == calls
        assert state.progress.items_failed == failed
        assert len(job.calls()) <= 2 + 2 * math.ceil(math.log2(100))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("return mini_batch['a'].tolist()[1:]", "run() returned no rows for 1 row of input"),
        ("os.kill(os.getpid(), 9)", "the scoring process was killed by SIGKILL"),
        ("time.sleep(60)", "run() did not end within 1 seconds"),
    ],
    ids=["too few rows", "crash", "hang"],
)
def test_whatever_a_bad_row_does_it_is_found(tmp_path, bad, reason):
    script = f"""
    import os, time
    import pandas as pd

    def run(mini_batch: pd.DataFrame):
        if 0 in mini_batch["a"].tolist():
            {bad}
        return mini_batch["a"].tolist()
    """
    limits = {"max_retries": 0, "timeout": 1}
    job = Job(tmp_path, script, files=0, settings=settings(on_error="isolate") | {"retry_settings": limits})
    write(job.input / "a.csv", [3, 0, 5, 6])

    job.run()

    (failed,) = job.failed_items()
    assert (failed["row"], failed["error"]) == (1, "")
    assert reason in failed["reason"]
    assert [(row["row"], row["prediction"]) for row in job.rows()] == [("0", "3"), ("2", "5"), ("3", "6")]


def test_a_passing_fault_fails_nothing_and_a_row_alone_is_tried_again(tmp_path):
    script = f"""
    import pandas as pd
    {noting(tmp_path)}
    calls = 0

    def run(mini_batch: pd.DataFrame):
        global calls
        calls += 1
        note(str(len(mini_batch)))
        if calls in (1, 4):
            raise OSError("away for a moment")
        return mini_batch["a"].tolist()
    """
    limits = {"max_retries": 1, "timeout": 60}
    job = Job(tmp_path, script, files=0, settings=settings(on_error="isolate") | {"retry_settings": limits})
    write(job.input / "a.csv", [1, 2, 3])

    state = job.run()

    assert job.calls() == ["3", "0", "1", "2", "1", "1"]
    assert (state.progress.rows, state.progress.rows_failed) == (3, 0)


def test_an_error_of_the_whole_table_is_not_looked_for_in_each_row(tmp_path):
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=settings(on_error="isolate"))
    (job.input / "a.csv").write_text("b\n" + "1\n" * 1000)

    state = job.run()

    assert (state.status, state.error.message) == (
        "Failed",
        "score.py:7: KeyError: 'a' (seen in 1 of 1 mini-batches)",
    )
    assert len(job.calls()) == 7
    assert [one["file"] for one in job.failed_items()] == ["a.csv"]


def test_a_model_with_one_answer_for_a_file_does_not_get_its_rows_one_by_one(tmp_path):
    (tmp_path / "mean.py").write_text(
        INVERSE_MODEL.replace('1 / model_input["a"].to_numpy()', "[model_input['a'].mean()]")
    )
    mlflow.pyfunc.save_model(tmp_path / "registered" / "mean", python_model=tmp_path / "mean.py")
    job = Job(tmp_path, files=0, deployment=no_code(tmp_path / "registered" / "mean"))
    write(job.input / "a.csv", [1, 2, 3])
    write(job.input / "b.csv", [1, 2])

    state = job.run()

    assert state.status == "Failed"
    assert "the model's predict() returned 1 row for 3 rows of input" in state.error.message
    assert [one["file"] for one in job.failed_items()] == ["a.csv", "b.csv"]


def test_each_part_of_a_table_keeps_the_files_that_run_wrote_for_it(tmp_path):
    script = """
    import os
    import pandas as pd

    def run(mini_batch: pd.DataFrame):
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "rows.txt"), "w") as file:
            file.write(" ".join(map(str, mini_batch["a"])))
        if 0 in mini_batch["a"].tolist():
            raise ValueError("zero")
        return mini_batch["a"].tolist()
    """
    job = Job(tmp_path, script, files=0, settings=settings(on_error="isolate", output_action="summary_only"))
    write(job.input / "a.csv", [1, 2, 3, 0])

    job.run()

    assert sorted(path.read_text() for path in job.output.glob("rows*.txt")) == ["1 2", "3"]


@pytest.mark.parametrize(("threshold", "status"), [(1, "Failed"), (2, "Completed")])
def test_failed_rows_and_failed_items_count_towards_the_threshold_together(
    tmp_path, monkeypatch, model, threshold, status
):
    monkeypatch.setattr(when_to_stop, "CHECK_SECONDS", math.inf)  # each is done, however slow the machine is
    job = Job(tmp_path, files=0, deployment=no_code(model, error_threshold=threshold))
    write(job.input / "a.csv", with_zeros(10, 4))
    (job.input / "b.csv").write_text("")

    state = job.run()

    assert state.status == status
    assert (state.progress.items_failed, state.progress.rows_failed) == (1, 1)
    if status == "Failed":
        assert "1 item and 1 row failed, more than error_threshold (1) allows" in state.error.details


def test_a_job_whose_rows_have_failed_too_often_stops_in_the_middle_of_a_mini_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "CHECK_SECONDS", 0.0)
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=settings(on_error="isolate", error_threshold=2))
    write(job.input / "a.csv", [1] + [0] * 999)

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "ScoringFailed")
    assert state.error.message == "score.py:8: ValueError: there is a zero (seen in 1 of 1 mini-batches)"
    assert "3 rows of one mini-batch failed, more than error_threshold (2) allows" in state.error.details
    assert len(job.calls()) < 30
    assert [(row["file"], row["row"]) for row in job.failed_items()] == [("a.csv", n) for n in range(1, 4)]
    assert (state.progress.items_failed, state.progress.rows_failed, state.items.not_scored) == (0, 3, 1)


def test_a_file_of_which_no_row_succeeds_is_one_failure_however_long_that_takes_to_find_out(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "CHECK_SECONDS", 0.0)
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=settings(10, on_error="isolate", error_threshold=2))
    write(job.input / "a.csv", [0] * 8)
    write(job.input / "b.csv", [1] * 8)

    state = job.run()

    assert (state.status, state.progress.items_failed, state.progress.rows_failed) == ("Completed", 1, 0)


def test_what_has_failed_before_counts_when_a_mini_batch_is_left_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(when_to_stop, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr("batch_endpoints.engine.driver.progress.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("batch_endpoints.engine.driver.progress.WRITE_SECONDS", 0.0)
    told = tmp_path / "job" / "progress.json"
    script = f"""
    import json, time
    import pandas as pd
    def run(mini_batch: pd.DataFrame):
        failed = lambda: json.load(open({str(told)!r}))["progress"]["rows_failed"]
        if mini_batch["a"].eq(2).any():
            while failed() < 2:
                time.sleep(0.02)
        assert mini_batch["a"].all()
        return mini_batch["a"].tolist()
    """
    job = Job(tmp_path, script, files=0, settings=settings("100 rows", on_error="isolate", error_threshold=3))
    write(job.input / "a.csv", [0, 1, 0] + [1] * 97 + [2] * 50 + [0] * 50)

    state = job.run()

    assert state.status == "Failed"
    assert "2 rows of one mini-batch failed and 2 before, more than error_threshold (3) allows" in state.error.details
    assert [row["row"] for row in job.failed_items()] == [0, 2, 150, 151]


def test_after_a_job_was_left_in_the_middle_it_goes_on_where_more_may_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "CHECK_SECONDS", 0.0)
    job = Job(tmp_path, inverse(tmp_path), files=0, settings=settings(on_error="isolate", error_threshold=2))
    write(job.input / "a.csv", [1] * 60 + [0] * 4)
    assert job.run().status == "Failed"

    job.spec["deployment"]["settings"]["error_threshold"] = 9
    job.job_folder.write_job(ScoringJob.model_validate({**job.spec, "resumption": 1}))
    state = job.run()

    assert (state.status, state.progress.rows_failed) == ("Completed", 4)
    assert len(job.failed_items()) == 4


def test_a_cancel_is_seen_between_two_tries_and_what_was_whole_before_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(when_to_stop, "LOOK_SECONDS", 0.0)
    mark = tmp_path / "job" / "cancel"
    script = f"""
    import pandas as pd
    {noting(tmp_path)}
    calls = 0

    def run(mini_batch: pd.DataFrame):
        global calls
        calls += 1
        note(str(len(mini_batch)))
        if mini_batch["a"].sum() == 0:
            return mini_batch["a"].tolist()
        if calls == 6:
            open({str(mark)!r}, "w")
        raise ValueError(str(mini_batch["a"].sum()))
    """
    job = Job(tmp_path, script, files=0, settings=settings("100 rows", on_error="isolate"))
    write(job.input / "a.csv", [0] * 100 + [1] * 100)

    state = job.run()

    assert state.status == "Canceled"
    assert job.calls() == ["100", "100", "0", "50", "25", "12"]
    assert (state.progress.rows, state.progress.items_succeeded) == (100, 1)


@pytest.mark.parametrize("annotation", ["", ": list[str]"])
def test_rows_of_a_script_that_takes_paths_cannot_be_isolated(tmp_path, annotation):
    script = f"def run(mini_batch{annotation}): return mini_batch"
    job = Job(tmp_path, script, files=1, settings=settings(1, on_error="isolate"))

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "InitFailed")
    assert "on_error 'isolate' finds the rows of a table that fail" in state.error.message
    assert "leave out on_error" in state.error.details
