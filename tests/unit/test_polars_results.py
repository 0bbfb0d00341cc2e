"""What a script or model returns as a table or column of polars."""

import json

import pyarrow as pa
import pytest
from received import read_reply

from batch_endpoints.scoring import host
from batch_endpoints.scoring.host_index import Given
from batch_endpoints.scoring.mlflow_predictions import framed

pl = pytest.importorskip("polars")


def sent(result, items=("a", "b")):
    header, payload = host._reply(result, Given(len(items), items), None)
    return read_reply(header, payload, items)


def test_a_table_arrives_as_rows_with_its_types():
    frame = pl.DataFrame(
        {"n": [9007199254740993, None], "t": ["x", None], "c": pl.Series(["u", "v"], dtype=pl.Categorical)}
    )

    table = sent(frame).table

    assert table.to_pydict() == {"n": [9007199254740993, None], "t": ["x", None], "c": ["u", "v"]}
    assert table.schema.field("n").type == pa.int64()


def test_a_series_is_one_value_for_each_file():
    assert sent(pl.Series([1, None])).table.to_pydict() == {"prediction": [1, None], "file": ["a", "b"]}
    assert sent(pl.Series(["x", None])).table.to_pydict() == {"prediction": ["x", None], "file": ["a", "b"]}


def test_a_column_of_files_names_them():
    scored = sent(pl.DataFrame({"of": ["b.png"], "p": [1]}), ["a.png", "b.png"])

    assert list(scored.failed) == ["a.png"]


@pytest.mark.parametrize(
    "make", [lambda: pl.DataFrame({"n": range(5000)}), lambda: pl.Series(range(5000))], ids=["frame", "series"]
)
def test_one_of_many_values_comes_with_all_of_them(make):
    found = json.loads(sent([make(), "text"]).table["prediction"][0].as_py())

    assert [one["n"] if isinstance(one, dict) else one for one in found] == [*range(5000)]


def test_predictions_keep_their_values():
    assert framed(pl.DataFrame({"n": [9007199254740993, None]}))["n"].tolist() == [9007199254740993, None]
