"""``output_format: azureml``: the bytes that Azure ML would write, compared with those of pandas itself."""

import json

import mlflow
import pandas as pd
import pytest
from job_folders import Job

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

AZURE = {"output_format": "azureml"}
FRAME = """
import datetime, decimal
import numpy as np
import pandas as pd

def frame(n):
    return pd.DataFrame({
        "float": [0.1 + n, 1e-300, float("nan")],
        "float32": np.array([0.1, 1 / 3, 16777216.0], "float32"),
        "int": [n, -1, 2**53 + 1],
        "nullable": pd.array([1, None, 3], "Int64"),
        "bool": [True, False, None],
        "text": ["plain", 'says "ja", und', None],
        "lines": ["a b", "two\\nlines", "ü 語 \\t"],
        "nested": [[1, "x"], {"a": None}, (1.5,)],
        "mixed": [1, "one", 1.0],
        "empty": ["", " ", "NA"],
        "date": pd.to_datetime(["2024-01-02", "2024-01-03", None]),
        "when": [datetime.date(2024, 2, 29), decimal.Decimal("1.10"), b"x"],
        "kind": pd.Categorical(["b", "a", "b"]),
    }, index=[7, 8, 9]).set_axis([*"abcdefghijkl", "a"], axis="columns")  # a name twice
"""
exec(FRAME)  # frame(), as the scripts have it


def test_a_data_frame_is_what_to_csv_makes_of_it_without_header_and_index(tmp_path):
    script = FRAME + "def run(mini_batch):\n    return frame(int(mini_batch[0][-7:-4]))\n"
    job = Job(tmp_path, script, files=3, settings=AZURE)

    state = job.run()

    assert state.status == "Completed", state.error
    expected = "".join(frame(n).to_csv(sep=" ", header=False, index=False) for n in range(3))  # noqa: F821
    assert (job.output / "predictions.csv").read_bytes() == expected.encode()
    assert state.progress.rows == 9


LIST = """
import enum
import numpy as np
from decimal import Decimal

class Colour(enum.Enum):
    RED = 1

VALUES = [1, 0.1, 1e22, True, None, "text", 'a "quoted" one', "ü 語", "", float("nan"), [1, "x", None, ("y",)],
          {"a": 0.5, 1: [True]}, np.float32(0.1), np.float64(0.1), np.array([[1, 2], [3, 4]]), np.int64(3),
          Decimal("1.10"), Colour.RED, b"x", "two\\nlines", {1}, 2**70]
"""


def test_each_element_of_a_list_is_a_line_of_what_str_makes_of_it(tmp_path):
    job = Job(tmp_path, LIST + "def run(mini_batch):\n    return VALUES\n", files=2, settings=AZURE)

    state = job.run()

    assert state.status == "Completed", state.error
    scope = {}
    exec(LIST, scope)
    expected = "".join(str(value) + "\n" for value in scope["VALUES"] * 2)
    assert (job.output / "predictions.csv").read_bytes() == expected.encode()
    assert state.progress.rows == 2 * len(scope["VALUES"])


@pytest.mark.parametrize(
    ("returned", "lines"),
    [
        ("tuple(mini_batch_names)", "000.txt\n001.txt\n"),
        ("np.array([0.5, 1.0])", "0.5\n1.0\n"),
        ("np.array([[1, 2], [3, 4]])", "[1 2]\n[3 4]\n"),
        ("pd.Series(['x', 'y'])", "x\ny\n"),
        ("[{'file': name} for name in mini_batch_names]", "{'file': '000.txt'}\n{'file': '001.txt'}\n"),
        ("[['000.txt', 'cat'], ['001.txt', 'dog']]", "['000.txt', 'cat']\n['001.txt', 'dog']\n"),
    ],
)
def test_any_list_is_laid_out_by_its_elements(tmp_path, returned, lines):
    script = f"""
        import os
        import numpy as np, pandas as pd
        def run(mini_batch):
            mini_batch_names = [os.path.basename(file) for file in mini_batch]
            return {returned}
    """
    job = Job(tmp_path, script, files=2, settings=AZURE | {"mini_batch_size": 2})

    assert job.run().status == "Completed"
    assert (job.output / "predictions.csv").read_text() == lines


def test_the_settings_file_beside_the_script_says_how_data_frames_are_written(tmp_path):
    script = FRAME + "def run(mini_batch):\n    return frame(0)\n"
    job = Job(tmp_path, script, files=1, settings=AZURE)
    options = {"sep": ",", "index": True, "na_rep": "null"}
    (job.code / "parallel_run_step.settings.json").write_text(
        json.dumps({"append_row": {"pandas.DataFrame.to_csv": options}})
    )

    assert job.run().status == "Completed"
    expected = frame(0).to_csv(header=False, **options)  # noqa: F821
    assert (job.output / "predictions.csv").read_bytes() == expected.encode()


