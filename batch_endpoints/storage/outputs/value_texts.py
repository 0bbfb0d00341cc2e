"""Arrow's values as text and as JSON: what reads back to the same value by the type of its column."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from batch_endpoints.storage.outputs.python_values import plain_float, python_rows, python_values


def as_text(column: pa.ChunkedArray) -> pa.Array:
    """Any column as text: numbers as Python writes them, dates in ISO 8601, bytes as hex, nested values as JSON."""
    return pa.array([None if value is None else _cell(value) for value in python_values(column)], pa.string())


def json_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as JSON can hold them: NaN is None, dates and bytes are text."""
    return (json.loads(json_text(row)) for row in python_rows(table))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json_text(value) if isinstance(value, bool | int | list | tuple | dict) else _plain(value)


def json_text(value: Any) -> str:
    """A value, as ``python_values`` has it, as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        text = "e+"
    return json.dumps(_finite(value), ensure_ascii=False, default=_plain) if "e+" in text else text


def is_finite(value: Any) -> bool:
    """Does a value hold only numbers that JSON has?"""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list | tuple) or all(map(is_finite, value))


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
