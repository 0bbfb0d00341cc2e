"""What run() returned, as the host sends it and the worker understands it."""

import datetime as dt
import decimal
import enum
import json
import math
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from mlflow.exceptions import MlflowException
from received import read_reply

from batch_endpoints.scoring import host, host_values
from batch_endpoints.scoring.host_index import Given
from batch_endpoints.scoring.mlflow_driver import Prediction
from batch_endpoints.scoring.mlflow_predictions import framed


def sent(result, items=("a",)):
    """The rows that arrive at the worker when a script returns ``result``."""
    header, payload = host._reply(result, Given(len(items), items), None)
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
        host_values.encode(result)

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


_NAIVE, _AWARE = dt.datetime(2024, 1, 1, 5), dt.datetime(2024, 1, 1, 5, tzinfo=dt.timezone.utc)
_NANOSECOND = "1970-01-01 00:00:00.000000001"


@pytest.mark.parametrize(
    ("values", "arrives"),
    [
        ([dt.date(2024, 1, 1), _NAIVE], ["2024-01-01", "2024-01-01 05:00:00"]),
        ([_NAIVE, _AWARE], ["2024-01-01 05:00:00", "2024-01-01 05:00:00+00:00"]),
        ([[_NAIVE], [_AWARE]], ['["2024-01-01 05:00:00"]', '["2024-01-01 05:00:00+00:00"]']),
        ([dt.time(1, tzinfo=dt.timezone.utc), dt.time(2)], ["01:00:00+00:00", "02:00:00"]),
        ([dt.timedelta(1), 1], ["1 day, 0:00:00", "1"]),
        ([np.bool_(True), 2], ["True", "2"]),
        ([b"x", "y"], ["b'x'", "y"]),
        ([pd.Timedelta(1, "ns"), None], [pd.Timedelta(1, "ns"), None]),
        ([[pd.Timestamp(1)], None], [f'["{_NANOSECOND}"]', None]),
        ([{"t": pd.Timestamp(1)}, None], [f'{{"t": "{_NANOSECOND}"}}', None]),
        ([pd.Timestamp(1), dt.datetime(1, 1, 1)], [_NANOSECOND, "0001-01-01 00:00:00"]),
        ([["a", math.nan], ["b"]], [["a", None], ["b"]]),
        ([{"day": dt.date(2024, 1, 1), "n": 1}, None], [{"day": dt.date(2024, 1, 1), "n": 1}, None]),
        ([bytearray(b"x"), b"y"], [b"x", b"y"]),
        (np.array([0.5, 1], np.longdouble), ["0.5", "1.0"]),
    ],
    ids=[
        "a date and a time",
        "with and without a zone",
        "in lists with and without a zone",
        "times of day with a zone",
        "a duration and a number",
        "truth and a number",
        "bytes and text",
        "nanoseconds of a duration",
        "nanoseconds in lists",
        "nanoseconds in structs",
        "nanoseconds and years they do not reach",
        "missing text in lists",
        "fields of several kinds",
        "bytes of several kinds",
        "numbers longer than double",
    ],
)
def test_no_value_of_a_column_of_objects_changes_for_what_the_first_one_is(values, arrives):
    assert sent(pd.DataFrame({"x": values}), ["a", "b"])["x"].to_pylist() == arrives


@pytest.mark.parametrize("nested", [False, True])
def test_a_union_is_refused_by_name(nested):
    types, offsets = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
    column = pa.UnionArray.from_dense(types, offsets, [pa.array([1]), pa.array(["x"])])
    column = pa.StructArray.from_arrays([column], ["inner"]) if nested else column

    with pytest.raises(
        TypeError, match=r"run\(\) returned column 'u' of type .*dense_union<.*; return a column for each"
    ):
        host_values.encode(pa.table({"u": column}))


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
        host_values.encode(result)


def test_a_frame_crosses_with_all_its_digits_where_there_is_no_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    frame = pd.DataFrame({"p": [0.1 + 0.2, math.nan], "day": pd.to_datetime(["2024-01-02", None]), "n": [1, 2]})
    header, payload = host_values.encode(frame)
    monkeypatch.undo()

    rows = read_reply(header, payload, ["a", "b"]).table.to_pydict()

    assert payload == b""
    assert rows["p"][0] == 0.1 + 0.2
    assert math.isnan(rows["p"][1])
    assert rows["day"] == ["2024-01-02 00:00:00", None]
    assert rows["n"] == [1, 2]


def test_results_by_item_carry_rows_and_errors_in_order():
    results = [
        Prediction(pd.DataFrame({"x": [1]}), read=1),
        Prediction(error=ValueError("odd"), read=0),
        Prediction(pd.DataFrame({"x": [2.5, 3]})),
        Prediction(error=FileNotFoundError("gone")),
    ]

    header, payload = host._items(results, "")
    scored = read_reply(header, payload, ["a", "b", "c", "d"])

    assert scored.table.to_pydict() == {"row": [0, 0, 1], "x": [1.0, 2.5, 3.0], "file": ["a", "c", "c"]}
    assert {item: why.may_pass for item, why in scored.failed.items()} == {"b": False, "d": True}
    assert scored.rows_read == {"a": 1, "b": 0}


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
    header, _ = host._items([Prediction(error=error)], "")

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


