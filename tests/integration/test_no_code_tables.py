"""MLflow models without a script where nobody has said how large mini-batches are: tables, and the same output."""

import csv
import json

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from job_folders import Job, noting
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from PIL import Image

from batch_endpoints.planning import partitions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# tells what it is given, row by row; and how many rows at once
TELLING = """
import json
import os

import mlflow.pyfunc
import numpy as np

{note}


def told(value):
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return f"{{type(value).__name__}} {{value}}"


class Telling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        note(str(len(model_input)))
        if isinstance(model_input, np.ndarray):
            return [f"{{model_input.dtype}} {{row.tolist()}}" for row in model_input]
        kinds = [str(kind).replace("str", "object") for kind in model_input.dtypes]  # as pandas 2 has it, or 3
        columns = [model_input.iloc[:, at].tolist() for at in range(model_input.shape[1])]
        return [json.dumps([kinds, [told(column[row]) for column in columns]]) for row in range(len(model_input))]


mlflow.models.set_model(Telling())
"""
ONE_ANSWER = """
import mlflow.pyfunc


class Mean(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return [float(model_input["a"].mean())]


mlflow.models.set_model(Mean())
"""
TYPES = {"n": "long", "x": "double", "zip": "string", "day": "datetime", "yes": "boolean"}
COLUMNS = Schema([ColSpec(kind, name) for name, kind in TYPES.items()])
FRAME = pd.DataFrame(
    {
        "zip": ["007", "12", None],
        "more": [1, 2, 3],
        "n": [1, 2, 3],
        "x": [0.5, None, 3],
        "day": [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-02-29 12:00"), pd.NaT],
        "yes": [True, False, True],
    }
)


class Case:
    """One model and one folder, scored without a word about mini-batches and as whole files."""

    def __init__(self, place, signature=None, code=TELLING):
        self.place, self.input = place, place / "in"
        self.input.mkdir()
        (place / "model.py").write_text(code.format(note=noting(place)))
        (place / "registered").mkdir()
        mlflow.pyfunc.save_model(
            place / "registered" / "model",
            python_model=str(place / "model.py"),
            signature=signature and ModelSignature(signature),
            pip_requirements=[],
        )

    def run(self, size=None, **settings):
        settings |= {"retry_settings": {"max_retries": 0, "timeout": 60}, "mini_batch_size": size}
        model = {"name": "m", "version": "1", "path": (self.place / "registered" / "model").as_uri()}
        deployment = {"model": model, "code_configuration": None, "settings": settings}
        inputs = {"data": {"type": "uri_folder", "path": self.input.as_uri()}}
        job = Job(self.place / str(size), files=0, deployment=deployment, inputs=inputs)
        job.state = job.run()
        return job

    def in_tables(self):
        """The job, of which the plan has tables, with the same output as one that goes file by file."""
        job, by_file = self.run(), self.run(10)
        assert in_parts(job)
        assert not in_parts(by_file)
        assert job.rows() == by_file.rows()
        failed = [[(one["file"], one["reason"]) for one in each.failed_items()] for each in (job, by_file)]
        assert failed[0] == failed[1]
        return job

    def calls(self):
        """Of each call of predict() the rows it was given."""
        path = self.place / "calls"
        return [int(rows) for rows in path.read_text().split()] if path.exists() else []


def in_parts(job):
    return any(bundle.parts for bundle in job.job_folder.plan().bundles)


def test_columns_of_every_type_arrive_as_when_a_file_is_read_alone(tmp_path):
    case = Case(tmp_path, COLUMNS)
    FRAME.to_csv(case.input / "a.csv", index=False)
    FRAME[:1].to_csv(case.input / "b.csv", index=False)
    FRAME.to_parquet(case.input / "c.parquet")
    FRAME.to_parquet(case.input / "d.pqt")

    job = case.in_tables()

    assert [(row["file"], row["row"]) for row in job.rows()] == [
        *[("a.csv", "0"), ("a.csv", "1"), ("a.csv", "2"), ("b.csv", "0")],
        *[(name, row) for name in ("c.parquet", "d.pqt") for row in "012"],
    ]
    _, values = json.loads(job.rows()[0]["prediction"])
    assert values == ["int 1", "float 0.5", "str 007", "Timestamp 2024-01-01 00:00:00", "bool True"]
    assert case.calls()[:2] == [4, 6], "files of one kind are predicted together"


def test_files_that_cannot_be_read_as_tables_are_as_ever_and_take_no_others_along(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("double", "a"), ColSpec("double", "b")]))
    (case.input / "a.csv").write_text("a,b\n1,2\n")
    (case.input / "corrupt.csv").write_text('a,b\n"3')
    (case.input / "zz-empty.csv").write_text("")
    (case.input / "short.csv").write_text("a,b\n1\n3,4\n")  # for pandas what a line lacks is missing
    (case.input / "text.csv").write_text("a,b\n1,x\n")
    (case.input / "z.csv").write_text("a,b\n5,6\n")

    job = case.in_tables()

    assert job.job_folder.plan().bundles[0].mini_batches[0] == (
        "a.csv",
        "corrupt.csv",
        "short.csv",
        "text.csv",
        "z.csv",
    )
    assert [one["file"] for one in job.failed_items()] == ["corrupt.csv", "text.csv", "zz-empty.csv"]
    assert [row["file"] for row in job.rows()] == ["a.csv", "short.csv", "short.csv", "z.csv"]


