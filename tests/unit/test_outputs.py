import csv
import io
import json
import math
from datetime import date, datetime
from decimal import Decimal
from itertools import chain

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_endpoints.errors import Conflict, InputError, OutputFailed
from batch_endpoints.specs import JobOutput, Model, ModelDeployment, ScoringJob, rows_file
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommittedFile, FailedItem, FailedRow
from batch_endpoints.storage.outputs.item_lists import write_failed_items
from batch_endpoints.storage.outputs.named_output import named_output
from batch_endpoints.storage.outputs.rows import write_parts, write_rows


@pytest.fixture
def files(tmp_path):
    return Disk(tmp_path)


def written(files, name, *tables):
    """The bytes of an output of these tables, each of its own commit."""
    return written_columns(files, name, *tables)[1]


def written_columns(files, name, *tables):
    commits = [
        Commit(bundle=0, start=at, end=at + 1, parts=write_parts(files, 0, at, [table]).paths)
        for at, table in enumerate(tables)
    ]
    found = write_rows(files, commits, files, rows_file(name, None))
    return found.columns, files.read(name)


def rows(content):
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        pytest.param(
            [{"a": [1]}, {"b": ["x"], "a": [2]}], [["a", "b"], ["1", ""], ["2", "x"]], id="union of columns"
        ),
        pytest.param([{"b": [1], "a": [2]}, {"a": [3]}], [["b", "a"], ["1", "2"], ["", "3"]], id="order of columns"),
        pytest.param(
            [{"a": [1], "b": [1]}, {"a": [1.5], "b": [2]}], [["a", "b"], ["1", "1"], ["1.5", "2"]], id="float"
        ),
        pytest.param([{"a": [1, 2]}, {"a": ["x"]}], [["a"], ["1"], ["2"], ["x"]], id="int and text"),
        pytest.param([{"a": [1.0]}, {"a": ["x"]}], [["a"], ["1.0"], ["x"]], id="float and text"),
        pytest.param([{"a": [True]}, {"a": [1]}], [["a"], ["true"], ["1"]], id="boolean and int"),
        pytest.param([{"a": [date(2024, 1, 2)]}, {"a": ["x"]}], [["a"], ["2024-01-02"], ["x"]], id="date and text"),
        pytest.param([{"a": pa.nulls(1)}, {"a": [1]}], [["a"], [""], ["1"]], id="nothing but nulls at first"),
        pytest.param([{"a": [[1, 2]]}, {"a": [{"x": "ü"}]}], [["a"], ["[1, 2]"], ['{"x": "ü"}']], id="nested"),
        pytest.param(
            [{"a": [{"x": 1}]}, {"a": [{"y": 2}]}],
            [["a"], ['{"x": 1, "y": null}'], ['{"x": null, "y": 2}']],
            id="structs",
        ),
        pytest.param([{"a": [b"\xff\x00"]}], [["a"], ["ff00"]], id="bytes"),
        pytest.param([{"a": pa.array([b"ab"], pa.binary(2))}], [["a"], ["6162"]], id="bytes of fixed length"),
        pytest.param([{"a": [b"ab"]}, {"a": ["cd"]}], [["a"], ["6162"], ["cd"]], id="bytes and text"),
        pytest.param([{"a": pa.nulls(1)}, {"a": [b"ab"]}], [["a"], [""], ["6162"]], id="nulls and bytes"),
        pytest.param(
            [{"a": pa.array([0], pa.timestamp("us", "Mars/Base"))}],
            [["a"], ["1970-01-01T00:00:00.000000Z"]],
            id="an unknown time zone",
        ),
        pytest.param(
            [{"a": pa.array([1], pa.timestamp("ns"))}, {"a": ["x"]}],
            [["a"], ["1970-01-01T00:00:00.000000001"], ["x"]],
            id="nanoseconds and text",
        ),
        pytest.param([{"a": pa.array(["x"]).dictionary_encode()}], [["a"], ["x"]], id="categories"),
        pytest.param([{"a": pa.array(["x"], pa.string_view())}], [["a"], ["x"]], id="views"),
        pytest.param([{"a": [Decimal("1.10")]}], [["a"], ["1.10"]], id="decimals"),
        pytest.param([{"a": [[float("nan"), 1.0]]}], [["a"], ["[null, 1.0]"]], id="nested NaN"),
        pytest.param([{"a": [1, None]}], [["a"], ["1"], [""]], id="a lone null is a row"),
        pytest.param([{"a": ["", None, "x"]}], [["a"], [""], [""], ["x"]], id="lone empty texts are rows"),
        pytest.param([{'a"b,\n': [1]}], [['a"b,\n'], ["1"]], id="a strange header"),
        pytest.param([{"a": pa.array([], pa.int64())}, {"b": [1]}], [["b"], ["1"]], id="a mini-batch without rows"),
    ],
)
def test_csv_holds_the_rows_of_all_parts_under_all_columns(files, tables, expected):
    assert rows(written(files, "p.csv", *map(pa.table, tables))) == expected


