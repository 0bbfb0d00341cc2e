"""What comes out is what ``run()`` returned: all types of pandas and numpy, as tables and lists, in every format.

``ROUND_TRIPS=20000 pytest tests/unit/test_script_round_trips.py`` tries so many results; 200 without it.
"""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pyarrow as pa
from arrow_values import parsed, values
from hypothesis import given
from hypothesis import strategies as st
from received import read_reply
from script_results import columns, given_values, objects, read_as
from test_round_trips import FORMATS, check, same, tried

from batch_endpoints.scoring import host
from batch_endpoints.scoring.host_index import Given


@tried
@given(data=st.data())
def test_a_table_that_run_returned_keeps_every_value(data):
    rows = data.draw(st.integers(1, 4))
    found = {name: data.draw(columns(rows)) for name in data.draw(st.sampled_from(["a", "ab"]))}
    returned = pd.DataFrame({name: column for name, (column, _) in found.items()})

    table = arrived(returned, rows)

    for name, (_, cells) in found.items():
        compare(cells, table[name])
    for format in FORMATS:
        check(format, [table])


@tried
@given(data=st.data())
def test_a_list_that_run_returned_keeps_every_value(data):
    rows = data.draw(st.integers(1, 4))
    if data.draw(st.booleans()):
        returned, cells = data.draw(columns(rows).filter(lambda one: not are_rows(one[1])))
    else:
        cells = data.draw(objects(rows).filter(lambda one: not are_rows(one)))
        returned = data.draw(st.sampled_from([list, tuple]))(cells)

    table = arrived(returned, rows)

    compare(cells, table["prediction"])
    for format in FORMATS:
        check(format, [table])


def test_durations_of_pandas_and_of_python_stand_side_by_side():
    spans = [pd.Timedelta(1), dt.timedelta(seconds=-1), None]

    table = arrived(pd.DataFrame({"a": pd.Series(spans, dtype=object)}), 3)

    assert table["a"].type == pa.duration("ns")
    assert values(table["a"]) == [1, -(10**9), None]


def arrived(returned, rows):
    """The rows of a result, as the worker understands its reply."""
    items = [f"{number}.csv" for number in range(rows)]
    header, payload = host._reply(returned, Given(rows, items), None)
    return read_reply(header, payload, items).table


def compare(cells, column):
    kind = column.type
    for one, expected, cell in zip(cells, given_values(cells), values(column), strict=True):
        if isinstance(cells, pa.Array):
            cell = parsed(cell, cells.type) if pa.types.is_string(kind) else cell
        elif cell is not None and pa.types.is_string(kind) and isinstance(one, list | dict | np.ndarray):
            cell = parts_as(json.loads(cell), one)
        else:
            cell = parts_as(cell, one)
        assert same(expected, cell, "parquet", str(kind)), (one, cell, str(kind))


def parts_as(cell, value):
    """What the texts in a value say, where they stand for values of several types."""
    if isinstance(value, dict) and isinstance(cell, dict):
        return {name: parts_as(cell.get(name), one) for name, one in value.items()}
    if isinstance(value, list | np.ndarray) and isinstance(cell, list):
        return [parts_as(*pair) for pair in zip(cell, value, strict=True)]
    return read_as(cell, value)


def are_rows(cells):
    """Would a list of these be a table?"""
    return all(isinstance(one, dict) for one in cells)