def test_without_a_signature_no_file_changes_what_another_one_holds(tmp_path):
    case = Case(tmp_path)
    (case.input / "a.csv").write_text("a,b\n7,1\n8,2\n")
    (case.input / "b.csv").write_text("a,b\n007x,1\n")
    (case.input / "c.csv").write_text("b,a\n1,7\n")
    (case.input / "d.csv").write_text("a,b\n9,2\n")

    job = case.in_tables()

    assert [json.loads(row["prediction"])[1] for row in job.rows()] == [
        *(["int 7", "int 1"], ["int 8", "int 2"], ["str 007x", "int 1"], ["int 1", "int 7"], ["int 9", "int 2"])
    ]


def test_without_a_signature_large_files_are_cut_and_each_has_types_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "_SMALLEST", 100)
    monkeypatch.setattr(partitions, "_LARGEST", 100)
    case = Case(tmp_path)
    (case.input / "a.csv").write_text("v,n\n" + "007,1\n" * 40 + "x,\n")
    (case.input / "b.csv").write_text("v,n\n" + "007,1\n" * 40)
    (case.input / "c.csv").write_text("v,n\n007,1\n")

    job = case.run()

    told = [json.loads(row["prediction"])[1] for row in job.rows()]
    assert told[:40] == [["str 007", "float 1.0"]] * 40
    assert told[41:] == [["int 7", "int 1"]] * 41
    assert job.state.progress.items == 3 + 3 + 1
    assert max(case.calls()) < 20


def test_a_row_without_a_whole_number_that_the_signature_asks_for_fails_alone(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("long", "n")]))
    (case.input / "a.csv").write_text("n,m\n1,1\n,2\n3,3\n")

    job = case.run()

    (failed,) = job.failed_items()
    assert failed["row"] == 1
    assert "Incompatible input types for column n" in failed["reason"]
    assert [row["row"] for row in job.rows()] == ["0", "2"]


def test_bytes_arrive_as_bytes(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("binary", "data")]))
    pa.parquet.write_table(pa.table({"data": [b"\x00\xff", b"x"]}), case.input / "a.parquet")
    (case.input / "b.csv").write_text("data\nxyz\n")

    job = case.in_tables()

    assert [json.loads(row["prediction"])[1] for row in job.rows()] == [
        ["bytes b'\\x00\\xff'"],
        ["bytes b'x'"],
        ["str xyz"],
    ]


def test_tensors_are_made_of_columns_in_parquet(tmp_path):
    case = Case(tmp_path, Schema([TensorSpec(np.dtype("float32"), (-1, 2, 1))]))
    for name in ("a.parquet", "b.parquet"):
        pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}).to_parquet(case.input / name)

    job = case.run()

    assert in_parts(job)
    assert [row["prediction"] for row in job.rows()] == ["float32 [[1.0], [0.5]]", "float32 [[2.0], [1.5]]"] * 2
    assert case.calls() == [4]


