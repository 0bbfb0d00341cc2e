"""Literals: values by their declared type, and within their range."""

from __future__ import annotations

import math
import re

from batch_endpoints.specs.component import LITERAL_TYPES, ComponentInput
from batch_endpoints.specs.limits import quoted
from batch_endpoints.specs.numbers import LiteralValue

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")  # as in YAML
_WHOLE = re.compile(r"[+-]?[0-9][0-9_]*")
_LONGEST_NUMBER = 1000  # characters


def literal_value(value: LiteralValue, declared: ComponentInput) -> LiteralValue:
    """The value as its input declares it, checked against the input's range.

    A ``string`` keeps the text (``007``, ``1e5``), an ``integer`` all its digits.

    Raises:
        ValueError: it is of another type, or outside ``enum``, ``min`` and ``max``.
    """
    typed = as_type(declared.type, value)
    if declared.enum is not None and typed not in (choices := [as_type(declared.type, one) for one in declared.enum]):
        raise ValueError(f"expected one of {', '.join(map(quoted, choices))}, found {quoted(value)}")
    if isinstance(typed, int | float) and not isinstance(typed, bool):
        if declared.min is not None and typed < declared.min:
            raise ValueError(f"expected at least {declared.min}, found {quoted(value)}")
        if declared.max is not None and typed > declared.max:
            raise ValueError(f"expected at most {declared.max}, found {quoted(value)}")
    return typed


def as_type(kind: str, value: LiteralValue) -> LiteralValue:
    """The value as a type of literals has it.

    Raises:
        ValueError: it is of another type.
    """
    match kind:
        case "string":
            return str(value).lower() if isinstance(value, bool) else str(value)
        case "boolean":
            return _boolean(value)
        case "integer":
            return _integer(value)
        case _:
            return _number(value)


def type_of(value: LiteralValue) -> str:
    """The type of a value for which none is declared."""
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"


def is_literal(kind: str) -> bool:
    """Is it a type of literals, and not of data?"""
    return kind in LITERAL_TYPES


def _boolean(value: LiteralValue) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise ValueError(f"expected true or false, found {quoted(value)}")
    return text in _TRUE


def _integer(value: LiteralValue) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        text = value.strip()
        try:
            return int(text) if _WHOLE.fullmatch(text) else int(text, 0)
        except ValueError:
            pass
    raise ValueError(f"expected a whole number, found {quoted(value)}")


def _number(value: LiteralValue) -> int | float:
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    try:
        return _integer(value)
    except ValueError:
        pass
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number, found {quoted(value)}")
    return number
