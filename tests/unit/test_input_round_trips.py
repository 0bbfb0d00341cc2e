"""What a model or script is given is what its files hold: all types, in every format, cut at every size.

``ROUND_TRIPS=20000 pytest tests/unit/test_input_round_trips.py`` tries so many inputs; 200 where nobody says more.
"""

import csv
import io
import json
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from arrow_values import NAN, TEXTS, TYPES, array_of, some, values, values_of
from hypothesis import example, given, reject
from hypothesis import strategies as st
from script_results import plain
from tables import cut, payloads
from test_round_trips import tried

from batch_endpoints.scoring.host_tables import table_as
from batch_endpoints.storage.tables import csv_table

SIZES = st.integers(1, 6).map(lambda n: f"{n} rows") | st.integers(1, 99).map(lambda n: f"{n}B") | st.just("64MB")


def write_parquet(path, tables):
    with pyarrow.parquet.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def write_arrow(make):
    def write(path, tables):
        with pa.OSFile(str(path), "wb") as sink, make(sink, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)

    return write


BINARY = {
    "parquet": write_parquet,
    "arrow": write_arrow(pa.ipc.new_file),
    "ipc": write_arrow(pa.ipc.new_stream),
    "feather": lambda path, tables: pyarrow.feather.write_feather(pa.concat_tables(tables), path, "lz4"),
}


def arrived(folder, form, size):
    """What ``run()`` gets of a folder, call by call."""
    return [table_as(form, payload) for payload in payloads(cut(folder, size))]


def fits(write, kinds):
    """Has the format a type for each of these? Arrow cannot read a missing list of fixed size from Parquet."""
    if write is write_parquet and any("fixed_size_list" in str(kind) for kind in kinds):
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            write(
                Path(folder) / "x",
                [pa.table([array_of(kind, []) for kind in kinds], names=list(map(str, range(len(kinds)))))],
            )
        except (pa.ArrowException, OSError):
            return False
    return True


def test_a_column_whose_name_has_a_line_break_keeps_its_whole_numbers(tmp_path):
    table = pa.table({"a\n[b": [9007199254740993, None]})
    for ending, write in BINARY.items():
        write(tmp_path / f"a.{ending}", [table])
    for form in ("pandas", "numpy"):
        cells = [one for table in arrived(tmp_path, form, "1 rows") for one in table["a\n[b"]]
        assert list(map(plain, cells)) == [9007199254740993, None] * len(BINARY)


@tried
@given(data=st.data())
def test_tables_of_all_types_arrive_as_they_are_stored_whatever_the_cut(data):
    ending = data.draw(st.sampled_from(sorted(BINARY)))
    kinds = data.draw(st.lists(TYPES.filter(lambda kind: fits(BINARY[ending], [kind])), min_size=1, max_size=2))
    names = ["a", "ü\n"][: len(kinds)]
    tables = []
    for rows in data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)):
        cells = [data.draw(st.lists(some(values_of(kind)), min_size=rows, max_size=rows)) for kind in kinds]
        tables.append(pa.table([*map(array_of, kinds, cells)], names=names))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"a.{ending}"
        try:
            BINARY[ending](path, tables)
            stored = pa.concat_tables(tables)
            if ending == "parquet":
                stored = pyarrow.parquet.ParquetFile(path).read()
        except (pa.ArrowInvalid, NotImplementedError) as error:  # what Arrow cannot store, or read again
            assert "Dictionary replacement" in str(error) or "Nested data conversions" in str(error)  # noqa: PT017
            reject()
        size = data.draw(SIZES)

        found = arrived(Path(place), "pyarrow", size)

        assert {described(table) for table in found} == {described(stored)}
        for name in names:
            assert [one for table in found for one in values(table[name])] == values(stored[name])
        for form in ("pandas", "numpy"):
            try:
                found = arrived(Path(place), form, size)
            except TypeError as error:
                assert "let run() take a pyarrow.Table" in str(error)  # noqa: PT017
                continue
            assert sum(len(table[names[0]]) for table in found) == stored.num_rows
            for name, kind in zip(names, kinds, strict=True):
                cells = [one for table in found for one in table[name]]
                assert not comparable(kind) or all(map(same, values(stored[name]), cells)), (form, str(kind), cells)