@pytest.mark.parametrize(("ending", "compression"), [(".gz", "gzip"), (".bz2", "bz2"), (".zst", "zstd")])
@pytest.mark.parametrize("name", ["p.csv", "p.jsonl"])
def test_text_is_compressed_where_its_name_says_so(files, name, ending, compression):
    tables = [pa.table({"a": ["ü" * n, "x"]}) for n in (1, 100_000)]
    content = written(files, name + ending, *tables)
    plain = pa.input_stream(pa.BufferReader(content), compression=compression).read()
    assert plain == written(files, name, *tables)
    assert len(content) < len(plain) / 10


def test_numbers_beyond_what_a_float_can_hold_end_no_job(files):
    content = written(files, "p.csv", pa.table({"a": [2**53 + 1]}), pa.table({"a": [1.5]}))
    assert [float(row[0]) for row in rows(content)[1:]] == [2.0**53, 1.5]


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet", "p.arrow"])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(pa.array([2**63 + 5], pa.uint64()), pa.array([-7]), id="whole numbers"),
        pytest.param(pa.array([[2**63 + 5]], pa.list_(pa.uint64())), pa.array([[-7]]), id="lists of them"),
        pytest.param(pa.array([Decimal("1.50")]), pa.array([200], pa.uint8()), id="a decimal"),
        pytest.param(pa.array([datetime(1500, 1, 2)]), pa.array([1], pa.timestamp("ns")), id="times"),
    ],
)
def test_no_value_is_lost_where_the_common_type_of_two_columns_cannot_hold_it(files, name, one, two):
    content = written(files, name, pa.table({"a": one}), pa.table({"a": two}), pa.table({"a": one}))
    source = pa.BufferReader(content)
    match name.rpartition(".")[2]:
        case "csv":
            found = [row[0] for row in rows(content)[1:]]
        case "jsonl":
            found = [json.loads(line)["a"] for line in content.splitlines()]
        case "parquet":
            found = pyarrow.parquet.read_table(source)["a"].to_pylist()
        case _:
            found = pa.ipc.open_file(source).read_all()["a"].to_pylist()
    first = {"timestamp[us]": "1500-01-02T00:00:00"}.get(str(one.type), str(one[0].as_py()))
    last = {"timestamp[ns]": "1970-01-01T00:00:00.000000001"}.get(str(two.type)) or str(two[0].as_py())
    assert list(map(str, found)) == [first, last, first]


BIG = 9007199254740993  # which no double can hold
PARTS = {
    "whole doubles": ([BIG, None], [3.0, None], "int64", [str(BIG), None, "3", None]),
    "a gap alone": (
        [BIG, 1234567890123456789],
        [None, math.nan],
        "int64",
        [str(BIG), "1234567890123456789", None, None],
    ),
    "large whole doubles": ([1], [1e17], "int64", ["1", "100000000000000000"]),
    "beyond int64": ([1], [1e19], "uint64", ["1", "10000000000000000000"]),
    "beyond uint64": ([-1], [1e19], "decimal128(20, 0)", ["-1", "10000000000000000000"]),
    "fractions": ([BIG], [0.1, -2.0], "decimal128(17, 1)", [str(BIG), "0.1", "-2"]),
    "small fractions": ([1], [1.5e-7], "decimal128(9, 8)", ["1", "0.00000015"]),
    "many digits": ([BIG], [1.25e-30], "decimal256(48, 32)", [str(BIG), "1.25e-30"]),
    "too many digits": ([BIG], [1e-200], "string", [str(BIG), "1e-200"]),
    "infinity": ([BIG], [math.inf], "string", [str(BIG), "inf"]),
    "32 bits": ([BIG], pa.array([0.1, None], pa.float32()), "decimal128(17, 1)", [str(BIG), "0.1", None]),
    "16 bits": ([BIG], pa.array([0.5, 1.0], pa.float16()), "decimal128(17, 1)", [str(BIG), "0.5", "1"]),
}


