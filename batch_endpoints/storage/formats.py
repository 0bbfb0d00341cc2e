"""Formats of an output file: CSV, JSON lines, Parquet, Arrow, and text that was laid out where it was scored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from batch_endpoints.specs import OutputFormat
from batch_endpoints.storage.python_values import holds, plain_float, python_rows, python_values

_EXPONENT = 1e15  # from here Arrow writes floating point with one
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
        schema = _parquet_schema(schema)
    return {field.name: str(field.type) for field in schema}


def notes_of(writer: TableWriter) -> list[str]:
    """What a reader cannot tell apart in what was written."""
    found = writer.alike() if isinstance(writer, _CsvWriter | _JsonLinesWriter) else {}
    return [f"{said}: {', '.join(sorted(names))}" for said, names in found.items() if names]


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Any column as text: numbers as Python writes them, dates in ISO 8601, bytes as hex, nested values as JSON."""
    return pa.array([None if value is None else _cell(value) for value in python_values(column)], pa.string())


def json_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as JSON can hold them: NaN is None, dates and bytes are text."""
    return (json.loads(_json(row)) for row in python_rows(table))


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

    def alike(self) -> dict[str, set[str]]:
        said = (
            "in these columns an empty field is a missing text and two quotes are an empty one, which few readers of "
            "CSV tell apart"
        )
        return {said: self._missing & self._empty}

    def _look_at_texts(self, table: pa.Table) -> None:
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                if column.null_count:
                    self._missing.add(name)
                if name not in self._empty and pc.any(pc.equal(column, "")).as_py():
                    self._empty.add(name)

    def _write(self, table: pa.Table, *, header: bool) -> None:
        options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
        pyarrow.csv.write_csv(table, self._sink, options)


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
            column if column.type == field.type else as_text(column)
            for column, field in zip(table.columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))


def _parquet_schema(schema: pa.Schema) -> pa.Schema:
    for at, field in enumerate(schema):
        if not _fits_parquet(field):
            schema = schema.set(at, pa.field(field.name, pa.string()))
    return schema


def _fits_parquet(field: pa.Field) -> bool:
    try:
        pyarrow.parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
    except pa.ArrowNotImplementedError:
        return False
    return True


class _JsonLinesWriter:
    """One JSON object a line; what JSON has no number for (NaN, infinity) is null."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._sink = sink
        self._numbers = [field.name for field in schema if holds(field.type, pa.types.is_floating)]
        self._not_finite = set[str]()  # columns with such numbers

    def alike(self) -> dict[str, set[str]]:
        said = "JSON has no number that is not finite: in these columns NaN and infinity are null, as what is missing"
        return {said: self._not_finite}

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        rows = list(python_rows(table))
        for name in self._numbers:
            if name not in self._not_finite and not all(_is_finite(row[name]) for row in rows):
                self._not_finite.add(name)
        self._sink.write("".join(_json(row) + "\n" for row in rows).encode())


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


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return _json(value) if isinstance(value, bool | int | list | tuple | dict) else _plain(value)


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        text = "e+"
    return json.dumps(_finite(value), ensure_ascii=False, default=_plain) if "e+" in text else text


def _is_finite(value: Any) -> bool:
    """Does a value hold only numbers that JSON has?"""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))


def _finite(value: Any) -> Any:
    """The value with null for every number that is none, and without exponents in whole numbers."""
    if isinstance(value, float):
        return plain_float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date | time) else str(value)
