"""Formats of an output file: CSV, JSON lines, Parquet, Arrow, and text that was laid out where it was scored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from batch_endpoints.specs import OutputFormat
from batch_endpoints.storage.outputs.nested_types import recast, with_leaves
from batch_endpoints.storage.outputs.python_values import holds, python_rows
from batch_endpoints.storage.outputs.value_texts import as_text, is_finite, json_text

_EXPONENT = 1e15  # from here Arrow writes floating point with one
_MOST_DIGITS = 76  # of a decimal
_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_DECIMAL_EXPONENT = 6  # digits behind the point; from here it writes decimals with one


class TableWriter(Protocol):
    """What the writers of all formats have in common."""

    def __enter__(self) -> TableWriter: ...
    def __exit__(self, *args: object) -> None: ...
    def write_table(self, table: pa.Table) -> None: ...


def table_writer(format: OutputFormat) -> Callable[[BinaryIO, pa.Schema], TableWriter]:
    """What makes a writer, of the open file and the schema of all tables."""
    makers = {
        "csv": _CsvWriter,
        "jsonl": _JsonLinesWriter,
        "parquet": _ParquetWriter,
        "arrow": pa.ipc.new_file,
        "azureml": _TextWriter,
    }
    return cast("Callable[[BinaryIO, pa.Schema], TableWriter]", makers[format])


def stored_columns(schema: pa.Schema, format: OutputFormat) -> dict[str, str] | None:
    """The types of an output's columns as a reader finds them; of text, those by which it reads back.

    Returns: None for Azure ML's layout, whose rows are no columns.
    """
    if format == "azureml":
        return None
    if format == "parquet":
        stored = pa.BufferOutputStream()
        pyarrow.parquet.ParquetWriter(stored, _parquet_schema(schema)).close()
        schema = pyarrow.parquet.read_schema(pa.BufferReader(stored.getvalue()))
    return {field.name: str(field.type) for field in schema}


def hard_to_tell(writer: TableWriter) -> Mapping[str, Collection[str]]:
    """What was written that a reader may not tell from something else, each with the columns that have it."""
    return writer.seen if isinstance(writer, _CsvWriter | _JsonLinesWriter) else {}


def notes_of(seen: Iterable[Mapping[str, Collection[str]]]) -> list[str]:
    """What a reader cannot tell apart in files of which ``hard_to_tell`` returned this."""
    found: dict[str, set[str]] = {"missing": set(), "empty": set(), "not finite": set()}
    for one in seen:
        for what, names in one.items():
            found[what].update(names)
    notes = {
        "in these columns an empty field is a missing text and two quotes are an empty one, which few readers of CSV "
        "tell apart": found["missing"] & found["empty"],
        "JSON has no number that is not finite: in these columns NaN and infinity are null, as what is "
        "missing": found["not finite"],
    }
    return [f"{said}: {', '.join(sorted(names))}" for said, names in notes.items() if names]


@contextmanager
def compressed(sink: BinaryIO, compression: str) -> Iterator[BinaryIO]:
    """What compresses into the open file what is written to it; the file itself where ``compression`` is ""."""
    if not compression:
        yield sink
        return
    with pa.CompressedOutputStream(pa.PythonFile(sink, "w"), compression) as stream:
        yield cast(BinaryIO, stream)


class _CsvWriter:
    """RFC 4180 with a header; nested and binary columns become text. Quotes stand only where they may be needed."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._sink = sink
        self._missing, self._empty = set[str](), set[str]()  # columns with such texts
        self.seen = {"missing": self._missing, "empty": self._empty}
        if len(schema):
            self._write(pa.table([pa.array([], pa.string())] * len(schema), names=schema.names), header=True)

    def __enter__(self) -> _CsvWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        if not table.num_columns or not table.num_rows:
            return
        self._look_at_texts(table)
        columns = [column if _fits_csv(column.type) else as_text(column) for column in table.columns]
        if len(columns) == 1 and columns[0].null_count:  # as an empty line it would be no row for most readers
            columns = [as_text(table.column(0)).fill_null("")]
        table = pa.table(columns, names=table.column_names)
        if any(map(_may_have_exponents, columns)):
            for batch in table.to_batches():
                self._sink.write(_lines(batch.columns))
        else:
            self._write(table, header=False)

    def _look_at_texts(self, table: pa.Table) -> None:
        for name, column in zip(table.column_names, table.columns, strict=True):
            if _is_text_or_bytes(column.type):
                if column.null_count:
                    self._missing.add(name)
                if name not in self._empty and pc.any(pc.equal(pc.binary_length(column), 0)).as_py():
                    self._empty.add(name)

    def _write(self, table: pa.Table, *, header: bool) -> None:
        options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
        pyarrow.csv.write_csv(table, self._sink, options)


def _is_text_or_bytes(kind: pa.DataType) -> bool:
    is_a = pa.types
    texts = is_a.is_string(kind) or is_a.is_large_string(kind)
    return bool(texts or is_a.is_binary(kind) or is_a.is_large_binary(kind))


