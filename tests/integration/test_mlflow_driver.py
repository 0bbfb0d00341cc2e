"""MLflow models without a scoring script, in real host processes: what a prediction looks like for each file."""

import os
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from PIL import Image
from received import read_reply
from sklearn.linear_model import LinearRegression

from batch_endpoints.errors import InitFailed
from batch_endpoints.scoring import host, mlflow_driver
from batch_endpoints.scoring.worker import ScoringContract, ScoringWorker

# MLflow recommends type hints and input examples
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

FEATURES = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})

# a model that answers in the shape that its environment variable names; its class lives in a file of its own
SHAPES = """
import os

import mlflow.pyfunc
import numpy as np
import pandas as pd


class Shapes(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        shape, n = os.environ["SHAPE"], len(model_input)
        if shape == "fails":
            raise RuntimeError("the model broke")
        if shape == "describe":
            first = model_input.iloc[0, 0] if isinstance(model_input, pd.DataFrame) else model_input[0]
            return [f"{type(model_input).__name__} {getattr(model_input, 'shape', '')} "
                    f"{getattr(model_input, 'dtype', '')} {type(first).__name__} {len(first)}"]
        return {
            "frame": lambda: pd.DataFrame({"label": ["x"] * n, "score": [0.5] * n}, index=range(7, 7 + n)),
            "numbered": lambda: pd.DataFrame(np.ones((n, 2))),
            "series": lambda: pd.Series([1.5] * n, name="chance"),
            "list": lambda: ["x"] * n,
            "dicts": lambda: [{"label": "x", "score": 1}] * n,
            "ragged": lambda: [[1, 2][: 1 + at % 2] for at in range(n)],
            "vector": lambda: np.arange(n),
            "column": lambda: np.ones((n, 1)),
            "matrix": lambda: np.ones((n, 2)),
            "cube": lambda: np.ones((n, 2, 2)),
            "dict": lambda: {"label": ["x"] * n, "score": np.zeros(n)},
            "scalars": lambda: {"label": "xy", "score": 1},
            "text": lambda: "one text",
            "row": lambda: pd.DataFrame({"row": [1] * n, "file": ["own"] * n}),
        }[shape]()


mlflow.models.set_model(Shapes())
"""


class Host:
    """A worker whose host process has loaded one model."""

    def __init__(self, model, scratch):
        self._worker = ScoringWorker(
            ScoringContract(
                interpreter=sys.executable,
                code=None,
                script="",
                model_folder=model.parent,
                output_folder=scratch / "output",
                scratch=scratch,
                log=scratch / "log.txt",
                environment_variables={},
                timeout_seconds=60,
                max_retries=0,
            )
        )
        self.close = self._worker.close

    def score(self, folder, *names):
        return self._worker.score([str(folder / name) for name in names], names)[0]


class InProcess:
    """The same calls without a process: loading MLflow takes seconds, and the shapes of data do not need it."""

    def __init__(self, model):
        self._model = mlflow.pyfunc.load_model(model)

    def score(self, folder, *names):
        mlflow_driver._model = self._model
        results = mlflow_driver.run_items([str(folder / name) for name in names])
        header, payload = host._items(results, "")
        return read_reply(header, payload, names)


SIGNATURES = {
    "columns": ModelSignature(Schema([ColSpec("double", "a"), ColSpec("double", "b")])),
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 2))])),
    "none": None,
}


@pytest.fixture(scope="module")
def regressions(tmp_path_factory):
    """One regression with each signature."""
    folders = {name: tmp_path_factory.mktemp(name) / "model" for name in SIGNATURES}
    model = LinearRegression().fit(FEATURES.to_numpy(), [10.0, 21.0, 30.0])
    for name, target in folders.items():
        mlflow.sklearn.save_model(
            model, target, signature=SIGNATURES[name], serialization_format="cloudpickle", pip_requirements=[]
        )
    return folders


