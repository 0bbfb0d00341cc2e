"""Numbers from the input to the output, whole: whatever the cut, the source and the format."""

import json

import mlflow
import pyarrow as pa
import pyarrow.parquet
import pytest
from job_folders import Job

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

BIG, HUGE = 9007199254740993, 1234567890123456789  # no double holds either
MODEL = """
import mlflow.pyfunc


class Ids(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        there = zip(model_input["id"], model_input["id"].isna())
        return ["" if missing else str(int(value)) for value, missing in there]


mlflow.models.set_model(Ids())
"""
TABLES = """
import pandas as pd
def run(mini_batch: pd.DataFrame):
    return [1] * len(mini_batch)
"""
# one id for each row of each file, as a script has them that reads its files with pandas
READS = """
import pandas as pd
def run(mini_batch):
    return pd.concat([pd.read_csv(path) for path in mini_batch])
"""


@pytest.mark.parametrize("size", [None, 10, "1 rows"])
def test_a_row_that_has_its_number_does_not_fail_for_the_gap_of_another_one(tmp_path, size):
    (tmp_path / "model.py").write_text(MODEL)
    mlflow.pyfunc.save_model(
        tmp_path / "registered" / "model", python_model=str(tmp_path / "model.py"), pip_requirements=[]
    )
    model = {"name": "m", "version": "1", "path": (tmp_path / "registered" / "model").as_uri()}
    settings = {"mini_batch_size": size, "retry_settings": {"max_retries": 0, "timeout": 60}}
    deployment = {"model": model, "code_configuration": None, "settings": settings}
    job = Job(tmp_path, files=0, deployment=deployment)
    (job.input / "a.csv").write_text(f"id,x\n{BIG},1\n,2\n{BIG + 2},3\n")
    pyarrow.parquet.write_table(pa.table({"id": [BIG, None, 5], "x": [1, 2, 3]}), job.input / "b.parquet")
    assert job.run().status == "Completed", job.report()["error"]
    assert job.failed_items() == []
    assert [row["prediction"] for row in job.rows()] == [str(BIG), "", str(BIG + 2), str(BIG), "", "5"]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("size", ["1 rows", "1MB"])
@pytest.mark.parametrize("source", ["csv", "jsonl", "parquet"])
def test_ids_of_one_file_stay_whole_where_another_one_misses_some(tmp_path, source, size, format):
    settings = {"mini_batch_size": size, "output_columns": ["id"], "output_format": format}
    job = Job(tmp_path, TABLES, files=0, settings=settings)
    write(job.input, source, "a", [BIG, HUGE])
    write(job.input, source, "b", [3.0, None])
    assert job.run().status == "Completed", job.report()["error"]
    assert ids(job, format) == [BIG, HUGE, 3, None]
    assert job.report()["columns"]["id"] == "int64"


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_ids_that_a_script_returns_stay_whole_where_another_mini_batch_misses_some(tmp_path, format):
    job = Job(tmp_path, READS, files=0, settings={"output_format": format})
    write(job.input, "csv", "a", [BIG, HUGE])
    write(job.input, "csv", "b", [3, None])
    assert job.run().status == "Completed", job.report()["error"]
    assert ids(job, format) == [BIG, HUGE, 3, None]
    assert job.report()["columns"]["id"] == "int64"


def write(folder, source, name, values):
    if source == "csv":
        lines = ["id,x", *(f"{'' if value is None else value},1" for value in values)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    elif source == "jsonl":
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"id": value, "x": 1}) + "\n" for value in values))
    else:
        pyarrow.parquet.write_table(pa.table({"id": values, "x": [1] * len(values)}), folder / f"{name}.parquet")


def ids(job, format):
    place = job.output / f"predictions.{format}"
    if format == "csv":
        return [int(row["id"]) if row["id"] else None for row in job.rows()]
    if format == "jsonl":
        return [json.loads(line)["id"] for line in place.read_text().splitlines()]
    return pyarrow.parquet.read_table(place)["id"].to_pylist()