NA = [pd.NA, pd.NaT, np.datetime64("NaT"), decimal.Decimal("NaN"), None]


@pytest.mark.parametrize(
    ("result", "type_", "values"),
    [
        (pd.Series([1, None, 3], dtype="Int64"), pa.int64(), [1, None, 3]),
        (pd.Series([9007199254740993, None], dtype="Int64"), pa.int64(), [9007199254740993, None]),
        (pd.Series([True, None], dtype="boolean"), pa.bool_(), [True, None]),
        (pd.Series([0.5, None], dtype="Float64"), pa.float64(), [0.5, None]),
        (pd.Series(["x", None], dtype="string"), pa.string(), ["x", None]),
        (pd.Series(["x", None]), pa.string(), ["x", None]),
        (pd.Series(["x", math.nan, pd.NaT], dtype=object), pa.string(), ["x", None, None]),
        (pd.Series([1, math.nan], dtype=object), pa.int64(), [1, None]),
        (pd.Series(pd.to_datetime(["2024-01-02", None])), None, [dt.datetime(2024, 1, 2), None]),
        (pd.Series([1.5, None, 2]).convert_dtypes(), pa.float64(), [1.5, None, 2.0]),
        (pd.Series([1, None, 2]).convert_dtypes(), pa.int64(), [1, None, 2]),
        (pd.Categorical(["x", None]), pa.string(), ["x", None]),
        (pd.array([1, None], dtype="UInt8"), pa.uint8(), [1, None]),
        (pd.Series([1, None], dtype="int64[pyarrow]"), pa.int64(), [1, None]),
        (pd.Series(pd.arrays.SparseArray([0, 1])), pa.int64(), [0, 1]),
        (np.ma.array([1, 2], mask=[False, True]), pa.int64(), [1, None]),
        (np.array(["2024-01-02", "NaT"], "datetime64[ms]"), pa.timestamp("ms"), [dt.datetime(2024, 1, 2), None]),
        (np.array([1, 2], "timedelta64[s]"), pa.duration("s"), [dt.timedelta(seconds=1), dt.timedelta(seconds=2)]),
        (np.array([b"x", b"y"]), pa.binary(), [b"x", b"y"]),
        (np.array([2**64 - 1], "uint64"), pa.uint64(), [2**64 - 1]),
        (np.array([0.5], "float32"), pa.float32(), [0.5]),
        (pa.array([1, None]), pa.int64(), [1, None]),
        (pa.chunked_array([[1], [None]]), pa.int64(), [1, None]),
        ([1, pd.NA, 9007199254740993], pa.int64(), [1, None, 9007199254740993]),
        ([9007199254740993, math.nan], pa.int64(), [9007199254740993, None]),
        ([1, math.nan], pa.int64(), [1, None]),
        (["x", math.nan, *NA], pa.string(), ["x", *[None] * 6]),
        ([True, math.nan], pa.bool_(), [True, None]),
        ([[1, 2], math.nan], pa.list_(pa.int64()), [[1, 2], None]),
        ([["x", math.nan, pd.NA]], pa.list_(pa.string()), [["x", None, None]]),
        ([["x", math.nan, 1]], pa.string(), ['["x", null, 1]']),
        ([9007199254740993, 0.5], pa.string(), ["9007199254740993", "0.5"]),
        ([pd.Timestamp("2024-01-02"), pd.NaT], pa.string(), ["2024-01-02 00:00:00", None]),
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:40]}" if not isinstance(value, pa.DataType) else "",
)
def test_what_is_missing_is_null_under_the_type_that_remains(result, type_, values):
    column = sent(result, ["a"])["prediction"]

    assert column.to_pylist() == values
    assert type_ is None or column.type == type_


@pytest.mark.parametrize("pyarrow", [True, False], ids=["", "without pyarrow"])
def test_what_is_missing_in_a_record_is_null_under_the_type_that_remains(monkeypatch, pyarrow):
    frame = pd.DataFrame({"n": [1, None], "t": ["x", None], "d": [dt.date(2024, 1, 2), None]}).convert_dtypes()
    frame["mixed"] = ["x", math.nan]
    if not pyarrow:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    header, payload = host_values.encode(frame)
    monkeypatch.undo()
    table = read_reply(header, payload, ["a", "b"]).table

    assert table["n"].type == pa.int64()
    assert table.slice(1).to_pylist() == [dict.fromkeys(["n", "t", "d", "mixed"])]
    records = [{"n": 1, "t": "x"}, {"n": pd.NA, "t": math.nan}, {"n": math.nan, "t": pd.NaT}]
    table = sent(records, ["a", "b", "c"])
    assert table.to_pydict() == {"n": [1, None, None], "t": ["x", None, None]}