@pytest.fixture(scope="module")
def regression(regressions, tmp_path_factory):
    """A host process with the regression that asks for columns."""
    one = Host(regressions["columns"], tmp_path_factory.mktemp("scratch"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Makes models that answer in a shape."""
    place = tmp_path_factory.mktemp("shapes")
    (place / "shapes.py").write_text(SHAPES)
    made = {}

    def of(shape, signature=None, kind="none"):
        if kind not in made:
            mlflow.pyfunc.save_model(
                place / kind, python_model=str(place / "shapes.py"), signature=signature, pip_requirements=[]
            )
            made[kind] = InProcess(place / kind)
        os.environ["SHAPE"] = shape
        return made[kind]

    yield of
    os.environ.pop("SHAPE", None)


def only_reason(scored):
    (why,) = scored.failed.values()
    return why.headline


def test_each_row_of_a_csv_becomes_a_row_with_its_position_and_its_file(regression, tmp_path):
    FEATURES.to_csv(tmp_path / "a.csv", index=False)
    FEATURES[:1].to_csv(tmp_path / "b.csv", index=False)

    scored = regression.score(tmp_path, "a.csv", "b.csv")

    assert scored.failed == {}
    assert scored.table.column_names == ["row", "prediction", "file"]
    assert scored.table["row"].to_pylist() == [0, 1, 2, 0]
    assert np.allclose(scored.table["prediction"].to_pylist(), [10, 21, 30, 10])
    assert scored.table["file"].to_pylist() == ["a.csv"] * 3 + ["b.csv"]
    assert scored.rows_read == {"a.csv": 3, "b.csv": 1}


def test_rows_that_a_model_cannot_take_were_read_all_the_same(regression, tmp_path):
    FEATURES.drop(columns="b").to_csv(tmp_path / "lacks.csv", index=False)
    (tmp_path / "bad.csv").write_text('a,b\n1,2\n"3')

    scored = regression.score(tmp_path, "lacks.csv", "bad.csv")

    assert set(scored.failed) == {"lacks.csv", "bad.csv"}
    assert scored.rows_read == {"lacks.csv": 3}


@pytest.mark.parametrize(("signature", "header"), [("none", True), ("tensor", True), ("tensor", False)])
def test_a_csv_feeds_a_model_that_names_no_columns(regressions, tmp_path, signature, header):
    FEATURES.to_csv(tmp_path / "a.csv", index=False, header=header)

    assert np.allclose(
        InProcess(regressions[signature]).score(tmp_path, "a.csv").table["prediction"].to_pylist(), [10, 21, 30]
    )


@pytest.mark.parametrize("name", ["a.parquet", "a.pqt", "A.PARQUET"])
def test_parquet_is_read_as_a_table(regression, tmp_path, name):
    FEATURES.to_parquet(tmp_path / name)

    assert np.allclose(regression.score(tmp_path, name).table["prediction"].to_pylist(), [10, 21, 30])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bad.csv", b'a,b\n1,2\n"3', "ParserError"),
        ("bad.csv", b"a,b\n1,2\nx,y\n", "ValueError"),
        ("bad.csv", b"", "EmptyDataError"),
        ("bad.csv", b"c,d\n1,2\n", "MlflowException: Model is missing inputs ['a', 'b']"),
        ("bad.csv", bytes(range(256)), "Error"),
        ("bad.parquet", b"PAR1 and nothing more", "Parquet"),
        ("bad.png", b"no image", "the model's signature asks for columns ['a', 'b']; an image has none"),
        ("notes.txt", b"hello", "File type '.txt' is not supported without a scoring script; supported are .csv"),
        ("noext", b"hello", "File type '' is not supported"),
        ("missing.csv", None, "No such file"),
    ],
    ids=[
        "unclosed quote",
        "text for numbers",
        "empty",
        "columns",
        "binary",
        "parquet",
        "image",
        "type",
        "no type",
        "gone",
    ],
)
def test_a_bad_file_among_good_ones_fails_alone_and_says_why(regression, tmp_path, name, content, reason):
    FEATURES.to_csv(tmp_path / "a.csv", index=False)
    FEATURES.to_csv(tmp_path / "z.csv", index=False)
    if content is not None:
        (tmp_path / name).write_bytes(content)

    scored = regression.score(tmp_path, "a.csv", name, "z.csv")

    assert list(scored.failed) == [name]
    assert reason in only_reason(scored)
    assert scored.table["file"].to_pylist() == ["a.csv"] * 3 + ["z.csv"] * 3


@pytest.mark.parametrize(
    ("shape", "columns"),
    [
        ("frame", {"label": ["x", "x"], "score": [0.5, 0.5]}),
        ("numbered", {"prediction_0": [1.0, 1.0], "prediction_1": [1.0, 1.0]}),
        ("series", {"chance": [1.5, 1.5]}),
        ("list", {"prediction": ["x", "x"]}),
        ("dicts", {"label": ["x", "x"], "score": [1, 1]}),
        ("ragged", {"prediction": [[1], [1, 2]]}),
        ("vector", {"prediction": [0, 1]}),
        ("column", {"prediction": [1.0, 1.0]}),
        ("matrix", {"prediction_0": [1.0, 1.0], "prediction_1": [1.0, 1.0]}),
        ("cube", {"prediction": [[[1.0, 1.0], [1.0, 1.0]]] * 2}),
        ("dict", {"label": ["x", "x"], "score": [0.0, 0.0]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_prediction_of_any_shape_becomes_rows(shapes, tmp_path, shape, columns):
    FEATURES[:2].to_csv(tmp_path / "a.csv", index=False)

    scored = shapes(shape).score(tmp_path, "a.csv")

    assert scored.failed == {}, only_reason(scored)
    assert scored.table.to_pydict() == {"row": [0, 1], **columns, "file": ["a.csv", "a.csv"]}


@pytest.mark.parametrize(
    ("shape", "columns"),
    [("scalars", {"label": ["xy"], "score": [1]}), ("text", {"prediction": ["one text"]})],
)
def test_a_single_answer_for_a_file_is_one_row(shapes, tmp_path, shape, columns):
    FEATURES.to_csv(tmp_path / "a.csv", index=False)

    assert shapes(shape).score(tmp_path, "a.csv").table.to_pydict() == {"row": [None], **columns, "file": ["a.csv"]}


def test_columns_of_the_model_keep_their_names_and_ours_step_aside(shapes, tmp_path):
    FEATURES[:1].to_csv(tmp_path / "a.csv", index=False)

    table = shapes("row").score(tmp_path, "a.csv").table

    assert table.to_pydict() == {"_row": [0], "row": [1], "file": ["own"], "_file": ["a.csv"]}


def test_a_model_that_raises_fails_its_file_with_the_models_message(shapes, tmp_path):
    FEATURES.to_csv(tmp_path / "a.csv", index=False)

    assert only_reason(shapes("fails").score(tmp_path, "a.csv")) == "RuntimeError: the model broke"


IMAGES = {
    "none": (None, "ndarray (1, 4, 6, 3) uint8 ndarray 4"),
    "tensor": (
        ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 4, 6, 3))])),
        "ndarray (1, 4, 6, 3) float32 ",
    ),
    "object": (ModelSignature(Schema([TensorSpec(np.dtype("O"), (-1,))])), "ndarray (1,) object ndarray 4"),
    "binary": (ModelSignature(Schema([ColSpec("binary", "image")])), "DataFrame (1, 1)  bytes "),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_arrives_as_the_signature_asks(shapes, tmp_path, kind):
    signature, told = IMAGES[kind]
    Image.fromarray(np.full((4, 6, 3), 7, dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((4, 6, 3), 7, dtype=np.uint8)).save(tmp_path / "b.JPG", format="JPEG")

    scored = shapes("describe", signature, kind).score(tmp_path, "a.png", "b.JPG")

    assert scored.failed == {}, only_reason(scored)
    assert all(text.startswith(told) for text in scored.table["prediction"].to_pylist()), scored.table
    assert scored.table["file"].to_pylist() == ["a.png", "b.JPG"]


def test_a_folder_without_a_model_is_refused_when_the_host_starts(tmp_path):
    (tmp_path / "registered" / "model").mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    one = Host(tmp_path / "registered" / "model", tmp_path / "scratch")
    try:
        with pytest.raises(InitFailed, match="there is no file MLmodel in it"):
            one.score(tmp_path, "a.csv")
    finally:
        one.close()
