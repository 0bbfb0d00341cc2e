"""CSV files whose lines have more fields than their header has names: which values are of which column."""

import pyarrow as pa
import pytest
from tables import cut, rows

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.scoring import mlflow_driver
from batch_endpoints.specs import ReadDelimited, TableReading
from batch_endpoints.storage.tables.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.tables.csv_layout import FieldsBehind, found_layout
from batch_endpoints.storage.tables.parts import PartReader, said

THREE = [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5, "c": 6}]
GAP = [{"a": 1, "b": 2, "c": None}, {"a": 4, "b": 5, "c": 6}]
READ = {
    "one separator": ("a,b,c\n1,2,3,\n4,5,6,\n", THREE),
    "in the header, too": ("a,b,c,\n1,2,3,\n4,5,6,\n", THREE),
    "in the header alone": ("a,b,c,\n1,2,3\n4,5,6\n", THREE),
    "two": ("a,b,c\n1,2,3,,\n4,5,6,,\n", THREE),
    "quoted": ('a,b,c\n1,2,3,""\n4,5,6,""\n', THREE),
    "no value before": ("a,b,c\n1,2,,\n4,5,6,\n", GAP),
    "CRLF and blank lines": ("a,b,c\r\n1,2,3,\r\n\r\n4,5,6,\r\n", THREE),
    "names of rows": ('"a","b","c"\n"r 1",1,2,3\n"r 2",4,5,6\n', THREE),
    "numbers of rows": ('"a","b","c"\n"1",1,2,3\n"2",4,5,6\n', THREE),
    "names of rows with a gap at the end": ('"a","b","c"\n"x",1,2,\n"y",4,5,6\n', GAP),
    "names of rows under a name": ('"","a","b","c"\n"x",1,2,3\n', [{"Unnamed: 0": "x", **THREE[0]}]),
    "a value under no name": (
        "a,b,c,\n1,2,3,\n4,5,6,7\n",
        [{**THREE[0], "Unnamed: 3": None}, {**THREE[1], "Unnamed: 3": 7}],
    ),
}


def by_pandas(path):
    frame = mlflow_driver._read_csv(str(path), None)
    return [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict("records")]


@pytest.mark.parametrize("case", READ)
def test_each_value_is_of_its_own_column(tmp_path, case):
    text, expected = READ[case]
    (tmp_path / "a.csv").write_text(text, newline="")
    for size in ("1 rows", "1MB"):
        assert rows(cut(tmp_path, size), "a.csv") == expected
    assert PartReader(str(tmp_path), None, tmp_path).read("a.csv", WHOLE).to_pylist() == expected
    if case != "in the header alone":  # which pandas shifts nothing of, and has as a column without a value
        assert by_pandas(tmp_path / "a.csv") == expected


@pytest.mark.parametrize(
    ("text", "kept", "failed"),
    [
        pytest.param("a,b,c\n1,2,3\n4,5,6,\n", THREE[:1], [1], id="some lines"),
        pytest.param("a,b,c\n1,2,3,\n4,5,6\n4,5,6\n", [THREE[1]] * 2, [0], id="the first line"),
        pytest.param("a,b,c\n1,2,3,\n4,5,6\n1,2,3,\n", [*THREE, THREE[0]], [], id="most lines"),
        pytest.param("a,b,c\nx,1,2,3\ny,4,5,6\n4,5,6\n", THREE, [2], id="most lines have names of rows"),
        pytest.param("a,b,c\n1,2,3,4,5\n", [], [0], id="two values more"),
        pytest.param("a,b,c\n1,2,3,\n4,5,6,\n1,2,3,4,5\n", THREE, [2], id="a longer line"),
    ],
)
def test_lines_of_another_length_fail_alone_and_shift_no_value(tmp_path, text, kept, failed):
    (tmp_path / "a.csv").write_text(text)
    found = PartReader(str(tmp_path), None, tmp_path, isolates=True).read_rows("a.csv", WHOLE)
    assert found.table.to_pylist() == kept
    assert [row.row for row in found.unreadable] == failed
    try:
        read = by_pandas(tmp_path / "a.csv")
    except ValueError:
        read = None  # pandas' own ParserError is one, too
    assert read is None or all(row in THREE for row in read)


def test_a_plan_keeps_what_the_lines_look_like(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("a,b,c\n" + "1,2,3,\n" * 9)
    types = signature_types({"c": "long", "a": "long"}, [])
    assert rows(cut(tmp_path, "2 rows", types), "a.csv") == [{"a": 1, "c": 3}] * 9
    monkeypatch.setattr("batch_endpoints.storage.tables.csv_layout.found_layout", None)
    monkeypatch.setattr("batch_endpoints.storage.tables.csv_table.found_layout", None)
    assert PartReader(str(tmp_path), types.schema(), tmp_path).read("a.csv", WHOLE).num_rows == 9


def test_small_files_with_one_header_and_other_lines_are_read_alone(tmp_path):
    texts = {"a.csv": "1,2,\n", "b.csv": "r,4,5\n", "c.csv": "6,7\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text("a,b\n" + text)
    types = signature_types({"a": "long", "b": "long"}, []).schema()
    reader = PartReader(str(tmp_path), types, tmp_path)
    found = [answer.table.to_pylist() for answer in reader.read_each([(name, WHOLE) for name in texts])]
    assert found == [[{"a": 1, "b": 2}], [{"a": 4, "b": 5}], [{"a": 6, "b": 7}]]


def test_a_file_is_looked_through_only_where_its_first_line_is_longer_than_its_header():
    def never(place, width):
        raise AssertionError

    assert found_layout(["a", "b"], 2, never).columns == ("a", "b")
    assert found_layout(["a", "b"], 1, never).columns == ("a", "b")
    assert found_layout(["", ""], 3, never).columns == ("Unnamed: 0", "Unnamed: 1")
    assert found_layout(["a"], 2, lambda *_: FieldsBehind(False, True)).behind == 1


def test_a_table_of_an_mltable_without_a_header_keeps_all_fields(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,\n3,4,\n")
    reading = TableReading(format="delimited", delimited=ReadDelimited(header="no_header"))
    schema = pa.ipc.read_schema(pa.py_buffer(said(ColumnTypes().schema(), reading)))
    found = PartReader(str(tmp_path), schema, tmp_path).read("a.csv", WHOLE)
    assert found.column_names == ["Column1", "Column2", "Column3"]


def test_the_pandas_side_refuses_lines_that_fit_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1,2,3\n")
    with pytest.raises(ValueError, match="the header has 1 names, and lines have up to 3 fields"):
        mlflow_driver._read_csv(str(tmp_path / "a.csv"), None)
    with pytest.raises(InputError, match="Expected 1 columns, got 3"):
        PartReader(str(tmp_path), None, tmp_path).read("a.csv", WHOLE)
