"""What comes out is what went in: tables of all types, in parts of the same and of other types, in every format.

``ROUND_TRIPS=20000 pytest tests/unit/test_round_trips.py`` tries so many tables; 200 where nobody says more.
"""

import json
import math
import os
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from arrow_values import LEAVES, NAN, NUMBERS, TYPES, ZONES, array_of, parsed, some, values, values_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_endpoints.specs import rows_file
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.outputs.nested_types import is_large_list, is_list
from batch_endpoints.storage.outputs.output_folder import described_folder, folder_files, write_folder
from batch_endpoints.storage.outputs.rows import write_parts, write_rows

EXAMPLES = int(os.environ.get("ROUND_TRIPS", "200"))
FORMATS = ("csv", "jsonl", "parquet", "arrow")
FINITE = ("csv", "jsonl")  # where nested values are JSON, which has no NaN

# what Parquet holds under another type of the same kind, and no narrower
PARQUET = {
    pa.time32("s"): pa.time32("ms"),
    pa.date64(): pa.date32(),
    pa.decimal128(4, -2): pa.decimal128(6, 0),
    **{pa.timestamp("s", zone): pa.timestamp("ms", zone) for zone in ZONES},
    # within lists and structs
    pa.string_view(): pa.large_string(),
    pa.binary_view(): pa.large_binary(),
}


@st.composite
def parts(draw, kinds):
    """Some tables with columns of these types, and other ones in each."""
    names = draw(st.lists(st.sampled_from(["a", "b", 'c,"', "ü\n"]), min_size=1, max_size=3, unique=True))
    tables = []
    for _ in range(draw(st.integers(1, 3))):
        there = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        rows = draw(st.integers(1, 4))
        columns = {}
        for name in there:
            kind = draw(kinds(name))
            cells = st.lists(some(values_of(kind)), min_size=rows, max_size=rows)
            columns[name] = array_of(kind, draw(cells))
        tables.append(pa.table(columns))
    return tables


@st.composite
def alike(draw):
    """Each column has one type."""
    found = {}

    def kind(name):
        return st.just(found[name]) if name in found else TYPES.map(lambda one: found.setdefault(name, one))

    return draw(parts(kind))


@st.composite
def mixed(draw):
    """Each part has types of its own: numbers, or anything."""
    return draw(parts(lambda _: draw(st.sampled_from([NUMBERS, LEAVES, TYPES]))))


tried = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@tried
@given(tables=alike())
def test_columns_of_one_type_keep_it_and_every_value(tables):
    for format in FORMATS:
        check(format, tables)


@tried
@given(tables=mixed())
def test_columns_of_several_types_keep_every_value(tables):
    for format in FORMATS:
        check(format, tables)


@tried
@given(tables=alike())
def test_the_files_of_a_folder_keep_every_value_of_columns_of_one_type(tables):
    for format in FORMATS:
        check(format, tables, in_folder)


@tried
@given(tables=mixed())
def test_the_files_of_a_folder_keep_every_value_of_columns_of_several_types(tables):
    for format in FINITE:
        check(format, tables, in_folder)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
@pytest.mark.parametrize("format", FORMATS)
def test_views_of_text_within_lists_keep_their_values(format, kind):
    values = [[{"s": b"one" if kind == pa.binary_view() else "one"}], None, [{"s": None}]]
    check(format, [pa.table({"a": pa.array(values, pa.list_(pa.struct([("s", kind)])))})])


@pytest.mark.parametrize("format", FORMATS)
def test_categories_within_a_missing_list_of_fixed_size_need_not_exist(format):
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()), 2)
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), pa.array([], pa.string()), safe=False)
    missing = pa.FixedSizeListArray.from_arrays(inner, type=kind, mask=pa.array([True]))
    check(format, [pa.table({"a": missing}), pa.table({"a": pa.array([["x", None]], kind)})])


def in_file(files, commits, rows):
    """The columns of an output as one file, and the content of that."""
    columns, _ = write_rows(files, commits, files, rows)
    return columns, [files.read(rows.name)]


def in_folder(files, commits, rows):
    """The same of an output as a folder."""
    rows = rows._replace(name="p/")
    write_folder(files, [commits], files, rows)
    columns, _ = described_folder(commits, rows)
    return columns, [files.read(name) for name in sorted(folder_files([commits], rows))]