@pytest.mark.parametrize("order", [1, -1], ids=["whole numbers first", "whole numbers last"])
@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet", "p.arrow"])
@pytest.mark.parametrize("case", PARTS)
def test_whole_numbers_beside_doubles_are_never_rounded(files, name, case, order):
    whole, doubles, kind, expected = PARTS[case]
    expected = (expected[: len(whole)], expected[len(whole) :])[::order]
    columns, content = written_columns(files, name, *[pa.table({"a": a}) for a in (whole, doubles)][::order])
    assert columns["a"] == kind
    found = read_back(name, content)
    for text, value in zip(chain(*expected), found, strict=True):
        if text is None or (text == "inf" and name == "p.jsonl"):
            assert value is None
        else:
            assert str(value) == text if kind == "string" else Decimal(value) == Decimal(text)
        if kind.endswith("int64") and value is not None:
            assert str(value).isdigit(), "whole numbers have no exponent and no point"


def read_back(name, content):
    """The values of column a, of text as it stands there."""
    source = pa.BufferReader(content)
    match name.rpartition(".")[2]:
        case "csv":
            return [row[0] or None for row in rows(content)[1:]]
        case "jsonl":
            lines = content.decode().splitlines()
            return [json.loads(line, parse_float=str, parse_int=str)["a"] for line in lines]
        case "parquet":
            return pyarrow.parquet.read_table(source)["a"].to_pylist()
        case _:
            return pa.ipc.open_file(source).read_all()["a"].to_pylist()


def test_whole_numbers_that_all_fit_stay_what_they_were(files):
    tables = [pa.table({"a": pa.array([7], kind)}) for kind in (pa.uint64(), pa.int64())]
    found = pyarrow.parquet.read_table(pa.BufferReader(written(files, "p.parquet", *tables)))
    assert found["a"].type == pa.int64()


@pytest.mark.parametrize("values", [[{}], [{"a": {}}], [[{}]]])
def test_objects_without_any_field_are_json_where_parquet_has_no_type_for_them(files, values):
    table = pa.table({"a": values, "b": [1]})
    (part,) = write_parts(files, 0, 0, [table], "parquet").paths
    for content in (written(files, "p.parquet", table), files.read(part)):
        found = pyarrow.parquet.read_table(pa.BufferReader(content))
        assert found.column_names == ["a", "b"]
        assert [json.loads(value) for value in found["a"].to_pylist()] == values
        assert found["b"].to_pylist() == [1]


def test_bytes_stay_bytes_beside_text_where_the_format_has_them(files):
    content = written(files, "p.parquet", pa.table({"a": [b"\xff"]}), pa.table({"a": ["cd"]}))
    assert pyarrow.parquet.read_table(pa.BufferReader(content))["a"].to_pylist() == [b"\xff", b"cd"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(pa.array([1, None], pa.timestamp("ns")), "1970-01-01T00:00:00.000000001", id="nanoseconds"),
        pytest.param(
            pa.array([0, None], pa.timestamp("s", "Mars/Base")), "1970-01-01T00:00:00Z", id="an unknown time zone"
        ),
        pytest.param(
            pa.array([[1, None], None], pa.list_(pa.timestamp("ns"))),
            ["1970-01-01T00:00:00.000000001", None],
            id="in a list",
        ),
        pytest.param(
            pa.array([2**40, None], pa.timestamp("s")), "<value out of range: 1099511627776>", id="a year after 9999"
        ),
    ],
)
def test_jsonl_has_text_for_what_python_has_no_type_for(files, column, expected):
    content = written(files, "p.jsonl", pa.table({"a": column, "b": [True, False]}))
    found = [json.loads(line) for line in content.splitlines()]
    assert found == [{"a": expected, "b": True}, {"a": None, "b": False}]


