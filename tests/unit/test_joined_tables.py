"""Files of one mini-batch as one table."""

import math
from decimal import Decimal

import pyarrow as pa
import pytest

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.storage.tables.joined_tables import fits, joined, wider_types
from batch_endpoints.storage.tables.parts import PartReader


def test_files_of_one_mini_batch_are_joined_by_name():
    one, other = pa.table({"a": [1], "b": ["x"]}), pa.table({"a": [0.5]})
    assert joined([one, other]).to_pylist() == [{"a": 1.0, "b": "x"}, {"a": 0.5, "b": None}]
    with pytest.raises(InputError, match="different types"):
        joined([one, pa.table({"a": ["x"]})])


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        ([1], [0.5, math.inf], "double", [1.0, 0.5, math.inf]),
        ([1 + 2**53], [3.0, None, math.nan], "int64", [1 + 2**53, 3, None, None]),
        ([1 + 2**53], [0.5], "decimal128(17, 1)", [1 + 2**53, Decimal("0.5")]),
    ],
)
def test_whole_numbers_beside_doubles_are_doubles_where_that_changes_none(one, other, kind, values):
    found = joined([pa.table({"a": one}), pa.table({"b": [1]}), pa.table({"a": other})])["a"]
    assert (str(found.type), found.drop_null().to_pylist()) == (kind, [v for v in values if v is not None])


def test_a_column_without_values_joins_any_other():
    empty, text, flag = (
        pa.table({"a": pa.array(a, kind)})
        for a, kind in [([None, None], pa.float64()), (["x", None], pa.string()), ([True], pa.bool_())]
    )
    assert joined([empty, text])["a"].to_pylist() == [None, None, "x", None]
    assert joined([text, empty])["a"].type == pa.string()
    assert joined([empty, flag])["a"].to_pylist() == [None, None, True]
    assert joined([empty, empty])["a"].type == pa.float64()


@pytest.mark.parametrize(
    ("files", "values"),
    [
        ({"a.csv": "v\n007\n", "b.csv": "v\nx\n"}, ["007", "x"]),
        ({"a.csv": "v\nx\n", "b.csv": "v\n007\n", "c.csv": "v\nNA\n"}, ["x", "007", None]),
        ({"a.csv": "v\n1\n", "b.csv": "v\n0.5\n"}, [1.0, 0.5]),
        ({"a.csv": "v\n9007199254740993\n", "b.csv": "v\n1.0\nNA\n"}, [9007199254740993, 1, None]),
        ({"a.csv": "v\n9007199254740993\n", "b.jsonl": '{"v": 0.5}\n'}, ["9007199254740993", "0.5"]),
        ({"a.csv": "v\n1\n", "b.csv": "v\ntrue\n"}, ["1", "true"]),
        ({"a.csv": 'v\n""\n', "b.csv": 'v\n""\n'}, [None, None]),
        ({"a.jsonl": '{"v": 1}\n', "b.jsonl": '{"v": "x"}\n', "c.csv": "v\n07\n"}, ["1", "x", "07"]),
        ({"a.jsonl": '{"v": {"k": 1}}\n', "b.jsonl": '{"v": {"k": "x"}}\n'}, [{"k": "1"}, {"k": "x"}]),
    ],
    ids=[
        "text behind numbers",
        "numbers behind text",
        "fractions",
        "large",
        "large and fractions",
        "truth",
        "nothing",
        "formats",
        "objects",
    ],
)
def test_text_files_of_other_types_are_read_with_one_that_holds_all(tmp_path, files, values):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    reader = PartReader(str(tmp_path), None, tmp_path)
    tables = {name: reader.read(name, WHOLE) for name in files}
    if types := wider_types(list(tables.values())):
        again = [name for name, table in tables.items() if not fits(table, types)]
        tables |= {name: reader.read_rows(name, WHOLE, types).table for name in again}
    assert joined(list(tables.values()))["v"].to_pylist() == values
