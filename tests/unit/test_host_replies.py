"""What run() returned, as the host sends it and the worker understands it."""

import datetime as dt
import decimal
import enum
import math
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.exceptions import MlflowException
from received import read_reply

from batch_endpoints.scoring import host


def sent(result, items=("a",)):
    """The rows that arrive at the worker when a script returns ``result``."""
    header, payload = host._encode(result)
    return read_reply(header, payload, items).table


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (1, 1),
        (0.1, 0.1),
        ("x", "x"),
        (None, None),
        (True, True),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([[1, 2]]), [[1, 2]]),
        ((1, 2), [1, 2]),
        ([], []),
        (decimal.Decimal("1.10"), "1.10"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (Colour.RED, "Colour.RED"),
        (b"x", "b'x'"),
        ("\udcff", "\\udcff"),
        (pd.Timestamp("2024-01-02"), "2024-01-02 00:00:00"),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value).encode('ascii', 'backslashreplace').decode()}",
)
def test_a_value_of_a_list_arrives_as_what_it_is_or_as_its_text(value, arrives):
    assert sent([value])["prediction"].to_pylist() == [arrives]


def test_not_a_number_stays_not_a_number():
    assert math.isnan(sent([math.nan])["prediction"][0].as_py())


@pytest.mark.parametrize(
    "result",
    [(1, 2), np.array([1, 2]), pd.Series([1, 2], index=[7, 8])],
    ids=["tuple", "ndarray", "Series"],
)
def test_anything_like_a_list_is_a_list(result):
    assert sent(result, ["a", "b"]).to_pydict() == {"prediction": [1, 2], "file": ["a", "b"]}


def test_a_matrix_is_a_row_of_numbers_for_each_file():
    assert sent(np.array([[1, 2], [3, 4]]), ["a", "b"])["prediction"].to_pylist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (None, "run() returned None;"),
        ((n for n in ()), "run() returned a generator;"),
        ("text", "run() returned a str;"),
        (7, "run() returned an int;"),
        ({"a": 1}, "run() returned a dict;"),
        (Colour.RED, "Colour;"),
    ],
    ids=["None", "generator", "str", "int", "dict", "a class of somebody's"],
)
def test_anything_else_is_refused_by_name(result, named):
    with pytest.raises(TypeError, match=r"it must return a list, a tuple or a pandas.DataFrame") as caught:
        host._encode(result)

    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("column", "arrives"),
    [
        (pd.Series([0.1 + 0.2, math.nan]), [0.1 + 0.2, None]),
        (pd.Series(["x", None]), ["x", None]),
        (pd.Series([1, "x"], dtype=object), ["1", "x"]),
        (pd.Series([2**70, None], dtype=object), [str(2**70), None]),
        (pd.Series([[1], [2, 3]]), [[1], [2, 3]]),
        (pd.Categorical(["x", "y"]), ["x", "y"]),
        (pd.Series([1.5, 2], dtype="float16"), [1.5, 2.0]),
        (pd.Series([1 + 2j, 0j]), ["(1+2j)", "0j"]),
        (pd.period_range("2024-01", periods=2, freq="M"), ["2024-01", "2024-02"]),
        (pd.Series([Colour.RED, None], dtype=object), ["Colour.RED", None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
    ],
    ids=[
        "floats",
        "text",
        "mixed",
        "large",
        "lists",
        "categories",
        "halves",
        "complex",
        "periods",
        "objects",
        "nulls",
    ],
)
def test_a_column_of_any_type_arrives(column, arrives):
    assert sent(pd.DataFrame({"x": column}), ["a", "b"])["x"].to_pylist() == arrives


def test_columns_keep_their_order_and_their_names_become_text():
    frame = pd.DataFrame([[1, 2]], columns=[1, ("b", "c")])

    assert sent(frame).column_names == ["1", "('b', 'c')"]


@pytest.mark.parametrize(
    "result",
    [pd.DataFrame([[1, 2]], columns=["x", "x"]), pa.table([[1], [2]], names=["x", "x"])],
    ids=["pandas", "arrow"],
)
def test_a_frame_with_one_name_twice_is_refused(result):
    with pytest.raises(ValueError, match="more than one column 'x'"):
        host._encode(result)


def test_a_frame_crosses_with_all_its_digits_where_there_is_no_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    frame = pd.DataFrame({"p": [0.1 + 0.2, math.nan], "day": pd.to_datetime(["2024-01-02", None]), "n": [1, 2]})
    header, payload = host._encode(frame)
    monkeypatch.undo()

    rows = read_reply(header, payload, ["a", "b"]).table.to_pydict()

    assert payload == b""
    assert rows["p"][0] == 0.1 + 0.2
    assert math.isnan(rows["p"][1])
    assert rows["day"] == ["2024-01-02 00:00:00", "NaT"]
    assert rows["n"] == [1, 2]


def test_results_by_item_carry_rows_and_errors_in_order():
    frames = [pd.DataFrame({"x": [1]}), ValueError("odd"), pd.DataFrame({"x": [2.5, 3]}), FileNotFoundError("gone")]

    header, payload = host._items(zip(frames, [7, 0, None, None], strict=True), "")
    scored = read_reply(header, payload, ["a", "b", "c", "d"])

    assert scored.table.to_pydict() == {"x": [1.0, 2.5, 3.0], "file": ["a", "c", "c"]}
    assert {item: why.may_pass for item, why in scored.failed.items()} == {"b": False, "d": True}
    assert scored.rows_read == {"a": 7, "b": 0}


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RuntimeError("CUDA error: out of memory"), True),
        (OSError("no route to host"), True),
        (MemoryError(), True),
        (ValueError("x is negative"), False),
        (TypeError("no text"), False),
        (KeyError("age"), False),
        (AssertionError("a zero"), False),
        (MlflowException("Failed to enforce schema"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_model_raises_is_tried_again_unless_it_is_about_the_data(error, again):
    header, _ = host._items([(error, None)], "")

    assert header["items"][0]["error"]["again"] is again


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


def test_an_exception_without_a_readable_message_is_told_by_its_class():
    told = host._describe(Unspeakable(), "/code")

    assert (told["class"], told["message"]) == ("Unspeakable", "its message cannot be read")


def test_a_syntax_error_in_text_that_is_no_file_has_the_place_of_its_caller():
    try:
        compile("1 +", "<unknown>", "eval")
    except SyntaxError as error:
        told = host._describe(error, str(__file__).rpartition("/")[0])

    assert told["file"] == "test_host_replies.py"
