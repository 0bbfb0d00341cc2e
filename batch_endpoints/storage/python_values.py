"""Arrow's values as Python has them; those that Python has no type for are text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_BEYOND_PYTHON = (pa.ArrowException, ArithmeticError, LookupError, ValueError)


def python_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows, as ``to_pylist`` would have them if it could always."""
    values = zip(*map(python_values, table.columns), strict=True)
    return (dict(zip(table.column_names, row, strict=True)) for row in values)


def python_values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """A column's values; with a nanosecond, a year after 9999 or an unknown time zone in it, all of them as text.

    Times of an unknown zone stand in UTC.
    """
    try:
        return list(column.to_pylist())
    except _BEYOND_PYTHON:
        return [_value(value) for value in column] if pa.types.is_nested(column.type) else _texts(column)


def _value(value: pa.Scalar) -> Any:
    if not value.is_valid:
        return None
    if isinstance(value, pa.StructScalar):
        return {name: _value(inner) for name, inner in value.items()}
    if isinstance(value, pa.MapScalar):
        return [tuple(_value(pair).values()) for pair in value.values]
    if isinstance(value, pa.ListScalar):
        return [_value(inner) for inner in value.values]
    return python_values(pa.array([value], value.type))[0]


def _texts(column: pa.ChunkedArray | pa.Array) -> list[str | None]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    texts = column.cast(pa.string())
    if pa.types.is_timestamp(kind):
        texts = pc.replace_substring_regex(texts, r"^(\d{4}-\d\d-\d\d) ", r"\1T")
    if pa.types.is_duration(kind):
        texts = pc.binary_join_element_wise(texts, kind.unit, " ")
    return list(texts.to_pylist())