def described(table):
    """Its types, without the names that Parquet gives to the parts of a map."""
    return tuple(re.sub(r" \('[^']*'\)", "", str(kind)) for kind in table.schema.types)


def comparable(kind):
    """Has Python one value for what Arrow has of this type? pandas and numpy have other forms of the rest."""
    is_a = pa.types
    others = (is_a.is_nested, is_a.is_interval, is_a.is_time, is_a.is_date, is_a.is_timestamp, is_a.is_duration)
    return not isinstance(kind, pa.BaseExtensionType) and not any(is_other(kind) for is_other in others)


def same(stored, cell):
    cell = plain(cell)
    if stored is None or stored == NAN:  # one and the same for pandas and numpy
        return cell is None or cell == NAN
    return cell == stored and isinstance(cell, float) <= isinstance(stored, float)


NUMBERS_IN_TEXT = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e22, 1e-320, -0.0, 0.1]),
)
OF_COLUMN = [
    NUMBERS_IN_TEXT,
    st.integers(-9, 9),
    st.integers(2**53, 2**53 + 9),
    st.floats(-9, 9),
    st.booleans(),
    TEXTS,
    NUMBERS_IN_TEXT | st.booleans() | TEXTS,
]


@st.composite
def columns_in_text(draw):
    """Rows of some files, of columns that are of numbers, truth or text, or of all of these; None is missing."""
    kinds = draw(st.lists(st.sampled_from(OF_COLUMN), min_size=1, max_size=3))
    return draw(st.lists(st.lists(st.tuples(*map(some, kinds)), min_size=1, max_size=6), min_size=1, max_size=3))


def in_csv(value):
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@tried
@given(files=columns_in_text(), size=SIZES, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example(files=[[(9007199254740993,), (None,)], [(0.5,)]], size="1 rows", quoting=csv.QUOTE_ALL)
@example(files=[[(9007199254740993, None), (0.0, None)]], size="64MB", quoting=csv.QUOTE_MINIMAL)
def test_a_value_of_csv_is_the_one_that_its_text_names_whatever_the_cut(files, size, quoting):
    names = [f"c{number}" for number in range(len(files[0][0]))]
    with tempfile.TemporaryDirectory() as place:
        for number, rows in enumerate(files):
            text = io.StringIO(newline="")
            quotes = csv.QUOTE_ALL if len(names) == 1 else quoting  # a lone column has lines with nothing in them
            csv.writer(text, quoting=quotes).writerows([names, *(map(in_csv, row) for row in rows)])
            (Path(place) / f"{number}.csv").write_bytes(text.getvalue().encode())

        found = pa.concat_tables([table.replace_schema_metadata() for table in arrived(Path(place), "pyarrow", size)])

    written = [row for rows in files for row in rows]
    for name, cells in zip(names, zip(*written, strict=True), strict=True):
        kind = found.schema.field(name).type
        for value, cell in zip(map(in_csv, cells), found[name].to_pylist(), strict=True):
            assert names_value(value, cell, kind), (value, cell, str(kind))


def names_value(text, cell, kind):
    """Is this the value of a field, in a column of this type?"""
    if cell is None:
        return text in csv_table._MISSING
    if pa.types.is_string(kind):
        return cell == text
    if pa.types.is_boolean(kind):
        return text.strip().lower() == ("true" if cell else "false")
    if pa.types.is_integer(kind):
        return Decimal(text.strip()) == cell
    return Decimal(text.strip()) == cell if text.strip().lstrip("-").isdecimal() else float(text) == cell


@tried
@given(files=columns_in_text(), size=SIZES)
def test_a_value_of_json_lines_is_the_one_that_was_written_whatever_the_cut(files, size):
    names = [f"c{number}" for number in range(len(files[0][0]))]
    with tempfile.TemporaryDirectory() as place:
        for number, rows in enumerate(files):
            lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
            (Path(place) / f"{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")

        found = arrived(Path(place), "pyarrow", size)

    written = iter([row for rows in files for row in rows])
    for table in found:
        for row in table.to_pylist():
            for name, value in zip(names, next(written), strict=True):
                assert is_json_value(value, row.get(name)), (value, row.get(name), str(table.schema))
    assert next(written, None) is None


def is_json_value(value, cell):
    if isinstance(cell, str) and not isinstance(value, str):
        cell = json.loads(cell)
    return cell == value and (isinstance(cell, bool) is isinstance(value, bool))
