"""What a reader cannot read costs its own row, where rows are isolated."""

import pytest
from tables import cut

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE, partition_size
from batch_endpoints.storage.tables.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.tables.parts import PartReader, cut_tables

CSV = signature_types({"n": "long", "x": "double", "t": "string"}, [])


def read(folder, name, size, types=CSV):
    """Of a file: the positions and values of its rows, and those that cannot be read."""
    batches = list(cut_tables(str(folder), [InputFile(name)], partition_size(size), types, folder))
    reader = PartReader(str(folder), types.schema(), folder, isolates=True)
    parts = [reader.read_rows(*one) for batch in batches for one in batch]
    rows = [(row, value) for part in parts for row, value in zip(part.rows, part.table.to_pylist(), strict=True)]
    return rows, [row for part in parts for row in part.unreadable]


BAD = {
    "text for a number": (b"1,x,t", "1,x,t", "invalid value 'x'"),
    "a fraction for a whole number": (b"1.5,2,t", "1.5,2,t", "invalid value '1.5'"),
    "too many fields": (b"1,2,t,u", "1,2,t,u", "Expected 3 columns, got 4"),
    "a line of spaces": (b"   ", "   ", "Expected 3 columns, got 1"),
    "no UTF-8": (b"1,2,\xff", "1,2,\\xff", "invalid UTF8"),
}


@pytest.mark.parametrize("size", ["1 rows", "7 rows", "64MB"])
@pytest.mark.parametrize(("line", "text", "reason"), BAD.values(), ids=BAD)
def test_a_bad_row_of_a_csv_file_costs_one_row(tmp_path, size, line, text, reason):
    lines = [b"%d,%d.5,t%d" % (n, n, n) for n in range(20)]
    lines[3], lines[11] = line, line
    (tmp_path / "a.csv").write_bytes(b"n,x,t\n" + b"\r\n".join(lines) + b"\n")

    rows, unreadable = read(tmp_path, "a.csv", size)

    good = [n for n in range(20) if n not in (3, 11)]
    assert rows == [(n, {"n": n, "x": n + 0.5, "t": f"t{n}"}) for n in good]
    assert [(bad.row, bad.text) for bad in unreadable] == [(3, text), (11, text)]
    assert all(reason in bad.reason for bad in unreadable)
    assert "Row #" not in unreadable[0].reason
    with pytest.raises(InputError, match=r"'a\.csv' cannot be read"):
        cut(tmp_path, size, CSV)


@pytest.mark.parametrize("size", ["1 rows", "64MB"])
def test_what_a_line_lacks_at_its_end_is_missing_as_pandas_reads_it(tmp_path, size):
    (tmp_path / "a.csv").write_text('n,x,t\n1,2,a\n3\n4,5\n"6"\n7,8,b')
    rows, unreadable = read(tmp_path, "a.csv", size)
    assert [tuple(row.values()) for _, row in rows] == [
        *((1, 2, "a"), (3, None, None), (4, 5, None), (6, None, None), (7, 8, "b"))
    ]
    assert not unreadable


@pytest.mark.parametrize("size", ["1 rows", "64MB"])
def test_a_quote_that_nothing_closes_costs_what_is_behind_it(tmp_path, size):
    (tmp_path / "a.csv").write_text('n,x,t\n1,2,a\n3,4,"b\n5,6,c\n')
    rows, unreadable = read(tmp_path, "a.csv", size)
    assert [row for row, _ in rows] == [0]
    assert [(bad.row, bad.text) for bad in unreadable] == [(1, '3,4,"b\n5,6,c')]


@pytest.mark.parametrize("size", ["1 rows", "2 rows", "100 rows", "64MB"])
def test_a_quote_that_nothing_closes_is_found_behind_one_in_the_middle_of_a_field(tmp_path, size):
    (tmp_path / "a.csv").write_text('a,b\n1true5"x,"y""z"\n2.5,"tru,')
    rows, unreadable = read(tmp_path, "a.csv", size, signature_types({"a": "string", "b": "string"}, []))
    assert rows == [(0, {"a": '1true5"x', "b": 'y"z'})]
    assert [(bad.row, bad.text) for bad in unreadable] == [(1, '2.5,"tru,')]


@pytest.mark.parametrize("size", ["1 rows", "64MB"])
def test_whole_numbers_that_were_written_as_fractions_are_whole_numbers(tmp_path, size):
    """As pandas writes a column of them with a missing one among them."""
    (tmp_path / "a.csv").write_text("n,x,t\n1.0,1,\n9007199254740993,1,\n9007199254740993.0,1,\n,1,\n")
    rows, unreadable = read(tmp_path, "a.csv", size)
    assert [(at, row["n"]) for at, row in rows] == [(0, 1), (1, 9007199254740993), (3, None)]
    assert [bad.row for bad in unreadable] == [2], "which is too large for a fraction to be exact"


@pytest.mark.parametrize("size", ["1 rows", "2 rows", "64MB"])
def test_a_bad_row_of_json_lines_costs_one_row(tmp_path, size):
    lines = ['{"n": 1}', '{"n": "x"}', '{"n": 2', '{"n": 3} {"n": 4}', "[5]", '{"n": 6}', '{"t": "\\ud800"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    rows, unreadable = read(tmp_path, "a.jsonl", size, signature_types({"n": "long", "t": "string"}, []))
    assert [(at, row["n"]) for at, row in rows] == [(0, 1), (5, 6)]
    assert [(bad.row, bad.text) for bad in unreadable] == [(at, lines[at]) for at in (1, 2, 3, 4, 6)]


def test_of_rows_that_are_tried_again_only_these_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("n,x,t\n1,2,a\n3,bad,b\n5,6,c\n7,bad,d\n9,0,e\n")
    reader = PartReader(str(tmp_path), CSV.schema(), tmp_path, isolates=True)
    found = reader.read_rows("a.csv", WHOLE._replace(only=(1, 2, 4)))
    assert (list(found.rows), found.table["n"].to_pylist()) == ([2, 4], [5, 9])
    assert [bad.row for bad in found.unreadable] == [1]


def test_a_file_that_has_changed_is_told_also_where_rows_are_isolated(tmp_path):
    (tmp_path / "a.csv").write_text("n,x,t\n" + "11,1,a\n" * 4)
    ((((path, part),),)) = cut_tables(str(tmp_path), [InputFile("a.csv")], partition_size("9 rows"), CSV, tmp_path)
    (tmp_path / "a.csv").write_text("n,x,t\n" + "1,1\n" * 8)
    with pytest.raises(InputError, match="rows where 4 were counted"):
        PartReader(str(tmp_path), CSV.schema(), tmp_path, isolates=True).read_rows(path, part)


def test_types_that_nobody_has_given_are_found_with_the_bad_rows_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("n,x\n1,2\n3,4,5\n6,7\n")
    rows, unreadable = read(tmp_path, "a.csv", "64MB", ColumnTypes())
    assert [row for _, row in rows] == [{"n": 1, "x": 2}, {"n": 6, "x": 7}]
    assert [bad.row for bad in unreadable] == [1]
