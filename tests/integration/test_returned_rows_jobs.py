"""Rows that a model or script leaves out, returns twice or in another order, in whole jobs."""

import mlflow
import pytest
from job_folders import Job, noting

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MODEL = """
import mlflow.pyfunc
import pandas as pd


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return {result}


mlflow.models.set_model(Model())
"""


def no_code(place, result, size=None):
    (place / "model.py").write_text(MODEL.format(result=result))
    (place / "registered").mkdir()
    model = place / "registered" / "model"
    mlflow.pyfunc.save_model(model, python_model=place / "model.py", pip_requirements=[])
    settings = {"mini_batch_size": size, "retry_settings": {"max_retries": 0, "timeout": 60}}
    return {
        "model": {"name": "m", "version": "1", "path": model.as_uri()},
        "code_configuration": None,
        "settings": settings,
    }


@pytest.mark.parametrize("size", [None, 1, "3 rows"])
def test_rows_that_a_model_leaves_out_have_failed_and_the_others_keep_their_numbers(tmp_path, size):
    job = Job(tmp_path, files=0, deployment=no_code(tmp_path, "model_input.dropna()['a'] * 2", size))
    (job.input / "a.csv").write_text("a,b\n1,2\n,3\n5,6\n")
    (job.input / "b.csv").write_text("a,b\n7,8\n9,\n")

    assert job.run().status == "Completed"

    assert [tuple(row.values()) for row in job.rows()] == [
        *[("0", "2", "a.csv"), ("2", "10", "a.csv")],
        ("0", "14", "b.csv"),
    ]
    assert [(one["file"], one["row"], one["reason"]) for one in job.failed_items()] == [
        ("a.csv", 1, "predict() returned no row for it"),
        ("b.csv", 1, "predict() returned no row for it"),
    ]
    report = job.report()
    assert report["rows"] == {"read": 5, "failed": 2, "written": 3}
    assert report["rows_explanation"] == ""


def test_what_a_model_returns_more_or_fewer_of_is_in_the_report(tmp_path):
    job = Job(tmp_path, files=0, deployment=no_code(tmp_path, "model_input.dropna()['a'].to_numpy()"))
    (job.input / "a.csv").write_text('a\n1\n""\n5\n')
    (job.input / "b.csv").write_text("a\n7\n")

    state = job.run()

    found = [tuple(row.values()) for row in job.rows()]
    assert found == [("", "1", "a.csv"), ("", "5", "a.csv"), ("0", "7", "b.csv")]
    told = [note.partition(" and ")[0] for note in state.notes]
    assert told == ["predict() returned 2 rows for the 3 rows of 'a.csv'"]
    report = job.report()
    assert report["rows"] == {"read": 4, "failed": 0, "written": 3}
    assert report["rows_explanation"].startswith("1 row fewer returned than given")


SCRIPT = """
import pandas as pd
NOTE

def run(mini_batch: pd.DataFrame):
    note(str(len(mini_batch)))
    return RESULT
"""


def scripted(place, result, **settings):
    script = SCRIPT.replace("NOTE", noting(place)).replace("RESULT", result)
    retries = {"retry_settings": {"max_retries": 3, "timeout": 60}}
    job = Job(place, script, files=0, settings={"mini_batch_size": "10 rows", **retries, **settings})
    (job.input / "a.csv").write_text("id,a\nw,3\nx,1\ny,\nz,2\n")
    return job


def test_values_of_the_input_stand_beside_the_rows_of_a_script_that_has_sorted_them(tmp_path):
    job = scripted(tmp_path, 'mini_batch.dropna().sort_values("a")["a"]', output_columns=["id"])

    assert job.run().status == "Completed"

    assert [(row["row"], row["prediction"], row["id"]) for row in job.rows()] == [
        ("0", "3", "w"),
        ("1", "1", "x"),
        ("3", "2", "z"),
    ]
    assert [(one["row"], one["reason"]) for one in job.failed_items()] == [(2, "run() returned no row for it")]
    assert job.calls() == ["4"], "what is left out is not tried again"


def test_rows_that_are_left_out_count_towards_the_threshold_and_can_be_tried_again(tmp_path):
    job = scripted(tmp_path, "mini_batch.dropna()", error_threshold=0)

    state = job.run()

    assert (state.status, state.progress.rows_failed) == ("Failed", 1)
    assert "1 row failed, more than error_threshold (0) allows" in state.error.details


def test_a_script_that_leaves_open_which_rows_it_has_returned_is_not_called_again(tmp_path):
    job = scripted(tmp_path, 'mini_batch["a"].dropna().tolist()')

    state = job.run()

    assert state.status == "Failed"
    assert "run() returned 3 rows for 4 rows of input" in state.error.message
    assert job.calls() == ["4"]


def test_files_that_a_script_has_no_value_for_fail_alone_and_at_once(tmp_path):
    script = f"""
    import os
    {noting(tmp_path)}
    def run(mini_batch):
        note("call")
        return [f"{{os.path.basename(file)}}: {{len(file)}}" for file in reversed(mini_batch) if "1" not in file[-7:]]
    """
    settings = {"mini_batch_size": 3, "retry_settings": {"max_retries": 3}}
    job = Job(tmp_path, script, files=["a/0.txt", "a/1.txt", "a/2.txt"], settings=settings)

    assert job.run().status == "Completed"

    assert [row["file"] for row in job.rows()] == ["a/0.txt", "a/2.txt"]
    assert [one["file"] for one in job.failed_items()] == ["a/1.txt"]
    assert job.calls() == ["call"]


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_of_one_table_for_each_file_the_rows_are_of_their_file_whole(tmp_path, format_):
    script = """
    import numpy as np, pandas as pd
    def run(mini_batch):
        return [pd.DataFrame({"n": range(3000), "at": [np.arange(2000)] * 3000})[:3] for file in mini_batch]
    """
    name = f"p.{format_}"
    job = Job(tmp_path, script, files=2, settings={"mini_batch_size": 2, "output_file_name": name})

    state = job.run()

    assert (state.status, state.progress.rows) == ("Completed", 6)
    found = (job.output / name).read_bytes()
    assert found.count(b"1998") == 6 or format_ == "parquet"
    assert b"..." not in found


def test_what_azure_ml_would_write_with_dots_is_written_whole(tmp_path):
    script = """
    import numpy as np, pandas as pd
    def run(mini_batch):
        return [np.arange(2000), pd.DataFrame({"n": range(200)}), pd.Series(range(200))]
    """
    job = Job(tmp_path, script, files=1, settings={"output_format": "azureml"})

    assert job.run().status == "Completed"

    found = (job.output / "predictions.csv").read_text()
    assert "..." not in found
    assert " 1998" in found
