"""Columns of one output, whose parts may have others: all of them, each of a type that holds what every part has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from batch_endpoints.storage.formats import as_text

_ALL_INTEGERS = pa.decimal128(20, 0)


class TooNarrow(Exception):
    """The common types of some columns cannot hold one of their values."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns)
        self.columns = columns


def common_schema(schemas: Iterable[pa.Schema], *, bytes_are_text: bool) -> pa.Schema:
    """All columns, each of the wider type where theirs differ, or text.

    Args:
        bytes_are_text: the format writes them as hex; beside them text would be read as bytes and become hex as well.
    """
    fields: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name)
            if known is None or known == field.type:
                fields[field.name] = field.type
            elif bytes_are_text and (_is_bytes(known) or _is_bytes(field.type)):
                fields[field.name] = pa.string()
            else:
                fields[field.name] = _wider(known, field.type)
    return pa.schema(fields.items())


def widened(schema: pa.Schema, columns: Iterable[str]) -> pa.Schema:
    """The same with columns that hold any of their values: of whole numbers a decimal, otherwise text."""
    for name in columns:
        at = schema.get_field_index(name)
        whole = pa.types.is_integer(schema.field(at).type)
        schema = schema.set(at, pa.field(name, _ALL_INTEGERS if whole else pa.string()))
    return schema


def aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows under the columns of the whole output.

    Raises:
        TooNarrow: the types of some columns are too small.
    """
    columns, narrow = [], []
    for field in schema:
        try:
            if field.name in table.column_names:
                columns.append(_cast(table.column(field.name), field.type))
            else:
                columns.append(pa.nulls(table.num_rows, field.type))
        except (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError):
            if pa.types.is_string(field.type):
                raise
            narrow.append(field.name)
    if narrow:
        raise TooNarrow(narrow)
    return pa.table(columns, schema=schema)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    try:
        pair = [pa.schema([("", one)]), pa.schema([("", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def _is_bytes(kind: pa.DataType) -> bool:
    is_a = pa.types
    return any(
        fits(kind) for fits in (is_a.is_binary, is_a.is_large_binary, is_a.is_binary_view, is_a.is_fixed_size_binary)
    )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        return as_text(column)
    try:
        # unsafe: among floats a whole number beyond 2**53 is rounded, as everywhere; a job must not end on it
        return column.cast(kind, safe=not pa.types.is_floating(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return pa.array(column.to_pylist(), kind)