@pytest.mark.parametrize(
    ("column", "csv_texts", "json_texts"),
    [
        pytest.param(
            pa.array([1e15, 9007199254740992.0, 1e17, -3e20, 0.5, math.nan, None]),
            [
                "1000000000000000",
                "9007199254740992",
                "100000000000000000",
                "-300000000000000000000",
                "0.5",
                "nan",
                "",
            ],
            [
                "1000000000000000.0",
                "9007199254740992.0",
                "100000000000000000",
                "-300000000000000000000",
                "0.5",
                None,
                None,
            ],
            id="doubles",
        ),
        pytest.param(
            pa.array([1e20, 0.1], pa.float32()),
            ["100000002004087734272", "0.1"],
            ["100000000000000000000", "0.1"],
            id="32 bits",
        ),
        pytest.param(pa.array([Decimal("1200")], pa.decimal128(5, -2)), ["1200"], ["1200"], id="decimals"),
        pytest.param(pa.array([Decimal("0.0000001")]), ["0.0000001"], ["0.0000001"], id="small decimals"),
        pytest.param(
            pa.array([[1e17, 0.5, 1.0]]),
            ["[100000000000000000, 0.5, 1.0]"],
            [["100000000000000000", "0.5", "1.0"]],
            id="in lists",
        ),
        pytest.param(
            pa.array(
                [{"f": 0.1, "l": [0.2, None]}, None], pa.struct({"f": pa.float32(), "l": pa.list_(pa.float32())})
            ),
            ['{"f": 0.1, "l": [0.2, null]}', ""],
            [{"f": "0.1", "l": ["0.2", None]}, None],
            id="32 bits in objects",
        ),
    ],
)
def test_text_has_numbers_at_their_shortest_and_whole_ones_without_an_exponent(files, column, csv_texts, json_texts):
    table = pa.table({"a": column, "t": ['a "b",\n'] * len(column)})
    found = rows(written(files, "p.csv", table))[1:]
    assert found == [[text, 'a "b",\n'] for text in csv_texts]
    assert read_back("p.jsonl", written(files, "p.jsonl", table)) == json_texts


def test_the_report_has_the_columns_that_a_reader_finds_and_what_the_format_cannot_tell_apart(tmp_path):
    files = Disk(tmp_path)
    table = pa.table({"t": ["", None], "n": [math.nan, None], "o": [{}, None], "s": pa.array([0, None], pa.int8())})
    commits = [Commit(bundle=0, start=0, end=1, parts=write_parts(files, 0, 0, [table]).paths)]
    found = {
        name: named_output(job(output_file_name=f"p.{name}"), tmp_path.as_uri()).write(files, [commits])
        for name in ("csv", "jsonl", "parquet", "arrow")
    }
    kinds = {"t": "string", "n": "double", "o": "struct<>", "s": "int8"}
    assert {name: written.columns for name, written in found.items()} == {
        name: kinds | ({"o": "string"} if name == "parquet" else {}) for name in found
    }
    assert {name: [note.rpartition(": ")[2] for note in written.notes] for name, written in found.items()} == {
        "csv": ["t"],
        "jsonl": ["n"],
        "parquet": [],
        "arrow": [],
    }


def test_values_that_a_format_cannot_hold_are_refused_in_a_sentence(files):
    table = pa.table({"a": pa.array([2**55], pa.timestamp("s"))})
    with pytest.raises(OutputFailed, match=r"what run\(\) returned cannot be written as parquet: Integer overflow"):
        written(files, "p.parquet", table)
    with pytest.raises(OutputFailed, match=r"what run\(\) returned cannot be written as parquet: Integer overflow"):
        write_parts(files, 0, 0, [table], "parquet")
    assert not files.exists("p.parquet")


# the Arrow writer takes text with any character but a lone surrogate
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\r\n", "a\rb", ",;", " x "]
)


@settings(max_examples=40)
@given(values=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6), name=TEXT)
def test_any_text_survives_csv(tmp_path_factory, values, name):
    files = Disk(tmp_path_factory.mktemp("csv"))
    one, two = zip(*values, strict=True)
    table = pa.table([pa.array(one), pa.array(two)], names=[f"a{name}", "b"])
    assert rows(written(files, "p.csv", table)) == [[f"a{name}", "b"], *map(list, values)]


