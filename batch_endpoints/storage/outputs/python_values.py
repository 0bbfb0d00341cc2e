"""Arrow's values as Python has them; those that Python has no type for are text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batch_endpoints.storage.outputs.nested_types import recast, with_leaves

_EXPONENT = 1e16  # from here Python writes floating point with one; all of it is whole
_BEYOND_PYTHON = (pa.ArrowException, ArithmeticError, LookupError, ValueError)


def python_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows, as ``to_pylist`` would have them if it could always."""
    values = zip(*map(python_values, table.columns), strict=True)
    return (dict(zip(table.column_names, row, strict=True)) for row in values)


def python_values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """A column's values; with a nanosecond, a year after 9999 or an unknown time zone in it, all of them as text.

    Times of an unknown zone stand in UTC, a duration is ``5 ns``, and floating point that Python would write as
    ``1e+16`` is a whole number.
    """
    kind = column.type
    if pa.types.is_floating(kind):
        return _floats(column)
    if holds(kind, _is_short_float):
        column = _with_doubles(column)
    if holds(kind, _is_better_text):
        return [_value(value) for value in column] if pa.types.is_nested(kind) else _texts(column)
    try:
        return list(column.to_pylist())
    except _BEYOND_PYTHON:
        return [_value(value) for value in column] if pa.types.is_nested(kind) else _texts(column)


def plain_float(value: float) -> float | int:
    """The number, as a whole one where Python would write that with an exponent."""
    return int(value) if abs(value) >= _EXPONENT and math.isfinite(value) else value


def holds(kind: pa.DataType, wanted: Callable[[pa.DataType], bool]) -> bool:
    """Is it of such values, or nested with such in it?"""
    if pa.types.is_nested(kind):
        return any(holds(kind.field(at).type, wanted) for at in range(kind.num_fields))
    return wanted(kind)


def _floats(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    column = _with_doubles(column)
    values = list(column.to_pylist())
    largest = pc.max(pc.abs(column)).as_py()
    if largest is None or largest < _EXPONENT:
        return values
    return [value if value is None else plain_float(value) for value in values]


def _is_better_text(kind: pa.DataType) -> bool:
    """Would Python's type lose its unit, or, of times of a day, its nanoseconds?"""
    return bool(pa.types.is_duration(kind) or (pa.types.is_time64(kind) and kind.unit == "ns"))


def _is_short_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) and kind.bit_width < 64)


def _with_doubles(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Shorter floating point, also in lists and structs, as doubles of the same text: 0.1, no 0.10000000149011612."""
    kind = with_leaves(column.type, lambda leaf: pa.float64() if _is_short_float(leaf) else leaf)
    chunks = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    return recast(chunks, kind, lambda array, leaf: array.cast(pa.string()).cast(leaf))


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