@pytest.mark.parametrize("header", ["", "a,b\n"], ids=["without header", "with header"])
def test_tensors_of_text_are_read_file_by_file(tmp_path, header):
    case = Case(tmp_path, Schema([TensorSpec(np.dtype("float32"), (-1, 2))]))
    (case.input / "a.csv").write_text(f"{header}1,2\n3,4\n")

    job = case.run()

    assert not in_parts(job)
    assert [row["prediction"] for row in job.rows()] == ["float32 [1.0, 2.0]", "float32 [3.0, 4.0]"]


def test_json_lines_arrow_and_compressed_text_are_tables_too(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("string", "zip"), ColSpec(Array(DataType.long), "tags")]))
    frame = pd.DataFrame({"zip": ["007"], "tags": [[1, 2]]})
    frame.to_json(case.input / "a.jsonl", orient="records", lines=True)
    frame.to_json(case.input / "b.jsonl.gz", orient="records", lines=True)
    frame.to_feather(case.input / "c.arrow")

    job = case.run()

    assert job.state.progress.items_succeeded == 3, job.failed_items()
    assert [json.loads(row["prediction"])[1] for row in job.rows()] == [["str 007", "list [1, 2]"]] * 3


@pytest.mark.parametrize("name", ["b.png", "notes.txt"])
def test_a_folder_with_anything_but_tables_goes_file_by_file(tmp_path, name):
    case = Case(tmp_path)
    (case.input / "a.csv").write_text("a\n1\n")
    if name == "b.png":
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(case.input / name)
    else:
        (case.input / name).write_text("hello")

    job = case.run()

    assert not in_parts(job)
    assert [row["file"] for row in job.rows()][:1] == ["a.csv"]
    assert [one["file"] for one in job.failed_items()] == ([name] if name == "notes.txt" else [])
    assert job.report()["rows"]["read"] == 1, "of the table; an image has pixels"


def test_a_model_with_one_answer_for_a_file_still_has_one(tmp_path):
    case = Case(tmp_path, code=ONE_ANSWER)
    (case.input / "a.csv").write_text("a\n1\n3\n")
    (case.input / "b.csv").write_text("a\n5\n7\n")

    job = case.in_tables()

    assert [(row["row"], row["prediction"], row["file"]) for row in job.rows()] == [
        ("", "2", "a.csv"),
        ("", "6", "b.csv"),
    ]
    assert job.report()["rows"]["read"] == 4, "once each, though they were read as tables and as files"


def test_small_files_are_scored_together_and_large_ones_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "_SMALLEST", 100)
    monkeypatch.setattr(partitions, "_LARGEST", 100)
    case = Case(tmp_path, Schema([ColSpec("long", "n")]))
    for name, rows in {"a": 10, "b": 10, "c": 100, "d": 10}.items():
        (case.input / f"{name}.csv").write_text("n\n" + "".join(f"{row:03}\n" for row in range(rows)))

    job = case.run()

    assert case.calls() == [20, 25, 25, 25, 25, 10]
    assert [(row["file"], int(row["row"])) for row in job.rows()] == [
        (f"{name}.csv", row) for name, rows in {"a": 10, "b": 10, "c": 100, "d": 10}.items() for row in range(rows)
    ]
    assert job.state.progress.items == 2 + 4 + 1


def test_columns_for_the_output_are_not_shown_to_the_model(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("long", "n")]))
    (case.input / "a.csv").write_text("id,n\n007,1\n")

    (row,) = case.run(output_columns=["id"]).rows()

    assert (json.loads(row["prediction"])[1], row["id"]) == (["int 1"], "007")


@pytest.mark.parametrize("asked", [{"on_error": "isolate"}, {"keep_failed_inputs": True}], ids=str)
def test_a_bad_row_costs_one_row_of_whole_files_where_somebody_asks_for_that(tmp_path, asked):
    case = Case(tmp_path, Schema([ColSpec("long", "n")]))
    (case.input / "a.csv").write_text("n\n1\n2\n")
    (case.input / "b.csv").write_text("n\n3\nx\n5\n")

    job = case.run(10, **asked)

    assert job.state.status == "Completed"
    assert [(row["file"], row["row"]) for row in job.rows()] == [
        *[("a.csv", "0"), ("a.csv", "1")],
        *[("b.csv", "0"), ("b.csv", "2")],
    ]
    (failed,) = job.failed_items()
    assert (failed["file"], failed["row"], "input" in failed) == ("b.csv", 1, "keep_failed_inputs" in asked)