@pytest.mark.parametrize("content", ["{", '{"append_row": []}', '{"append_row": {"pandas.DataFrame.to_csv": 1}}'])
def test_a_settings_file_that_says_nothing_fails_the_job_by_its_name(tmp_path, content):
    job = Job(tmp_path, settings=AZURE)
    (job.code / "parallel_run_step.settings.json").write_text(content)

    assert "parallel_run_step.settings.json is not" in job.run().error.message


def test_a_settings_file_means_nothing_to_other_formats(tmp_path):
    job = Job(tmp_path, files=1)
    (job.code / "parallel_run_step.settings.json").write_text("{")
    assert job.run().status == "Completed"
    assert job.rows() == [{"prediction": "000.txt", "file": "000.txt"}]


def test_files_without_a_result_are_failed_items_in_this_layout_too(tmp_path):
    script = """
        import os, pandas as pd
        def run(mini_batch):
            names = [os.path.basename(file) for file in mini_batch]
            if "003.txt" in names:
                raise ValueError("odd")
            return pd.DataFrame({"file": names, "p": 1}).iloc[:1 if "000.txt" in names else None]
    """
    job = Job(tmp_path, script, files=6, settings=AZURE | {"mini_batch_size": 2})

    assert job.run().status == "Completed"
    assert (job.output / "predictions.csv").read_text() == "000.txt 1\n004.txt 1\n005.txt 1\n"
    assert [item["file"] for item in job.failed_items()] == ["001.txt", "002.txt", "003.txt"]


def test_a_script_that_takes_tables_writes_what_it_returns(tmp_path):
    script = (
        "import pandas as pd\ndef run(rows: pd.DataFrame):\n    return rows.assign(p=rows['a'] / 2)[['t', 'p']]\n"
    )
    job = Job(tmp_path, script, files=0, settings=AZURE | {"mini_batch_size": "2 rows"})
    (job.input / "a.csv").write_text("a,t\n1,x y\n2,z\n3,\n")

    assert job.run().status == "Completed"
    assert (job.output / "predictions.csv").read_text() == '"x y" 0.5\nz 1.0\n 1.5\n'


MODEL = """
import mlflow.pyfunc
import pandas as pd


class Shapes(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        a = model_input["a"]
        if (a < 0).any():
            raise ValueError("bad")
        if (a < 5).any():
            return pd.DataFrame({"x": a + 0.5, "label": ["a,b", None][: len(a)]})
        return pd.DataFrame({"x": [[n, n + 1] for n in a.tolist()], "label": "z"})


mlflow.models.set_model(Shapes())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("registered")
    (place / "shapes.py").write_text(MODEL)
    mlflow.pyfunc.save_model(place / "model", python_model=place / "shapes.py", pip_requirements=[])
    return {"model": {"name": "m", "version": "1", "path": (place / "model").as_uri()}, "code_configuration": None}


@pytest.mark.parametrize("size", [1, "10 rows"])
def test_predictions_of_a_model_without_a_script_stand_between_row_and_file(tmp_path, model, size):
    settings = AZURE | {"mini_batch_size": size, "retry_settings": {"max_retries": 0, "timeout": 60}}
    job = Job(tmp_path, files=0, deployment=model | {"settings": settings})
    (job.input / "heart-0.csv").write_text("a\n1\n2\n")
    (job.input / "heart-1.csv").write_text("a\n-1\n")
    (job.input / "heart-2.csv").write_text("a\n5\n6\n")

    state = job.run()

    assert state.status == "Completed", state.error
    assert (job.output / "predictions.csv").read_text() == (
        '0,1.5,"a,b",heart-0.csv\n1,2.5,,heart-0.csv\n0,"[5, 6]",z,heart-2.csv\n1,"[6, 7]",z,heart-2.csv\n'
    )
    # as the heart notebook reads it
    found = pd.read_csv(job.output / "predictions.csv", names=["row", "x", "label", "file"], nrows=2)
    assert found["row"].tolist() == [0, 1]
    assert [item["file"] for item in job.failed_items()] == ["heart-1.csv"]


@pytest.mark.parametrize(
    ("wanted", "name", "begin"),
    [("jsonl", "predictions.jsonl", b'{"prediction"'), ("parquet", "predictions.parquet", b"PAR1"), ("csv", "", b"")],
)
def test_another_format_gives_the_default_name_its_ending(tmp_path, wanted, name, begin):
    job = Job(tmp_path, files=1, settings={"output_format": wanted})
    assert job.run().status == "Completed"
    assert (job.output / (name or "predictions.csv")).read_bytes().startswith(begin)
