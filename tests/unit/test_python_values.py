import json
import subprocess
import sys

import pyarrow as pa
import pytest

from batch_endpoints.storage.outputs.python_values import python_rows, python_values


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pa.table({"a": [1, None], "b": [[b"x"], []]}), id="rows"),
        pytest.param(pa.table({"a": pa.array([], pa.int64())}), id="no rows"),
        pytest.param(pa.table({}), id="no columns"),
    ],
)
def test_rows_are_what_arrow_makes_of_them_where_it_can(table):
    assert list(python_rows(table)) == table.to_pylist()


TIMES = """
import json
import pyarrow as pa
from batch_endpoints.engine.lean_arrow import leave_out_pandas
from batch_endpoints.storage.outputs.python_values import python_values
leave_out_pandas()
ns = pa.time64("ns")
print(json.dumps([python_values(column) for column in (
    pa.array([1, None], pa.timestamp("ns")),
    pa.array([1, None], pa.timestamp("ns", "Mars/Base")),
    pa.array([1, None], ns),
    pa.array([1, None], pa.duration("ns")),
    pa.array([[{"t": 1, "n": 5}, None], None], pa.list_(pa.struct({"t": ns, "n": pa.int8()}))),
    pa.array([[("k", 1), ("l", None)]], pa.map_(pa.string(), ns)),
    pa.chunked_array([[[1]], [[None]]], pa.large_list(ns)),
)]))
"""


def test_what_python_has_no_type_for_is_text_in_a_process_without_pandas():
    ran = subprocess.run([sys.executable, "-c", TIMES], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [
        ["1970-01-01T00:00:00.000000001", None],
        ["1970-01-01T00:00:00.000000001Z", None],
        ["00:00:00.000000001", None],
        ["1 ns", None],
        [[{"t": "00:00:00.000000001", "n": 5}, None], None],
        [[["k", "00:00:00.000000001"], ["l", None]]],
        [["00:00:00.000000001"], [None]],
    ]


def test_a_year_after_9999_is_no_error():
    assert python_values(pa.array([2**40], pa.timestamp("s"))) == ["<value out of range: 1099511627776>"]