GAPS = {  # the middle row lacks the whole number, and the others could not be fractions
    "a.csv": "n,x\n1,1\n2,2\n",
    "b.csv": "n,x\n9007199254740993,1\n,2\n9007199254740995,\n",
    "c.csv": "n,x\n7,1\nseven,\n8,2\n",
    "d.csv": "n,x\n9,1\n",
    "e.csv": "n,x\n,1\n,2\n",
}


@pytest.mark.parametrize(("size", "layout"), [(1, "csv"), (10, "azureml")])
def test_file_by_file_a_row_without_its_whole_number_fails_alone_too(tmp_path, size, layout):
    case = Case(tmp_path, Schema([ColSpec("long", "n"), ColSpec("double", "x")]))
    for name, text in GAPS.items():
        (case.input / name).write_text(text)
    numbers = pd.array([9007199254740993, None, 5], dtype="Int64")
    pd.DataFrame({"n": numbers, "x": [1.0, 2.0, 3.0]}).to_parquet(case.input / "f.parquet")

    job = case.run(size, output_format=layout)

    assert not in_parts(job)
    if layout == "azureml":
        rows = list(csv.reader((job.output / "predictions.csv").open(newline="")))
    else:
        rows = [[row["row"], row["prediction"], row["file"]] for row in job.rows()]
    assert [(file, row, json.loads(told)[1][0]) for row, told, file in rows] == [
        *[("a.csv", "0", "int 1"), ("a.csv", "1", "int 2")],
        *[("b.csv", "0", "int 9007199254740993"), ("b.csv", "2", "int 9007199254740995")],
        *[("c.csv", "0", "int 7"), ("c.csv", "2", "int 8"), ("d.csv", "0", "int 9")],
        *[("f.parquet", "0", "int 9007199254740993"), ("f.parquet", "2", "int 5")],
    ]
    failed = {(one["file"], one.get("row")): one["reason"] for one in job.failed_items()}
    assert failed.keys() == {("e.csv", None), ("b.csv", 1), ("c.csv", 1), ("f.parquet", 1)}
    assert "Incompatible input types for column n" in failed["b.csv", 1]
    assert "seven" in failed["c.csv", 1]
    assert "Integer column has NA values" in failed["e.csv", None]
    assert job.report()["rows"] == {"read": 14, "written": 9, "failed": 3}
    assert "2 rows" in job.report()["rows_explanation"]


def test_a_file_that_cannot_be_read_fails_where_a_table_of_no_rows_is_left_of_it(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("long", "a"), ColSpec("long", "b")]))
    (case.input / "good.csv").write_text("a,b\n1,2\n")
    (case.input / "broken.csv").write_text('a,"b\n')

    job = case.run(10)

    assert [(one["file"], one.get("row")) for one in job.failed_items()] == [("broken.csv", None)]
    assert "EOF inside string" in job.failed_items()[0]["reason"]
    assert len(job.rows()) == 1


def test_a_model_with_one_answer_for_a_file_does_not_get_rows_of_one_that_failed(tmp_path):
    case = Case(tmp_path, Schema([ColSpec("long", "a")]), code=ONE_ANSWER)
    (case.input / "a.csv").write_text("a\n1\n3\n")
    (case.input / "b.csv").write_text('a\n1\n""\n3\n5\n')

    job = case.run(10)

    assert [(row["row"], row["prediction"], row["file"]) for row in job.rows()] == [("", "2", "a.csv")]
    assert [(one["file"], one.get("row")) for one in job.failed_items()] == [("b.csv", None)]
    assert "Integer column has NA values" in job.failed_items()[0]["reason"]


def test_what_is_no_table_has_no_rows_to_tell_apart(tmp_path):
    case = Case(
        tmp_path, code=TELLING.replace("model_input.dtypes", "[]").replace("range(model_input.shape[1])", "[]")
    )
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(case.input / "a.png")
    job = case.run(10, on_error="isolate")
    assert (job.state.status, job.state.progress.items_succeeded) == ("Completed", 1), job.failed_items()