MIXED = [
    pa.table({"n": [1, None], "s": ["ü\n", '"'], "l": [[1], None]}),
    pa.table({"n": [2.5], "t": [datetime(2024, 1, 2, 3)], "s": ["x"]}),
]
MIXED_ROWS = [
    {"n": 1.0, "s": "ü\n", "l": [1], "t": None},
    {"n": None, "s": '"', "l": None, "t": None},
    {"n": 2.5, "s": "x", "l": None, "t": datetime(2024, 1, 2, 3)},
]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("p.parquet", pyarrow.parquet.read_table),
        ("p.PQT", pyarrow.parquet.read_table),
        ("p.arrow", lambda file: pa.ipc.open_file(file).read_all()),
        ("p.feather", lambda file: pa.ipc.open_file(file).read_all()),
    ],
)
def test_columnar_formats_keep_types_and_rows(files, name, read):
    found = read(pa.BufferReader(written(files, name, *MIXED)))
    assert found.column_names == ["n", "s", "l", "t"]
    assert found.to_pylist() == MIXED_ROWS


def test_jsonl_is_one_object_a_line(files):
    content = written(files, "p.jsonl", *MIXED).decode()
    expected = [{**row, "t": row["t"] and row["t"].isoformat()} for row in MIXED_ROWS]
    assert [json.loads(line) for line in content.split("\n")[:-1]] == expected


def test_jsonl_has_null_for_what_json_has_no_number_for(files):
    table = pa.table({"a": [float("nan"), float("inf"), 1.5], "b": [[{"c": float("nan")}], None, None]})
    content = written(files, "p.jsonl", table)
    assert b"NaN" not in content
    assert pyarrow.json.read_json(pa.BufferReader(content)).column("a").to_pylist() == [None, None, 1.5]


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet", "p.arrow", "p.txt"])
def test_an_output_without_rows_is_an_empty_file_of_its_format(files, name):
    content = written(files, name)
    match name.rpartition(".")[2]:
        case "parquet":
            assert pyarrow.parquet.read_table(pa.BufferReader(content)).num_rows == 0
        case "arrow":
            assert pa.ipc.open_file(content).read_all().num_rows == 0
        case _:
            assert content == b""


def test_rows_stand_in_the_order_of_the_commits(files):
    tables = [pa.table({"a": [n, n]}) for n in range(20)]
    assert rows(written(files, "p.csv", *tables))[1:] == [[str(n)] for n in range(20) for _ in range(2)]


def test_tables_of_one_kind_share_a_part_and_empty_ones_make_none(files):
    one, two = pa.table({"a": [1]}), pa.table({"b": [1]})
    assert len(write_parts(files, 0, 0, [one, one, two, one.slice(1), two]).paths) == 2
    assert write_parts(files, 0, 0, [one.slice(1)]).paths == ()


def test_rows_of_many_mini_batches_come_into_few_record_batches(files):
    tables = [pa.table({"a": [number]}) for number in range(500)]
    (part,) = write_parts(files, 0, 0, tables).paths
    with files.open_input(part) as file, pa.ipc.open_file(file) as reader:
        assert reader.num_record_batches == 1
        assert reader.read_all()["a"].to_pylist() == list(range(500))


class CountedOpens(Disk):
    """Knows which parts were opened."""

    def __init__(self, root):
        super().__init__(root)
        self.opened = []

    def open_input(self, path):
        self.opened.append(path)
        return super().open_input(path)


def test_columns_are_known_from_one_part_of_each_kind_and_all_parts_are_opened_once_besides(tmp_path):
    files = CountedOpens(tmp_path)
    kinds = [{"a": [1]}, {"a": [1], "b": ["x"]}, {"a": [1.5]}]
    content = written(files, "p.csv", *(pa.table(kinds[n % 3 if n > 6 else 0]) for n in range(30)))
    assert len(rows(content)) == 31
    assert len(set(files.opened)) == 30
    assert len(files.opened) == 33


