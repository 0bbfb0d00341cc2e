"""Numbers of several types under one that changes none of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

EXACT = 1 << 53  # up to here every whole number is a double
_DIGITS = 1 << 24  # from here the shortest text of a whole number in floating point may lack some of its digits
_INT64 = range(-(1 << 63), 1 << 63)
_UINT64 = range(1 << 64)
_MOST_DIGITS = 38  # of a decimal128; a decimal256 has twice as many


def is_number(kind: pa.DataType) -> bool:
    """Is it of whole numbers, floating point or decimals?"""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def wider_number(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type to begin with, which may turn out to be too narrow: int64 for whole numbers beside floating point."""
    is_a = pa.types
    if is_a.is_floating(one) and is_a.is_floating(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    if is_a.is_decimal(one) and is_a.is_decimal(other):
        scale = max(one.scale, other.scale)
        return _decimal(max(one.precision - one.scale, other.precision - other.scale), scale) or one
    if is_a.is_decimal(one) or is_a.is_decimal(other):
        return pa.string()
    if is_a.is_integer(one) and is_a.is_integer(other):
        signed = is_a.is_signed_integer(one), is_a.is_signed_integer(other)
        if signed[0] == signed[1]:
            return max(one, other, key=lambda kind: kind.bit_width)
    return pa.int64()


def numbers_as(column: Any, kind: pa.DataType) -> Any:
    """The column, or array, under another type of numbers; NaN is null where that type has none.

    Raises:
        pa.ArrowInvalid: it cannot hold one of the values.
    """
    if pa.types.is_floating(column.type) and not pa.types.is_floating(kind):
        column = without_nan(column)
    if pa.types.is_decimal(kind) and not pa.types.is_decimal(column.type):
        return _texts(column).cast(kind)
    return column.cast(kind)


def _texts(column: Any) -> Any:
    """Numbers as text: fractions at their shortest, whole ones with all their digits."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array(list(map(_texts, column.chunks)), pa.string())
    texts = column.cast(pa.string())
    if not pa.types.is_floating(column.type):
        return texts
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.greater_equal(pc.abs(column), _DIGITS))
    whole = pc.and_(pc.fill_null(whole, False), pc.fill_null(pc.is_finite(column), False))
    digits = pa.array([str(int(value)) for value in column.filter(whole).to_pylist()], pa.string())
    return pc.replace_with_mask(texts, whole, digits)


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floating point with null for NaN."""
    column = _no_half(column)
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


class NumberRange:
    """What the numbers of a column need of a type."""

    def __init__(self) -> None:
        self._low = self._high = 0  # of whole numbers, floating point included
        self._integer = 0  # the largest of a type of whole numbers
        self._scale = 0  # digits behind the decimal point
        self._infinite = self._other = False  # the latter: no such number

    def add(self, column: pa.ChunkedArray) -> None:
        """Look at some values; only whole numbers and floating point may be together."""
        if pa.types.is_null(column.type):
            return
        if pa.types.is_decimal(column.type) or not is_number(column.type):
            self._other = True
            return
        if pa.types.is_floating(column.type):
            column = _no_half(column)
            column = column.filter(pc.invert(pc.is_nan(column)))  # which leaves out what is missing, too
            if pc.any(pc.is_inf(column)).as_py():
                self._infinite = True
                column = column.filter(pc.is_finite(column))
        found = pc.min_max(column).as_py()
        if found["min"] is None:
            return
        low, high = int(found["min"]), int(found["max"])
        self._low, self._high = min(self._low, low), max(self._high, high)
        if pa.types.is_integer(column.type):
            self._integer = max(self._integer, abs(low), abs(high))
        else:
            self._scale = max(self._scale, _scale(column.cast(pa.string())))

    def kind(self, *, doubles: bool = False) -> pa.DataType:
        """The type that holds all of them; text where none does.

        Args:
            doubles: they are doubles where this changes no whole number.
        """
        if self._other:
            return pa.string()
        if doubles and self._integer <= EXACT:
            return pa.float64()
        if self._infinite:
            return pa.string()
        if not self._scale:
            if self._low in _INT64 and self._high in _INT64:
                return pa.int64()
            if self._low in _UINT64 and self._high in _UINT64:
                return pa.uint64()
        return _decimal(len(str(max(-self._low, self._high))), self._scale) or pa.string()


def _no_half(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of 16 bits as those of 32: Arrow computes with none of them."""
    return column.cast(pa.float32()) if pa.types.is_float16(column.type) else column


def _scale(texts: pa.ChunkedArray) -> int:
    """The most digits behind a decimal point."""
    with_exponent = pc.match_substring(texts, "e")
    exponents = [-int(Decimal(text).as_tuple().exponent) for text in texts.filter(with_exponent).to_pylist()]
    plain = texts.filter(pc.invert(with_exponent))
    points = pc.find_substring(plain, ".")
    behind = pc.if_else(pc.less(points, 0), 0, pc.subtract(pc.subtract(pc.utf8_length(plain), points), 1))
    return max([0, *exponents, pc.max(behind).as_py() or 0])


def _decimal(digits: int, scale: int) -> pa.DataType | None:
    """None where no decimal has so many digits."""
    if digits + scale <= _MOST_DIGITS:
        return pa.decimal128(max(digits + scale, 1), scale)
    return pa.decimal256(digits + scale, scale) if digits + scale <= 2 * _MOST_DIGITS else None
