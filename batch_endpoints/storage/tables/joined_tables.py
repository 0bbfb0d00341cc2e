"""Files of one mini-batch as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from batch_endpoints.errors import InputError
from batch_endpoints.storage.number_types import NumberRange, is_number, numbers_as
from batch_endpoints.storage.tables.column_types import (
    ColumnTypes,
    columns_with_missing,
    kind_of_numbers,
    tell_missing,
    without_values,
)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of several files as one table; columns that one of them lacks are null there.

    Raises:
        InputError: one column has types that do not go together.
    """
    missing = {name for table in tables for name in columns_with_missing(table.schema)}
    whole = tables[0] if len(tables) == 1 else _concatenated(tables)
    return tell_missing(whole, missing | without_values(whole))


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    if any(table.schema != tables[0].schema for table in tables):
        tables = _with_exact_numbers(_without_empty_columns(tables))
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"the files of this mini-batch have columns of different types: {error}") from None


def _with_exact_numbers(tables: Sequence[pa.Table]) -> Sequence[pa.Table]:
    """Whole numbers beside doubles are doubles where that changes none of them, otherwise as in an output."""
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        columns = [table[name] for table in tables if name in table.column_names]
        kinds = [column.type for column in columns]
        if not (any(map(pa.types.is_integer, kinds)) and any(map(pa.types.is_floating, kinds))):
            continue
        numbers = NumberRange()
        for column in columns:
            numbers.add(column)
        kind = numbers.kind(doubles=True)
        if is_number(kind):
            tables = [_replaced(table, name, kind) for table in tables]
    return tables


def _replaced(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    at = table.column_names.index(name) if name in table.column_names else -1
    return table if at < 0 else table.set_column(at, name, numbers_as(table.column(at), kind))


def wider_types(tables: Sequence[pa.Table]) -> pa.Schema | None:
    """The types that hold what all of these files of text have; None where they have them already.

    ``fits`` says of each whether it has them; one that does not is to be read again, with these types.
    """
    if all(table.schema == tables[0].schema for table in tables):
        return None
    types = ColumnTypes()
    for table in tables:
        kinds = {field.name: kind_of_numbers(table[field.name]) for field in _fields_with_values(table)}
        types.add(pa.schema(kinds.items()))
    found = types.schema()
    return None if all(fits(table, found) for table in tables) else found


def fits(table: pa.Table, types: pa.Schema) -> bool:
    """Has every column that holds a value its type of these?"""
    return all(field.type == types.field(field.name).type for field in _fields_with_values(table))


def _fields_with_values(table: pa.Table) -> Iterator[pa.Field]:
    """Of a column without any value nobody knows the type."""
    return (field for field in table.schema if table[field.name].null_count < table.num_rows)


def _without_empty_columns(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Columns without a value have the type that the others have, where any has one."""
    with_values = {field.name for table in tables for field in _fields_with_values(table)}
    found = []
    for table in tables:
        empty = with_values - {field.name for field in _fields_with_values(table)}
        for at, name in enumerate(table.column_names):
            if name in empty:
                table = table.set_column(at, name, pa.nulls(table.num_rows))
        found.append(table)
    return found
