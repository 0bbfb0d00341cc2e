"""Tables cut anywhere have the same rows, in the same order, as the file read whole."""

import csv
import gzip
import io
import json
import math
import re
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import cut, payloads, rows

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE, Part, partition_size
from batch_endpoints.scoring.host_tables import table_as
from batch_endpoints.storage.tables import csv_table, parquet_table, row_groups, text_records, text_table
from batch_endpoints.storage.tables.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.tables.json_table import JsonLinesTable
from batch_endpoints.storage.tables.parts import PartReader, cut_tables

SIZES = st.one_of(
    st.integers(1, 400).map(lambda n: f"{n}B"), st.integers(1, 12).map(lambda n: f"{n} rows"), st.just("64MB")
)
# what files are full of; and what splits them at the wrong place
TEXTS = st.text(st.sampled_from(list("ab1 \",;\n\r'{}\\üß語😀")), max_size=8)
NUMBERS = st.one_of(st.integers(-5, 99).map(str), st.just(""), st.just("9007199254740993"))
VALUES = st.one_of(TEXTS, st.integers(-5, 99).map(str), st.just("1.5"), st.just("NA"), st.just("true"))


def write_csv(path, header, records, *, newline="\n", bom=False, end=True, quoting=csv.QUOTE_MINIMAL):
    text = io.StringIO(newline="")
    if any("\r" in value for record in records for value in record):  # which Python's writer leaves without quotes
        quoting = csv.QUOTE_ALL
    writer = csv.writer(text, lineterminator=newline, quoting=quoting)
    writer.writerow(header)
    writer.writerows(records)
    text = text.getvalue()
    if not end:
        text = text.removesuffix(newline)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())


def as_csv(values):
    """What values of a CSV column are by our promise, told from all of the input without a reader of tables."""
    values = [None if value in csv_table._MISSING else value for value in values]
    there = [value for value in values if value is not None]
    for pattern, kind in [(r" *-?\d+ *", int), (r" *-?\d+(\.\d+)? *", float), ("true", lambda word: word == "true")]:
        if all(re.fullmatch(pattern, value) for value in there):
            if kind is float and any(value.strip() == str(1 + 2**53) for value in there):  # which no double can hold
                break
            return [value if value is None else kind(value) for value in values]
    return values


@settings(max_examples=100)
@given(
    files=st.lists(st.lists(st.tuples(VALUES, NUMBERS | VALUES), max_size=12), min_size=1, max_size=3),
    size=SIZES,
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    end=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.sampled_from([1, 2, 7, 50, 1 << 20]),
)
def test_csv_cut_anywhere_has_the_rows_that_were_written(files, size, newline, bom, end, quoting, block):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_records, "BLOCK_BYTES", block)
        folder = Path(place)
        written = []
        for n, records in enumerate(files):
            path = folder / f"{n}.csv"
            write_csv(path, ["a", "b ü"], records, newline=newline, bom=bom, end=end, quoting=quoting)
            with path.open(encoding="utf-8-sig", newline="") as file:
                written += [(path.name, *record) for record in [*csv.reader(file)][1:] if record]
        expected = zip(*(as_csv([record[at] for record in written]) for at in (1, 2)), strict=True)
        batches = cut(folder, size)
        found = [(name, *row.values()) for batch in batches for name, _, table in batch for row in table.to_pylist()]
        assert exactly(found) == exactly((name, *row) for (name, *_), row in zip(written, expected, strict=True))
        assert alike_in_all_batches(batches)


def exactly(rows):
    """Values with their types: 1, 1.0 and True are equal."""
    return [[(type(value), value) for value in row] for row in rows]


def alike_in_all_batches(batches):
    """Is what run() gets of a column of one kind, wherever the cuts are?"""
    for form in ("pandas", "numpy"):
        tables = [table_as(form, payload) for payload in payloads(batches)]
        kinds = {tuple((name, str(table[name].dtype)) for name in table) for table in tables}
        if len(kinds) > 1:
            return False
    return True