def test_parts_under_the_names_of_older_versions_are_read_as_well(files):
    paths = [
        *write_parts(files, 0, 0, [pa.table({"a": [1]})]).paths,
        *write_parts(files, 0, 1, [pa.table({"a": ["x"]})]).paths,
    ]
    older = [f"parts/000000-{at:09}-0123456789ab.arrow" for at in range(2)]
    for path, name in zip(paths, older, strict=True):
        (files.disk / path).rename(files.disk / name)
    write_rows(files, [Commit(bundle=0, start=0, end=2, parts=older)], files, rows_file("p.csv", None))
    assert rows(files.read("p.csv")) == [["a"], ["1"], ["x"]]


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.parquet", "p.arrow"])
def test_each_mini_batch_may_have_categories_of_its_own(files, name):
    tables = [pa.table({"a": pa.array([f"x{n}", "y"] * 6_000).dictionary_encode()}) for n in range(3)]
    parts = write_parts(files, 0, 0, tables[:2]).paths + write_parts(files, 0, 2, tables[2:]).paths
    write_rows(files, [Commit(bundle=0, start=0, end=3, parts=parts)], files, rows_file(name, None))
    source = pa.BufferReader(files.read(name))
    match name.rpartition(".")[2]:
        case "csv":
            found = pyarrow.csv.read_csv(source)
        case "jsonl":
            found = pyarrow.json.read_json(source)
        case "parquet":
            found = pyarrow.parquet.read_table(source)
        case _:
            found = pa.ipc.open_file(source).read_all()
    assert found["a"].to_pylist() == [value for table in tables for value in table["a"].to_pylist()]


def test_an_output_of_many_small_parts_has_few_row_groups(files):
    content = written(files, "p.parquet", *(pa.table({"a": [n]}) for n in range(300)))
    found = pyarrow.parquet.ParquetFile(pa.BufferReader(content))
    assert found.num_row_groups == 1
    assert found.read()["a"].to_pylist() == list(range(300))


def test_large_rows_are_written_a_few_at_a_time(files):
    large = [pa.table({"a": [bytes(700_000)]}) for _ in range(6)]
    found = pyarrow.parquet.ParquetFile(pa.BufferReader(written(files, "p.parquet", *large)))
    assert [found.metadata.row_group(at).num_rows for at in range(found.num_row_groups)] == [2, 2, 2]


def test_failed_items_are_a_line_each_and_no_file_where_there_are_none(files):
    item = FailedItem(file="a.csv", mini_batch=1, reason="ü\nbad")
    write_failed_items(files, [])
    assert not files.exists("failed_items.jsonl")
    write_failed_items(files, [item, item])
    lines = files.read("failed_items.jsonl").decode().splitlines()
    assert [FailedItem.model_validate_json(line) for line in lines] == [item, item]
    write_failed_items(files, [])
    assert files.read("failed_items.jsonl") == b""


def test_failed_rows_are_lines_among_those_of_failed_items(files):
    row = FailedRow(file="a.csv", mini_batch=0, row=7, reason="bad", input={"age": None, "name": "x"})
    item = FailedItem(file="b.csv", mini_batch=1, reason="worse")
    write_failed_items(files, [row, item])
    assert [json.loads(line) for line in files.read("failed_items.jsonl").decode().splitlines()] == [
        {"file": "a.csv", "mini_batch": 0, "row": 7, "reason": "bad", "error": "", "message": "", "attempts": 1}
        | {"stack": "", "input": {"age": None, "name": "x"}},
        {"file": "b.csv", "mini_batch": 1, "reason": "worse", "error": "", "message": ""}
        | {"attempts": 1, "stack": ""},
    ]


def test_what_a_commit_tells_once_of_failures_alike_is_in_each_line_but_for_the_stacks_of_rows(files):
    told = {"reason": "s.py:1: E: bad", "error": "E", "mini_batch": 0}
    items = [FailedItem(file="a", message="bad\n", stack="…", **told), FailedItem(file="b", **told)]
    rows = [FailedRow(file="c", row=n, stack="…" * (n == 0), **told) for n in range(2)]
    other = FailedRow(file="c", row=2, **{**told, "reason": "E: worse"}, message="worse")
    write_failed_items(files, [*items, *rows, other])
    lines = [json.loads(line) for line in files.read("failed_items.jsonl").decode().splitlines()]
    assert [line["message"] for line in lines] == ["bad\n"] * 4 + ["worse"]
    assert [line["stack"] for line in lines] == ["…", "…", "…", "", ""]


def job(outputs=None, **settings):
    deployment = ModelDeployment(name="xgb", model=Model(path="/m"), settings=settings)
    return ScoringJob(name="j", deployment=deployment, inputs={}, outputs=outputs or {})


