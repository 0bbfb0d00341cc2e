"""Jobs whose input is an MLTable, end to end."""

import mlflow
import pandas as pd
import pytest
from job_folders import Job

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TABLE = """
$schema: https://azuremlschemas.azureedge.net/latest/MLTable.schema.json
type: mltable
paths:
  - file: ./b.txt
  - pattern: ./more/*.txt
transformations:
  - read_delimited: {delimiter: ";", header: no_header, encoding: utf8}
  - drop_columns: Column2
"""
FILES = {"a.txt": "9;x\n", "b.txt": "1;x\n2;y\n", "more/c.txt": "3;z\n", "more/d.csv": "7;x\n"}
AS_TABLE = """
import pandas as pd
def run(rows: pd.DataFrame):
    assert list(rows.columns) == ["Column1"], rows.columns
    return (rows["Column1"] * 2).tolist()
"""


def mltable_job(place, *arguments, table=TABLE, **more):
    inputs = {"data": {"type": "mltable", "path": (place / "in").as_uri()}}
    job = Job(place, *arguments, files=0, inputs=inputs, **more)
    for name, text in {**FILES, "MLTable": table}.items():
        (job.input / name).parent.mkdir(exist_ok=True)
        (job.input / name).write_text(text)
    return job


@pytest.mark.parametrize("size", [1, 2, "1 rows", "1MB"])
def test_a_script_that_takes_tables_gets_them_as_the_transformations_say(tmp_path, size):
    job = mltable_job(tmp_path, AS_TABLE, settings={"mini_batch_size": size})

    state = job.run()

    assert state.status == "Completed", state.error
    assert state.notes == ()
    rows = [(row["file"], row["row"], row["prediction"]) for row in job.rows()]
    assert rows == [("b.txt", "0", "2"), ("b.txt", "1", "4"), ("more/c.txt", "0", "6")]


def test_a_script_that_takes_paths_gets_those_that_are_listed(tmp_path):
    job = mltable_job(tmp_path)
    assert job.run().status == "Completed"
    assert [row["file"] for row in job.rows()] == ["b.txt", "more/c.txt"]


@pytest.mark.parametrize(
    ("transformations", "noted"),
    [
        pytest.param("[{read_delimited: {delimiter: ';'}}]", True, id="another delimiter"),
        pytest.param("[read_parquet, {keep_columns: [a]}]", True, id="columns"),
        pytest.param(
            "[{read_delimited: {delimiter: ',', support_multi_line: false}}]", False, id="as files are read"
        ),
        pytest.param("[]", False, id="none"),
    ],
)
def test_a_script_that_takes_paths_is_told_that_transformations_are_not_applied(tmp_path, transformations, noted):
    table = f"paths:\n  - file: ./b.txt\ntransformations: {transformations}\n"
    state = mltable_job(tmp_path, table=table).run()
    assert state.status == "Completed", state.error
    assert [note.partition(":")[0] for note in state.notes] == [
        "the transformations of the MLTable are not applied"
    ] * noted


def test_a_list_of_files_needs_no_transformation(tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.txt").write_text("x")
    table = f"paths:\n  - file: a.txt\n  - file: {(tmp_path / 'else' / 'a.txt').as_uri()}\n"
    job = mltable_job(tmp_path, table=table)
    assert job.run().status == "Completed"
    assert [row["file"] for row in job.rows()] == ["else/a.txt", "in/a.txt"]


MODEL = """
import mlflow.pyfunc


class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        assert list(model_input.columns) == ["Column1"], model_input.columns
        return model_input["Column1"].to_numpy() * 2


mlflow.models.set_model(Double())
"""


def test_a_model_without_a_script_gets_tables_also_where_names_do_not_say_that_they_are(tmp_path):
    (tmp_path / "registered").mkdir()
    (tmp_path / "double.py").write_text(MODEL)
    mlflow.pyfunc.save_model(tmp_path / "m" / "model", python_model=tmp_path / "double.py", pip_requirements=[])
    deployment = {
        "model": {"name": "m", "version": "1", "path": (tmp_path / "m" / "model").as_uri()},
        "code_configuration": None,
        "settings": {"mini_batch_size": 10, "retry_settings": {"max_retries": 0, "timeout": 60}},
    }
    job = mltable_job(tmp_path, deployment=deployment)

    state = job.run()

    assert state.status == "Completed", state.error
    found = pd.read_csv(job.output / "predictions.csv")
    assert found["prediction"].tolist() == [2, 4, 6]
    assert found["file"].tolist() == ["b.txt", "b.txt", "more/c.txt"]