def as_json(values):
    """What values of a JSON field are by our promise."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [value if value is None else float(value) for value in values]
    if len(kinds) < 2:
        return values
    return [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]


NUMBER = st.integers(-9, 9)
SIMPLE = [NUMBER, st.just(1 << 60), st.just(0.5), st.booleans(), TEXTS]


@settings(max_examples=100)
@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"n": NUMBER},
            optional={
                "t": TEXTS,
                "l": st.lists(NUMBER),
                "hole": NUMBER | st.none(),
                "f": NUMBER | st.just(0.5),
                "mixed": st.one_of(*SIMPLE, st.none(), st.lists(NUMBER), st.fixed_dictionaries({"k": NUMBER})),
            },
        ),
        max_size=12,
    ),
    blanks=st.lists(st.sampled_from(["", "", " ", "\t  "]), min_size=13, max_size=13),
    size=SIZES,
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    end=st.booleans(),
    block=st.sampled_from([1, 7, 50, 1 << 20]),
)
def test_json_lines_cut_anywhere_have_the_rows_that_were_written(records, blanks, size, newline, bom, end, block):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_records, "BLOCK_BYTES", block)
        lines = [
            line
            for blank, record in zip(blanks, records, strict=False)
            for line in [*([blank] if blank else []), json.dumps(record, ensure_ascii=False)]
        ]
        text = newline.join(lines) + (newline if end else "")
        (Path(place) / "a.jsonl").write_bytes((b"\xef\xbb\xbf" if bom else b"") + text.encode())
        names = ("n", "t", "l", "hole", "f", "mixed")
        expected = zip(*(as_json([record.get(name) for record in records]) for name in names), strict=True)
        batches = cut(Path(place), size)
        found = rows(batches, "a.jsonl")
        assert exactly([row.get(name) for name in names] for row in found) == exactly(expected)
        assert alike_in_all_batches(batches)


@settings(max_examples=40)
@given(
    count=st.integers(0, 40),
    group=st.integers(1, 15),
    size=SIZES,
    kind=st.sampled_from(["parquet", "arrow"]),
    large=st.sampled_from([30, 1 << 26]),
)
@example(count=40, group=9, size="1B", kind="parquet", large=1 << 26)
def test_groups_of_rows_cut_anywhere_have_the_rows_of_the_whole(count, group, size, kind, large):
    table = pa.table({"n": range(count), "text": [f"ü{n}" for n in range(count)]})
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "LARGE", large)
        path = Path(place) / f"a.{kind}"
        if kind == "parquet":
            pyarrow.parquet.write_table(table, path, row_group_size=group)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=group)
        batches = cut(Path(place), size)
        assert rows(batches, path.name) == table.to_pylist()
        if size.endswith("rows") and count:
            assert max(part.rows for batch in batches for _, part, _ in batch) <= int(size.split()[0])


@pytest.mark.parametrize("size", ["8KB", "1000 rows"])
def test_a_large_group_of_rows_is_cut_and_never_read_at_once(tmp_path, monkeypatch, size):
    monkeypatch.setattr(row_groups, "LARGE", 10_000)
    monkeypatch.setattr(parquet_table, "_ROWS", 300)
    table = pa.table({"n": range(10_000), "x": [n / 2 for n in range(10_000)]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    files = [InputFile("a.parquet")]
    batches = list(cut_tables(str(tmp_path), files, partition_size(size), ColumnTypes(), tmp_path))
    assert len(batches) >= 10
    monkeypatch.delattr(pyarrow.parquet.ParquetFile, "read_row_group")
    reader = PartReader(str(tmp_path), None, tmp_path)
    found = [reader.read(*one) for (one,) in batches]
    assert pa.concat_tables(found).equals(table)
    (first,), (second,) = batches[:2]
    assert reader.read(*second).num_rows == second[1].rows
    assert reader.read(*first)["n"].to_pylist() == list(range(first[1].rows)), "what lies before is there again"


@pytest.mark.parametrize("size", ["9B", "2 rows"])
def test_a_quote_in_the_middle_of_a_field_opens_nothing(tmp_path, size):
    (tmp_path / "a.csv").write_text('size,what\n5" x,pipe\n6,"a\nb"\n7 "",rod\n"8"" ,\n",bar\n9,x"\n')
    found = rows(cut(tmp_path, size), "a.csv")
    assert [row["size"] for row in found] == ['5" x', "6", '7 ""', '8" ,\n', "9"]
    assert [row["what"] for row in found] == ["pipe", "a\nb", "rod", "bar", 'x"']


def test_types_hold_for_the_whole_input_and_so_for_every_part(tmp_path):
    """A part with numbers only does not know that text comes later: 007 must not become 7."""
    pd.DataFrame({"a": ["007"] * 50 + ["x"], "n": [*range(50), 0.5], "day": ["2024-01-01"] * 51}).to_csv(
        tmp_path / "a.csv", index=False
    )
    found = rows(cut(tmp_path, "10 rows"), "a.csv")
    assert found[0] == {"a": "007", "n": 0.0, "day": "2024-01-01"}


BIG = 9007199254740993  # which no double can hold


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([BIG, "", 3], [BIG, None, 3], id="a gap"),
        pytest.param([BIG, "3.0", "", "4"], [BIG, 3, None, 4], id="whole fractions"),
        pytest.param(["3.0", "1e3", BIG], [3, 1000, BIG], id="whole fractions before"),
        pytest.param(["0.5", BIG], ["0.5", str(BIG)], id="fractions"),
        pytest.param([BIG, "1e17"], [str(BIG), "1e17"], id="a large fraction"),
        pytest.param([2**64 - 1, 1], [str(2**64 - 1), "1"], id="more than 64 bits with a sign"),
        pytest.param([10**30 + 1], [str(10**30 + 1)], id="far more"),
        pytest.param([1 << 60, "0.5"], [float(1 << 60), 0.5], id="what a double holds"),
        pytest.param(["3.0", "4"], [3.0, 4.0], id="small numbers"),
    ],
)
@pytest.mark.parametrize("block", [4, 1 << 20], ids=["in many blocks", "in one block"])
@pytest.mark.parametrize("size", ["1 rows", "1MB"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_whole_numbers_in_text_are_never_rounded(tmp_path, monkeypatch, kind, size, block, texts, expected):
    monkeypatch.setattr(text_records, "BLOCK_BYTES", block)
    lines = [f"x,{text}" if kind == "csv" else f'{{"a": {text or "null"}}}' for text in texts]
    (tmp_path / f"t.{kind}").write_text("\n".join([*(["t,a"] if kind == "csv" else []), *lines]) + "\n")
    if kind == "jsonl":
        expected = [{"1e17": "1e+17"}.get(value, value) for value in expected]
    found = [row["a"] for row in rows(cut(tmp_path, size), f"t.{kind}")]
    assert exactly([found]) == exactly([expected])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["0x1F", "0x00a0"], ["0x1F", "0x00a0"]),
        (["17", "0X1f"], ["17", "0X1f"]),
        (["17", "box"], ["17", "box"]),
        ([f"+{BIG}", "+1", ""], [BIG, 1, None]),
        (["+1.5", "2"], [1.5, 2.0]),
    ],
    ids=["hexadecimal digits", "some of them", "an x in a word", "a plus sign", "a plus before a fraction"],
)
@pytest.mark.parametrize("size", ["1 rows", "1MB"])
def test_text_that_arrow_would_read_as_another_number_does_not_change(tmp_path, size, texts, expected):
    (tmp_path / "t.csv").write_text("\n".join(["t,a", *(f"x,{text}" for text in texts)]) + "\n")
    assert exactly([[row["a"] for row in rows(cut(tmp_path, size), "t.csv")]]) == exactly([expected])


def test_whole_numbers_within_json_values_are_never_rounded(tmp_path):
    lines = [f'{{"a": {{"n": {value}}}, "l": [{value}]}}' for value in (BIG, 3.0, "null")]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found = rows(cut(tmp_path, "1 rows"), "t.jsonl")
    assert found == [{"a": {"n": value}, "l": [value]} for value in (BIG, 3, None)]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, lines[1].replace("3.0", "0.5")]))
    found = rows(cut(tmp_path, "1 rows"), "t.jsonl")
    assert found[0] == {"a": {"n": str(BIG)}, "l": [str(BIG)]}


@pytest.mark.parametrize("block", [4, 1 << 20], ids=["in many blocks", "in one block"])
def test_a_column_of_numbers_and_words_for_truth_is_text(tmp_path, monkeypatch, block):
    """As pandas keeps both; with numbers alone, or words alone, it is numbers or truth."""
    monkeypatch.setattr(text_records, "BLOCK_BYTES", block)
    (tmp_path / "a.csv").write_text("a,b,c\n1,1,True\ntrue,0,FALSE\n0,,\n")
    assert rows(cut(tmp_path, "1 rows"), "a.csv") == [
        {"a": "1", "b": 1, "c": True},
        {"a": "true", "b": 0, "c": False},
        {"a": "0", "b": None, "c": None},
    ]


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "\ufeff"], ids=repr)
def test_a_csv_file_without_a_header_is_one_item_that_cannot_be_read(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text("a\n1\n")
    types = ColumnTypes()
    files = [InputFile("a.csv"), InputFile("b.csv")]
    (batch,) = cut_tables(str(tmp_path), files, partition_size("9 rows"), types, tmp_path)
    assert [path for path, _ in batch] == ["a.csv", "b.csv"]
    with pytest.raises(InputError, match="it has no header"):
        PartReader(str(tmp_path), types.schema(), tmp_path).read(*batch[0])


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.csv.gz", "a.png"])
def test_what_is_no_table_is_one_item_that_cannot_be_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"no table at all\n" * 9)
    (batch,) = cut_tables(str(tmp_path), [InputFile(name)], partition_size("1KB"), ColumnTypes(), tmp_path)
    assert batch == [(name, WHOLE)]
    with pytest.raises(InputError, match=r"a\.\w+"):
        PartReader(str(tmp_path), None, tmp_path).read(name, WHOLE)


def test_a_row_of_another_length_fails_its_own_part_only(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 10 + "1,2,3\n" + "3,4\n" * 9)
    types = ColumnTypes()
    batches = list(cut_tables(str(tmp_path), [InputFile("a.csv")], partition_size("5 rows"), types, tmp_path))
    reader = PartReader(str(tmp_path), types.schema(), tmp_path)
    parts = [part for ((_, part),) in batches]
    assert [part.rows for part in parts] == [5, 5, 5, 5]
    assert reader.read("a.csv", parts[3]).to_pylist() == [{"a": 3, "b": 4}] * 5
    with pytest.raises(InputError, match="Expected 2 columns, got 3"):
        reader.read("a.csv", parts[2])


def test_a_file_that_has_changed_behind_the_plan_fails_instead_of_giving_other_rows(tmp_path):
    (tmp_path / "a.csv").write_text("a\n" + "11\n" * 4)
    reader = PartReader(str(tmp_path), None, tmp_path)
    (tmp_path / "a.csv").write_text("a\n" + "1\n" * 8)
    with pytest.raises(InputError, match="rows where 4 were counted"):
        reader.read("a.csv", Part(2, 14, 0, 4))


@pytest.mark.parametrize("types", [None, {"n": "long", "t": "string"}], ids=["looked for", "given"])
def test_a_quote_that_nothing_closes_costs_no_memory_and_only_what_is_behind_it(tmp_path, monkeypatch, types):
    monkeypatch.setattr(text_records, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(text_table, "LONGEST", 1 << 14)
    good = "n,t\n" + "1,x\n" * 100
    (tmp_path / "a.csv").write_text(good + '2,"y\n' + "3,z\n" * 100_000)
    types = signature_types(types, []) if types else ColumnTypes()
    read = []
    monkeypatch.setattr(text_table.TextTable, "_blocks", counting(text_table.TextTable._blocks, read))

    batches = list(cut_tables(str(tmp_path), [InputFile("a.csv")], partition_size("70 rows"), types, tmp_path))

    end = len(good)
    assert [part for ((_, part),) in batches] == [Part(4, 284, 0, 70), Part(284, end, 70, 30), Part(end, -1, 100, -1)]
    reader = PartReader(str(tmp_path), types.schema(), tmp_path, isolates=True)
    assert reader.read(*batches[1][0])["n"].to_pylist() == [1] * 30
    with pytest.raises(InputError, match=rf"row 100 of 'a\.csv' .* nothing closes the quote at byte {end + 2}"):
        reader.read(*batches[2][0])
    assert sum(read) < 80_000


def counting(blocks, read):
    def counted(self, start):
        for block in blocks(self, start):
            read.append(len(block))
            yield block

    return counted


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_row_longer_than_any_is_told(tmp_path, monkeypatch, name):
    monkeypatch.setattr(text_records, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(text_table, "LONGEST", 1 << 14)
    (tmp_path / name).write_text(("a\n" if name == "a.csv" else "") + "x" * 100_000)
    ((part,),) = cut_tables(str(tmp_path), [InputFile(name)], partition_size("9 rows"), ColumnTypes(), tmp_path)
    with pytest.raises(InputError, match=rf"row 0 of '{name}' is longer than"):
        PartReader(str(tmp_path), None, tmp_path).read(*part)


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_compressed_text_is_read_whole(tmp_path, compression):
    text = "a,b\n" + "".join(f"{n},x\n" for n in range(100))
    kind = {"gz": "gzip", "zst": "zstd"}[compression]
    with pa.CompressedOutputStream(str(tmp_path / f"a.csv.{compression}"), kind) as sink:
        sink.write(text.encode())
    ((((_, part, table)),),) = cut(tmp_path, "10 rows")
    assert (part.rows, table["a"].to_pylist()) == (100, list(range(100)))


def test_a_broken_end_of_a_compressed_file_fails_it(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1234\n" * 100_000)[:-500])
    (batch,) = cut_tables(str(tmp_path), [InputFile("a.csv.gz")], partition_size("1KB"), ColumnTypes(), tmp_path)
    assert batch == [("a.csv.gz", WHOLE)]


def test_a_signature_gives_the_types_and_the_columns_that_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("junk,n,zip,day,extra\n,,007,2024-01-01,09\n{,1,12,x,x\n")
    types = signature_types({"zip": "string", "n": "long", "day": "datetime"}, ["extra"])
    found = rows(cut(tmp_path, "1 rows", types), "a.csv")
    assert found == [
        {"n": None, "zip": "007", "day": "2024-01-01", "extra": "09"},
        {"n": 1, "zip": "12", "day": "x", "extra": "x"},
    ]


def test_equal_names_and_missing_ones_are_named_as_pandas_names_them(tmp_path):
    text = "a,a,,a.1\n1,2,3,4\n"
    (tmp_path / "a.csv").write_text(text)
    (((_, _, table),),) = cut(tmp_path, "1MB")
    assert table.column_names[:3] == ["a", "a.1", "Unnamed: 2"]
    assert len(set(table.column_names)) == 4


def test_what_pandas_reads_is_what_a_script_gets(tmp_path):
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "f": [1.5, math.nan, 3],
            "hole": [1, None, 3],
            "flag": [True, False, True],
            "text": ["a", None, "NA "],
            "none": [None, None, None],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    (((_, _, table),),) = cut(tmp_path, "1MB")
    pd.testing.assert_frame_equal(table.to_pandas(), pd.read_csv(tmp_path / "a.csv"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_part_is_read_without_what_is_before_and_behind_it(tmp_path, name):
    line = "123,abc\n" if name == "a.csv" else '{"a": 1}\n'
    data = ("a,b\n" if name == "a.csv" else "") + line * 400_000
    read = []

    class Counting(io.BytesIO):
        def read(self, size=-1):
            found = super().read(size)
            read.append(len(found))
            return found

    def open_at(at):
        file = Counting(data.encode())
        file.seek(at)
        return file

    table = {"a.csv": csv_table.CsvTable, "a.jsonl": JsonLinesTable}[name](name, open_at, True)
    start = table.begin + 300_000 * len(line)
    found = table.read(Part(start, start + 10 * len(line), 300_000, 10), None, pa.schema([("a", pa.int64())]))
    assert found.num_rows == 10
    assert sum(read) < len(data) / 2


def test_a_whole_file_is_looked_at_for_the_types_that_a_signature_leaves_open(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"zip": "007", "tags": [1, 2]}\n{"zip": "12", "tags": [], "more": 1}\n')
    types = signature_types({"zip": "string", "tags": "array"}, [])
    found = PartReader(str(tmp_path), types.schema(), tmp_path).read("a.jsonl", WHOLE)
    assert found.to_pylist() == [{"zip": "007", "tags": [1, 2]}, {"zip": "12", "tags": []}]