def _may_have_exponents(column: pa.ChunkedArray | pa.Array) -> bool:
    """May Arrow write a whole number with an exponent?"""
    if pa.types.is_decimal(column.type):
        return bool(column.type.scale < 0 or column.type.scale > _DECIMAL_EXPONENT)
    if not pa.types.is_floating(column.type) or pa.types.is_float16(column.type):
        return False
    largest = pc.max(pc.abs(column)).as_py()
    return largest is not None and largest >= _EXPONENT


def _lines(columns: Sequence[pa.Array]) -> pa.Buffer:
    """Rows as Arrow's writer has them, but whole numbers without an exponent."""
    fields = [_fields(column) for column in columns]
    fields[-1] = pc.binary_join_element_wise(fields[-1], _text(""), _text("\n"))
    return pc.binary_join_element_wise(*fields, _text(",")).buffers()[2]


def _fields(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        doubled = pc.replace_substring(column.cast(pa.large_string()), '"', '""')
        texts = pc.binary_join_element_wise(_text(""), doubled, _text(""), _text('"'))
    else:
        texts = column.cast(pa.large_string())
        if _may_have_exponents(column):
            found = pc.fill_null(pc.match_substring_regex(texts, r"e\+|E"), False)
            numbers = [_number(value) for value in column.filter(found).to_pylist()]
            texts = pc.replace_with_mask(texts, found, pa.array(numbers, pa.large_string()))
    return texts.fill_null("")


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(int(value)) if value.is_integer() else repr(value)


def _fits_csv(kind: pa.DataType) -> bool:
    is_a = pa.types
    numbers = (is_a.is_boolean, is_a.is_integer, is_a.is_floating, is_a.is_decimal)
    times = (is_a.is_date, is_a.is_time, is_a.is_timestamp, is_a.is_duration)
    texts = (is_a.is_string, is_a.is_large_string, is_a.is_null)
    if is_a.is_timestamp(kind) and kind.tz:
        return _zone_is_known(kind)
    return any(fits(kind) for fits in (*numbers, *times, *texts))


def _zone_is_known(kind: pa.DataType) -> bool:
    """Can Arrow write times of this type as text?"""
    try:
        pa.nulls(1, kind).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


class _ParquetWriter:
    """Columns become text that Parquet has no type for, as of objects without any field."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._schema = schema = _parquet_schema(schema)
        self._writer = pyarrow.parquet.ParquetWriter(sink, schema)

    def __enter__(self) -> _ParquetWriter:
        return self

    def __exit__(self, *args: object) -> None:
        self._writer.__exit__(*args)

    def write_table(self, table: pa.Table) -> None:
        columns = [
            as_text(column)
            if pa.types.is_string(field.type) and column.type != field.type
            else recast(column, field.type)
            for column, field in zip(table.columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))


def _parquet_schema(schema: pa.Schema) -> pa.Schema:
    kinds = [kind if kind in _VIEWS else with_leaves(kind, _parquet_type) for kind in schema.types]
    fields = [pa.field(name, kind) for name, kind in zip(schema.names, kinds, strict=True)]
    return pa.schema([field if _fits_parquet(field) else pa.field(field.name, pa.string()) for field in fields])


def _parquet_type(kind: pa.DataType) -> pa.DataType:
    """A type that Parquet has for a column, or for what lists and structs hold."""
    if kind in _VIEWS:  # which Arrow cannot slice within lists and structs: "Slicing not implemented for StringView"
        return _VIEWS[kind]
    if pa.types.is_fixed_size_list(kind):  # of which Arrow cannot read back one that is null
        return pa.list_(kind.value_field)
    if pa.types.is_decimal(kind) and kind.scale < 0:
        digits = kind.precision - kind.scale
        return (
            pa.string()
            if digits > _MOST_DIGITS
            else pa.decimal256(digits, 0)
            if digits > 38
            else pa.decimal128(digits, 0)
        )
    return kind


def _fits_parquet(field: pa.Field) -> bool:
    try:
        pyarrow.parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
    except pa.ArrowException:
        return False
    return True


class _JsonLinesWriter:
    """One JSON object a line; what JSON has no number for (NaN, infinity) is null."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._sink = sink
        self._numbers = [field.name for field in schema if holds(field.type, pa.types.is_floating)]
        self._not_finite = set[str]()  # columns with such numbers
        self.seen = {"not finite": self._not_finite}

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        rows = list(python_rows(table))
        for name in self._numbers:
            if name not in self._not_finite and not all(is_finite(row[name]) for row in rows):
                self._not_finite.add(name)
        self._sink.write("".join(json_text(row) + "\n" for row in rows).encode())


class _TextWriter:
    """Rows that are text already: their only column holds it, in pieces (see ``scoring.azure_layout``)."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._sink = sink

    def __enter__(self) -> _TextWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        for piece in table.column(0).drop_null():
            self._sink.write(piece.as_buffer())
