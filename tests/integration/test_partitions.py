"""Jobs whose mini-batches are cut within files, end to end."""

import json

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from job_folders import Job
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ROWS = 3000
SUM = """
import pandas as pd

def run(mini_batch: pd.DataFrame):
    assert isinstance(mini_batch, pd.DataFrame), type(mini_batch)
    return (mini_batch["a"] + mini_batch["b"]).tolist()
"""
SUM_MODEL = """
import mlflow.pyfunc


class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return (model_input["a"] + model_input["b"]).to_numpy()


mlflow.models.set_model(Sum())
"""
SIGNATURE = ModelSignature(Schema([ColSpec("long", "a"), ColSpec("double", "b")]), Schema([ColSpec("double")]))


def frame(rows=ROWS):
    return pd.DataFrame(
        {
            "id": [f"0{n}" for n in range(rows)],
            "a": range(rows),
            "b": [n / 2 for n in range(rows)],
            "text": [f'{n} says "ja",\nand ü' for n in range(rows)],
        }
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """An MLflow model with a signature of two of the columns."""
    place = tmp_path_factory.mktemp("registered")
    (place / "sum.py").write_text(SUM_MODEL)
    mlflow.pyfunc.save_model(place / "model", python_model=place / "sum.py", signature=SIGNATURE)
    return place / "model"


def no_code(model):
    return {"model": {"name": "m", "version": "1", "path": model.as_uri()}, "code_configuration": None}


def settings(size, **more):
    return {"mini_batch_size": size, "retry_settings": {"max_retries": 0, "timeout": 60}, **more}


@pytest.mark.parametrize("size", ["20KB", "100 rows"])
def test_a_script_gets_data_frames_and_every_row_has_its_result(tmp_path, size):
    job = Job(tmp_path, SUM, files=0, settings=settings(size, output_columns=["id"]))
    frame().to_csv(job.input / "a.csv", index=False)
    frame(7).to_csv(job.input / "b.csv", index=False)

    state = job.run()

    assert state.status == "Completed", state.error
    found = pd.read_csv(job.output / "predictions.csv", dtype={"id": str})
    assert list(found.columns) == ["row", "prediction", "id", "file"]
    assert found["row"].tolist() == [*range(ROWS), *range(7)]
    assert found["file"].tolist() == ["a.csv"] * ROWS + ["b.csv"] * 7
    assert found["prediction"].tolist() == [n * 1.5 for n in [*range(ROWS), *range(7)]]
    assert state.progress.mini_batches >= 5
    assert state.progress.items_succeeded == state.progress.items >= state.progress.mini_batches


def test_a_model_without_a_script_gets_parts_of_files(tmp_path, model):
    """The columns of its signature, however the file holds them; the others stay where they are."""
    names = ["a.csv", "b.parquet", "c.jsonl", "d.arrow", "e.csv.gz", "f.csv"]
    job = Job(tmp_path, files=0, deployment=no_code(model) | {"settings": settings("20KB", output_columns=["id"])})
    for name in names:
        write(frame(), job.input / name)

    state = job.run()

    assert state.status == "Completed", state.error
    found = pd.read_csv(job.output / "predictions.csv", dtype={"id": str})
    assert list(found.columns) == ["row", "prediction", "id", "file"]
    assert found["file"].tolist() == [name for name in names for _ in range(ROWS)]
    assert found["row"].tolist() == [*range(ROWS)] * len(names)
    assert found["prediction"].tolist() == [n * 1.5 for n in range(ROWS)] * len(names)
    assert found["id"].tolist() == [f"0{n}" for n in range(ROWS)] * len(names)
    items = [items for bundle in job.job_folder.plan().bundles for items in bundle.mini_batches]
    assert all(sum(name in batch for batch in items) > 1 for name in names if name != "e.csv.gz")


def test_rows_that_fail_take_only_their_own_part_along(tmp_path, model):
    job = Job(tmp_path, files=0, deployment=no_code(model) | {"settings": settings("10 rows", on_error="fail")})
    good = "a,b\n" + "1,2\n" * 25
    (job.input / "a.csv").write_text(good + "1,2,3\n" + "1,2\n" * 24)
    (job.input / "b.csv").write_text(good)
    (job.input / "c.csv").write_text("a,b\n")
    (job.input / "d.csv").write_text("")
    (job.input / "e.csv").write_text("a,c\n1,2\n")
    (job.input / "f.txt").write_text(good)

    state = job.run()

    assert state.status == "Completed", state.error
    failed = {(one["file"], one.get("first_row"), one.get("rows")): one["reason"] for one in job.failed_items()}
    assert "Expected 2 columns, got 3" in failed.pop(("a.csv", 20, 10))
    assert "it has no header" in failed.pop(("d.csv", None, None))
    assert "missing inputs ['b']" in failed.pop(("e.csv", 0, 1))
    assert "'f.txt' is no table" in failed.pop(("f.txt", None, None))
    assert not failed
    found = [(row["file"], int(row["row"])) for row in job.rows()]
    assert found == [("a.csv", n) for n in range(50) if not 20 <= n < 30] + [("b.csv", n) for n in range(25)]
    progress = state.progress
    assert (progress.items, progress.items_succeeded, progress.items_failed) == (
        12,
        8,
        4,
    )  # a: 5, b: 3, the others: 1


def test_rows_that_cannot_be_read_fail_alone(tmp_path, model):
    kept = settings("10 rows", keep_failed_inputs=True, output_columns=["id"])
    job = Job(tmp_path, files=0, deployment=no_code(model) | {"settings": kept})
    lines = [f"{n},2,i{n}" for n in range(30)]
    lines[4], lines[25], lines[26] = "x,2,i4", "1,2,i25,3", '1,"'
    (job.input / "a.csv").write_text("\n".join(["a,b,id", *lines[:26]]))
    (job.input / "b.csv").write_text("a,b,id\n" + lines[26])
    records = [{"a": 1, "b": 2, "id": 5}, {"a": "x", "b": 2, "id": 6}, {"a": 7, "b": 0.5, "id": "seven"}]
    (job.input / "c.jsonl").write_text("\n".join(map(json.dumps, records)))

    state = job.run()

    assert state.status == "Completed", state.error
    assert [(row["file"], row["row"], row["id"]) for row in job.rows()] == [
        *[("a.csv", str(n), f"i{n}") for n in range(25) if n != 4],
        *[("c.jsonl", "0", "5"), ("c.jsonl", "2", "seven")],
    ]
    failed = job.failed_items()
    assert [(one["file"], one.get("row"), one.get("input")) for one in failed] == [
        ("a.csv", 4, {"text": "x,2,i4"}),
        ("b.csv", None, None),
        ("a.csv", 25, {"text": "1,2,i25,3"}),
        ("c.jsonl", 1, {"text": json.dumps(records[1])}),
    ]
    assert (
        "the row cannot be read: In CSV column #0: CSV conversion error to int64: invalid value 'x'"
        in failed[0]["reason"]
    )
    assert failed[1]["reason"].startswith("'b.csv' cannot be read: nothing closes a quote")
    progress = state.progress
    assert (progress.items_succeeded, progress.items_failed, progress.rows_failed) == (4, 1, 3)


FILES = """
import pandas as pd

def run(mini_batch: pd.DataFrame):
    return [f"{type(value).__name__} {value}" for value in mini_batch["v"]]
"""


def test_files_of_one_mini_batch_have_types_that_hold_what_all_of_them_have(tmp_path):
    job = Job(tmp_path, FILES, files=0, settings=settings(10))
    for name, text in {"a": "v\n007\n", "b": "v\nx\n", "c": 'v\n""\n'}.items():
        (job.input / f"{name}.csv").write_text(text)

    state = job.run()

    assert state.status == "Completed", state.error
    assert [row["prediction"] for row in job.rows()] == ["str 007", "str x", "float nan"]


@pytest.mark.parametrize("annotation", ["", ": list[str]"])
def test_a_script_that_takes_paths_cannot_have_parts_of_files(tmp_path, annotation):
    job = Job(tmp_path, f"def run(mini_batch{annotation}): return mini_batch", files=0, settings=settings("9 rows"))
    (job.input / "a.csv").write_text("a\n1\n")

    state = job.run()

    assert (state.status, state.error.code) == ("Failed", "InitFailed")
    assert "mini_batch_size '9 rows' cuts within files" in state.error.message
    assert "mini_batch_format" in state.error.details


FORMATS = """
import json
{imports}

def run(rows{annotation}):
    return [json.dumps([type(rows).__module__.split(".")[0], type(rows).__name__, {value}])] * 2
"""


@pytest.mark.parametrize(
    ("imports", "annotation", "told", "value", "arrives"),
    [
        ("import pandas as pd", ": pd.DataFrame", None, "list(map(int, rows['a']))", ["pandas", "DataFrame", [1, 2]]),
        ("import pyarrow", ": pyarrow.Table", None, "rows['a'].to_pylist()", ["pyarrow", "Table", [1, 2]]),
        ("", ": 'dict[str, numpy.ndarray]'", None, "rows['a'].tolist()", ["builtins", "dict", [1, 2]]),
        ("", "", "numpy", "rows['a'].tolist()", ["builtins", "dict", [1, 2]]),
    ],
    ids=["pandas", "pyarrow", "numpy, as text", "by the settings"],
)
def test_a_script_gets_what_it_declares_also_of_whole_files(tmp_path, imports, annotation, told, value, arrives):
    script = FORMATS.format(imports=imports, annotation=annotation, value=value)
    job = Job(tmp_path, script, files=0, settings=settings(1) | ({"mini_batch_format": told} if told else {}))
    (job.input / "a.csv").write_text("a\n1\n2\n")

    state = job.run()

    assert state.status == "Completed", state.error
    assert [json.loads(row["prediction"]) for row in job.rows()] == [arrives] * 2


def test_too_few_rows_for_the_rows_given_is_a_failure(tmp_path):
    job = Job(tmp_path, "def run(t: 'pyarrow.Table'): return t.slice(1)", files=0, settings=settings("3 rows"))
    (job.input / "a.csv").write_text("a\n1\n2\n")

    state = job.run()

    assert state.status == "Failed"
    assert "run() returned 1 row for 2 rows of input" in state.error.message


def write(data, path):
    if path.name.endswith((".csv", ".csv.gz")):
        data.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        data.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pandas(data), path, row_group_size=300)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, pa.Schema.from_pandas(data)) as writer:
            writer.write_table(pa.Table.from_pandas(data), max_chunksize=300)