def check(format, tables, output=in_file):
    """Compare an output of these tables with what they hold, and with what the report says of its columns."""
    columns, found = written(format, tables, output)
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    assert list(columns) == names
    total = sum(table.num_rows for table in tables)
    for name in names:
        kinds = [table[name].type if name in table.column_names else None for table in tables]
        cells = found[name] if format in FINITE else values(found[name])
        assert len(cells) == total
        row = 0
        for table, kind in zip(tables, kinds, strict=True):
            given = values(table[name]) if kind is not None else [None] * table.num_rows
            for value in given:
                cell = cells[row]
                row += 1
                if kind is not None and (format in FINITE or columns[name] in ("string", "large_string")):
                    cell = parsed(cell, by_columns(kind, columns[name]))
                assert same(value, cell, format, columns[name]), (
                    name,
                    str(kind),
                    columns[name],
                    value,
                    cells[row - 1],
                )
        kinds = [kind for kind in kinds if kind is not None]
        if format in FINITE:
            assert (
                columns[name] == str(kinds[0])
                or len(set(kinds)) > 1
                or "dictionary" in str(kinds[0])
                or "run_end" in str(kinds[0])
            )
        else:
            assert columns[name] == str(found[name].type)
            assert keeps(format, kinds, found[name].type), (kinds, found[name].type)


def written(format, tables, output):
    with tempfile.TemporaryDirectory() as folder:
        files = Disk(Path(folder))
        stored = [
            write_parts(files, 0, at, [table], format if output is in_folder else None)
            for at, table in enumerate(tables)
        ]
        commits = [
            Commit(bundle=0, start=at, end=at + 1, parts=parts.paths, columns=parts.columns)
            for at, parts in enumerate(stored)
        ]
        columns, contents = output(files, commits, rows_file(f"p.{format}", None))
    there = [list(columns) if output is in_file else table.column_names for table in tables]
    pieces = [read(format, content, names) for content, names in zip(contents, there, strict=False)]
    if format not in FINITE:
        return columns, pa.concat_tables(pieces, promote_options="default")
    rows = [len(next(iter(piece.values()))) for piece in pieces]
    return columns, {
        name: [cell for piece, count in zip(pieces, rows, strict=True) for cell in piece.get(name, [None] * count)]
        for name in columns
    }


def read(format, content, names):
    source = pa.BufferReader(content)
    if format == "parquet":
        return pyarrow.parquet.read_table(source)
    if format == "arrow":
        return pa.ipc.open_file(source).read_all()
    if format == "jsonl":
        rows = [json.loads(line) for line in content.decode().split("\n")[:-1]]
        assert all(list(row) == names for row in rows)
        return {name: [row[name] for row in rows] for name in names}
    texts = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=len(names)
        == 1,  # a lone column has quotes for what is missing, or a line is empty
    )
    table = pa.csv.read_csv(source, convert_options=texts, parse_options=pa.csv.ParseOptions(newlines_in_values=True))
    return table.to_pydict()


def by_columns(kind, stored):
    """The type by which the text of a value reads back: durations have the unit of their column."""
    return pa.duration(stored[9:-1]) if stored.startswith("duration[") else kind


def same(value, cell, format, stored):
    """Is it the same value? NaN, infinity and empty texts where the format has them."""
    if value == cell:
        return True
    if isinstance(value, float) or value == NAN:
        if cell is None:  # as beside whole numbers, or in JSON
            return value == NAN or (format in FINITE and math.isinf(value))
        shorter = isinstance(cell, Decimal) and any(
            float(kind(str(cell))) == value for kind in (np.float16, np.float32)
        )
        return isinstance(cell, Decimal | int | float) and (float(cell) == value or shorter)
    if value in ("", b"") and cell is None:
        return format == "csv"
    if isinstance(value, str) and isinstance(cell, bytes):
        return value.encode() == cell
    if isinstance(value, list | tuple) and isinstance(cell, list | tuple):
        return len(value) == len(cell) and all(same(*pair, format, stored) for pair in zip(value, cell, strict=True))
    if isinstance(value, dict) and isinstance(cell, dict):
        return value.keys() <= cell.keys() and all(same(value[key], cell[key], format, stored) for key in value)
    return False


def keeps(format, kinds, stored):
    """Is what has one type stored under it, or a wider one of its kind?"""
    first, *others = {described(kind, format) for kind in kinds}
    if others:
        return True
    if stored == pa.string():
        return first == "string" or (format == "parquet" and ("interval" in first or "<>" in first))
    return first == described(stored, format)


def described(kind, format):
    """A type without what no output keeps (categories, runs, names in lists), and what Parquet lacks."""
    is_a = pa.types
    if is_a.is_dictionary(kind) or is_a.is_run_end_encoded(kind):
        return described(kind.value_type, format)
    if is_a.is_map(kind):
        return f"map<{described(kind.key_type, format)}, {described(kind.item_type, format)}>"
    if is_a.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {described(field.type, format)}' for field in kind)}>"
    if is_list(kind):
        value = described(kind.value_type, format)
        noun = "list" if format == "parquet" and is_a.is_fixed_size_list(kind) else str(kind).partition("<")[0]
        changed = "dictionary|run_end|decimal128.4, -2.|fixed_size_list|string_view|binary_view"
        encoded = "list_view" in noun and re.search(changed, str(kind))
        return f"{'large_' * is_large_list(kind)}list<{value}>" if encoded else f"{noun}<{value}>"
    return str(PARQUET.get(kind, kind) if format == "parquet" else kind)
