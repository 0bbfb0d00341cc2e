"""Formats of an output file: CSV, JSON lines, Parquet, Arrow, and text that was laid out where it was scored."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, time
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from batch_endpoints.specs import OutputFormat
from batch_endpoints.storage.python_values import python_rows, python_values


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
        if len(schema):
            self._write(pa.table([pa.array([], pa.string())] * len(schema), names=schema.names), header=True)

    def __enter__(self) -> _CsvWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        if not table.num_columns or not table.num_rows:
            return
        columns = [column if _fits_csv(column.type) else as_text(column) for column in table.columns]
        if len(columns) == 1 and columns[0].null_count:  # as an empty line it would be no row for most readers
            columns = [as_text(table.column(0)).fill_null("")]
        self._write(pa.table(columns, names=table.column_names), header=False)

    def _write(self, table: pa.Table, *, header: bool) -> None:
        options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
        pyarrow.csv.write_csv(table, self._sink, options)


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
        for at, field in enumerate(schema):
            if not _fits_parquet(field):
                schema = schema.set(at, pa.field(field.name, pa.string()))
        self._schema = schema
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

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        self._sink.write("".join(_json(row) + "\n" for row in python_rows(table)).encode())


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
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_plain)


def _finite(value: Any) -> Any:
    """The value with null for every number that is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date | time) else str(value)