LONG = list(range(5000))


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"n": LONG}),
        pd.Series(LONG),
        np.array(LONG),
        pa.array(LONG),
        pa.table({"n": LONG}),
        np.array([(n,) for n in LONG], dtype=[("n", "i8")]),
        {"deep": [np.array(LONG)]},
    ],
    ids=lambda value: f"{type(value).__module__.split('.')[0]} {type(value).__name__}",
)
@pytest.mark.parametrize("beside", ["text", [{"n": 1}]], ids=["beside text", "beside a list"])
def test_a_value_of_many_comes_with_all_of_them(value, beside):
    """Their printed forms leave most of it out, with dots."""
    found = sent([value, beside], ["a", "b"])["prediction"][0].as_py()
    found = json.loads(found) if isinstance(found, str) else found
    while isinstance(found, dict):
        found = found["deep"][0]
    assert [one["n"] if isinstance(one, dict) else one for one in found] == LONG
    in_column = sent(pd.DataFrame({"x": pd.Series([value, "text"], dtype=object)}), ["a", "b"])["x"][0].as_py()
    assert "…" not in in_column
    assert "..." not in in_column
    assert "4999" in in_column


def test_a_table_of_tables_keeps_labels_that_mean_something():
    labelled = pd.Series([0.5, 0.25], index=["cat", "dog"])

    assert sent([labelled, labelled], ["a", "b"]).to_pydict() == {"cat": [0.5, 0.5], "dog": [0.25, 0.25]}
    assert sent([[pd.DataFrame({"n": [1]}, index=["x"])]])["prediction"].to_pylist() == [[[{"index": "x", "n": 1}]]]


def test_times_of_numpy_are_never_numbers():
    times = np.array([["2024-01-02T00:00:00.000000001", "NaT"]], "datetime64[ns]")

    assert sent(times)["prediction"].to_pylist() == [["2024-01-02T00:00:00.000000001", None]]
    assert sent([times[0, 0]])["prediction"].to_pylist() == ["2024-01-02T00:00:00.000000001"]


def test_nanoseconds_of_objects_stay():
    one = pd.Timestamp("2024-01-02 00:00:00.000000001", tz="Europe/Berlin")
    column = sent(pd.DataFrame({"t": pd.Series([one, pd.NaT], dtype=object)}), ["a", "b"])["t"]

    assert column.to_pylist() == [one, None]


def test_no_file_changes_what_a_model_returned_for_another():
    results = [
        Prediction(pd.DataFrame({"p": [9007199254740993]}), read=1),
        Prediction(pd.DataFrame({"q": [1]}), read=1),
    ]
    header, payload = host._items([*results, Prediction(pd.DataFrame({"p": [0.5]}), read=1)], "")
    table = read_reply(header, payload, ["a", "b", "c"]).table

    assert table["p"].to_pylist() == ["9007199254740993", None, "0.5"]
    assert table["q"].to_pylist() == [None, 1, None]
    header, payload = host._items(results, "")
    assert read_reply(header, payload, ["a", "b"]).table["p"].to_pylist() == [9007199254740993, None]


@pytest.mark.parametrize(
    ("result", "columns"),
    [
        (["x", math.nan], {"prediction": ["x", None]}),
        ([9007199254740993, None], {"prediction": [9007199254740993, None]}),
        ([{"n": 9007199254740993}, {}], {"n": [9007199254740993, None]}),
        ({"n": [9007199254740993, pd.NA], "t": ["x", pd.NaT]}, {"n": [9007199254740993, None], "t": ["x", None]}),
        ([["x", 1], ["y", math.nan]], {"prediction_0": ["x", "y"], "prediction_1": [1, None]}),
        (np.array([("x", 1), ("y", 2)], dtype=[("t", "U1"), ("n", "i8")]), {"t": ["x", "y"], "n": [1, 2]}),
        (np.ma.array([1, 2], mask=[True, False]), {"prediction": [None, 2]}),
        (pa.table({"n": [9007199254740993, None]}), {"n": [9007199254740993, None]}),
        ([pd.Series({"n": 1, "t": "x"}), pd.Series({"n": 2, "t": "y"})], {"n": [1, 2], "t": ["x", "y"]}),
        ([pd.DataFrame({"n": [1]}), pd.DataFrame({"n": [2]})], {"n": [1, 2]}),
        (pd.Series([1, None], dtype="Int64", name=0), {"0": [1, None]}),
        (scipy.sparse.csr_matrix([[0, 1], [2, 0]]), {"prediction_0": [0, 2], "prediction_1": [1, 0]}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_predictions_of_any_kind_keep_their_values(result, columns):
    header, payload = host._items([Prediction(framed(result), read=2)], "")

    assert read_reply(header, payload, ["a"]).table.to_pydict() == {"row": [0, 1], **columns, "file": ["a", "a"]}
