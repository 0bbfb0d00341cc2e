"""Columns of Python's objects as Arrow holds them, where it changes none of their values.

Loaded by host_values.py, under the same rules: standard library only; Python 3.8's syntax.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Callable
from typing import Any

# kinds of values: Arrow holds those of one kind side by side
_KINDS: dict[type, str] = {
    str: "text",
    **dict.fromkeys((bytes, bytearray, memoryview), "bytes"),
    bool: "bool",
    datetime.date: "date",
    datetime.timedelta: "duration",
    numbers.Number: "number",
    **dict.fromkeys((int, float), "number"),
}


def of_objects(pa: Any, column: Any, is_missing: Callable[[Any], bool]) -> Any:
    """Objects of Python as Arrow takes them; None where it would change some.

    It takes the first value for what all of them are (of a date and a time the dates remain), and Python's times have
    no nanoseconds, which those of pandas have.
    """
    kinds: dict[tuple[str, ...], set[str]] = {}
    _gather_kinds([one for one in column if not is_missing(one)], (), kinds, is_missing)
    if any(len(found - {"nanoseconds"}) > 1 or "other" in found for found in kinds.values()):
        return None
    exact = [path for path, found in kinds.items() if "nanoseconds" in found]
    if any(exact):
        return None  # within lists
    if exact and "duration" in kinds[()]:
        spans = [None if is_missing(one) else _nanoseconds(one) for one in column]
        return pa.array(spans, pa.int64()).cast(pa.duration("ns"))
    array = pa.Array.from_pandas(column)
    if pa.types.is_timestamp(array.type):
        try:
            return pa.array(column, pa.timestamp("ns", array.type.tz), from_pandas=True)
        except (pa.ArrowException, OverflowError):  # years that nanoseconds do not reach
            return None if exact else array
    return array


def _nanoseconds(span: Any) -> int:
    """Of a duration of pandas, or of Python's own beside it."""
    value: Any = getattr(span, "value", None)
    return int(span // datetime.timedelta(microseconds=1) * 1000 if value is None else value)


def _gather_kinds(
    values: Any, path: tuple[str, ...], kinds: dict[tuple[str, ...], set[str]], is_missing: Callable[[Any], bool]
) -> None:
    """Find of which kinds the values are, and those within them: by keys, or "[]" for what is in lists."""
    found = kinds.setdefault(path, set())
    types = {type(value) for value in values}
    if types <= {str, int, bytes, bool, type(None)} or types == {float}:  # there may be a million of them
        found.update(_KINDS[kind] for kind in types - {type(None)})
        return
    for value in values:
        if is_missing(value):
            continue
        if isinstance(value, dict):
            found.add("dict")
            for key, inner in value.items():
                _gather_kinds([inner], (*path, str(key)), kinds, is_missing)
        elif isinstance(value, (list, tuple, set)):
            found.add("list")
            _gather_kinds(value, (*path, "[]"), kinds, is_missing)
        elif getattr(value, "ndim", 0) and hasattr(value, "dtype"):
            found.add("list")
            if value.dtype == object:
                _gather_kinds(value.ravel(), (*path, "[]"), kinds, is_missing)
            else:
                kind = "number" if value.dtype.kind in "iuf" else f"numpy's {value.dtype.kind}"
                kinds.setdefault((*path, "[]"), set()).add(kind)
        else:
            found.add(_kind_of_object(value))
            if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
                found.add("nanoseconds")


def _kind_of_object(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return "time" if value.tzinfo is None else "time with a zone"
    if isinstance(value, datetime.time):
        return "time of day" if value.tzinfo is None else "other"
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), type(value).__name__)