@pytest.mark.parametrize(
    ("outputs", "settings", "expected"),
    [
        pytest.param({}, {}, ("score", "JOB/named-outputs/score", "predictions.csv"), id="default"),
        pytest.param({"x": JobOutput()}, {}, ("x", "JOB/named-outputs/x", "predictions.csv"), id="named"),
        pytest.param(
            {}, {"output_file_name": "p.jsonl"}, ("score", "JOB/named-outputs/score", "p.jsonl"), id="file name"
        ),
        pytest.param({}, {"output_action": "summary_only"}, ("score", "JOB/named-outputs/score", ""), id="no rows"),
        pytest.param({"x": JobOutput(path="s3://b/o/")}, {}, ("x", "s3://b/o", "predictions.csv"), id="folder"),
        pytest.param({"x": JobOutput(type="uri_file", path="/o/p.parquet")}, {}, ("x", "/o", "p.parquet"), id="file"),
        pytest.param(
            {"x": JobOutput(type="uri_file", path="/p.csv")}, {}, ("x", "/", "p.csv"), id="file at the root"
        ),
        pytest.param(
            {"x": JobOutput(type="uri_file", path="/o/p.csv")},
            {"output_action": "summary_only"},
            ("x", "/o/p.csv", ""),
            id="a file where there are no rows",
        ),
    ],
)
def test_an_output_goes_where_it_was_asked_to(outputs, settings, expected):
    found = named_output(job(outputs, **settings), "JOB")
    assert (found.name, found.folder, found.file_name) == expected


@pytest.mark.parametrize("name", ["p.csv", "predictions.csv"])
def test_a_file_whose_name_does_not_go_with_the_format_is_refused(name):
    told = rf"the output ./o/{name}. cannot be written: output_format is .parquet."
    with pytest.raises(InputError, match=told):
        named_output(job({"x": JobOutput(type="uri_file", path=f"/o/{name}")}, output_format="parquet"), "JOB")


def test_an_existing_output_is_in_the_way(tmp_path):
    output = named_output(job({"x": JobOutput(path=tmp_path.as_uri())}), "JOB")
    output.check_free()
    (tmp_path / "predictions.csv").touch()
    assert output.taken()
    with pytest.raises(Conflict, match=r"predictions.csv' exists already\nName another path, or ask for overwrite"):
        output.check_free()


@pytest.mark.parametrize("kept", ["note.txt", "deep/note.txt"])
def test_where_only_files_of_scripts_go_any_file_of_a_given_folder_is_in_the_way(tmp_path, kept):
    outputs = {"x": JobOutput(path=tmp_path.as_uri())}
    output = named_output(job(outputs, output_action="summary_only"), "JOB")
    output.check_free()
    (tmp_path / kept).parent.mkdir(exist_ok=True)
    (tmp_path / kept).touch()
    with pytest.raises(Conflict, match=r"' is a folder with files in it\nName another path, or ask for overwrite"):
        output.check_free()


def test_files_that_were_there_before_the_job_are_not_replaced_by_those_of_its_script(tmp_path):
    files, place = Disk(tmp_path / "job"), tmp_path / "out"
    files.replace("parts/note", b"ours")
    place.mkdir()
    (place / "note.txt").write_text("theirs")
    commits = [
        Commit(bundle=0, start=n, end=n + 1, files=(CommittedFile(name="note.txt", stored="parts/note"),))
        for n in range(2)
    ]
    outputs = {"x": JobOutput(path=place.as_uri())}
    output = named_output(job(outputs), "JOB")

    for rounds in ([commits[:1]], [commits[:1], commits[1:]]):  # and once more, with what a retry has won
        renamed = output.write(files, rounds).renamed

    kept = {path.name: path.read_text() for path in place.glob("note*")}
    assert kept == {"note.txt": "theirs", "note-2.txt": "ours", "note-3.txt": "ours"}
    assert [one.reason for one in renamed] == ["it was there before"] * 2
    replacing = named_output(job(outputs).model_copy(update={"overwrite": True}), "JOB")
    assert replacing.write(files, [commits[:1]]).renamed == []
    assert (place / "note.txt").read_text() == "ours"


def test_writing_an_output_says_where_it_is(tmp_path):
    files = Disk(tmp_path)
    commits = [Commit(bundle=0, start=0, end=1, parts=write_parts(files, 0, 0, [pa.table({"a": [1]})]).paths)]
    found = named_output(job(), tmp_path.as_uri()).write(files, [commits])
    assert found.output.path == (tmp_path / "named-outputs/score").as_uri()
    assert (tmp_path / "named-outputs/score/predictions.csv").read_text() == '"a"\n1\n'
