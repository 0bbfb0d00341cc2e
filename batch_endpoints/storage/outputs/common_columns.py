"""Columns of one output, whose parts may have others: all of them, each of a type that holds what every part has.

A type becomes wider within its kind only (int32 and int64, seconds and nanoseconds). Whole numbers beside fractions
are whole numbers, a decimal or text, and never doubles, which would round those beyond 2**53. All else is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from batch_endpoints.storage.number_types import NumberRange, is_number, numbers_as, wider_number, without_nan
from batch_endpoints.storage.outputs.nested_types import is_large_list, is_list, recast
from batch_endpoints.storage.outputs.value_texts import as_text


class TooNarrow(Exception):
    """The common types of some columns cannot hold one of their values."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns)
        self.columns = columns


class CommonColumns:
    """All columns of some tables, each of the type that may hold all of its values; ``aligned`` finds where not.

    Args:
        as_text: they will be text, in which numbers of any types can stand side by side, and bytes are hex: beside
            them text would be read as bytes and become hex as well.
    """

    def __init__(self, schemas: Iterable[pa.Schema], *, as_text: bool = False) -> None:
        self._as_text = as_text
        self._mixed: dict[str, NumberRange] = {}  # columns of numbers that keep their own types
        fields: dict[str, pa.DataType] = {}
        for schema in schemas:
            for field in schema:
                known = fields.get(field.name, field.type)
                kind = fields[field.name] = _wider(known, field.type, as_text)
                if as_text and known != field.type and is_number(kind) and not pa.types.is_decimal(kind):
                    self._mixed[field.name] = NumberRange()
        self._schema = pa.schema(fields.items())

    @property
    def schema(self) -> pa.Schema:
        """The columns; of text, with the types of what was written so far."""
        schema = self._schema
        for name, numbers in self._mixed.items():
            schema = schema.set(schema.get_field_index(name), pa.field(name, numbers.kind()))
        return schema

    def widen(self, name: str, values: Iterable[pa.ChunkedArray]) -> None:
        """Give a column the type that holds all of its values: one of numbers where they are numbers, or text."""
        at, kind = self._schema.get_field_index(name), pa.string()
        if is_number(self._schema.field(at).type):
            numbers = NumberRange()
            for column in values:
                numbers.add(column)
            kind = numbers.kind()
        self._schema = self._schema.set(at, pa.field(name, kind))

    def aligned(self, table: pa.Table) -> pa.Table:
        """The rows under all columns.

        Raises:
            TooNarrow: the types of some columns are too small.
        """
        columns, narrow = [], []
        for field in self._schema:
            try:
                if field.name not in table.column_names:
                    columns.append(pa.nulls(table.num_rows, field.type))
                elif field.name in self._mixed:
                    columns.append(self._own(table.column(field.name), self._mixed[field.name]))
                else:
                    columns.append(_cast(table.column(field.name), field.type))
            except (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError):
                if pa.types.is_string(field.type):
                    raise
                narrow.append(field.name)
        if narrow:
            raise TooNarrow(narrow)
        return pa.table(columns, names=self._schema.names)

    @staticmethod
    def _own(column: pa.ChunkedArray, numbers: NumberRange) -> pa.ChunkedArray:
        """Numbers with their own type; floating point that is whole as whole numbers, without NaN."""
        numbers.add(column)
        if not pa.types.is_floating(column.type):
            return column
        with suppress(pa.ArrowInvalid):
            return numbers_as(column, pa.int64())
        return without_nan(column)


def _wider(one: pa.DataType, other: pa.DataType, bytes_are_text: bool) -> pa.DataType:
    is_a = pa.types
    if one == other or is_a.is_null(other):
        return one
    if is_a.is_null(one):
        return other
    if is_number(one) and is_number(other):
        return wider_number(one, other)
    if _is_text(one) and _is_text(other):
        return pa.large_string() if is_a.is_large_string(one) or is_a.is_large_string(other) else pa.string()
    texts = [kind for kind in (one, other) if _is_text(kind)]
    if all(map(_is_bytes, {one, other}.difference(texts))):
        if texts and bytes_are_text:
            return pa.string()
        return pa.large_binary() if _is_large(one) or _is_large(other) else pa.binary()
    if is_list(one) and is_list(other):
        value = _wider(one.value_type, other.value_type, bytes_are_text)
        if _became_text(value, one.value_type, other.value_type):
            return pa.string()
        return pa.large_list(value) if is_large_list(one) or is_large_list(other) else pa.list_(value)
    if is_a.is_struct(one) and is_a.is_struct(other):
        return _struct(one, other, bytes_are_text)
    if any(
        alike(one) and alike(other) for alike in (is_a.is_timestamp, is_a.is_time, is_a.is_duration, is_a.is_date)
    ):
        return _finer(one, other)
    return pa.string()


def _struct(one: pa.StructType, other: pa.StructType, bytes_are_text: bool) -> pa.DataType:
    names = [field.name for field in (*one, *other)]
    if any(len({field.name for field in kind}) < kind.num_fields for kind in (one, other)):
        return pa.string()
    found = {field.name: field.type for field in one}
    for field in other:
        known = found.get(field.name, pa.null())
        found[field.name] = _wider(known, field.type, bytes_are_text)
        if _became_text(found[field.name], known, field.type):
            return pa.string()
    return pa.struct([(name, found[name]) for name in dict.fromkeys(names)])


def _became_text(kind: pa.DataType, *before: pa.DataType) -> bool:
    return _is_text(kind) and not all(_is_text(one) or pa.types.is_null(one) for one in before)


def _finer(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Of two kinds of times the one with the smaller unit; text where their zones differ."""
    if pa.types.is_timestamp(one) and one.tz != other.tz:
        return pa.string()
    try:
        pair = [pa.schema([("", one)]), pa.schema([("", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def _is_text(kind: pa.DataType) -> bool:
    is_a = pa.types
    return bool(is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    is_a = pa.types
    return any(
        bool(fits(kind))
        for fits in (is_a.is_binary, is_a.is_large_binary, is_a.is_binary_view, is_a.is_fixed_size_binary)
    )


def _is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_binary(kind) or pa.types.is_large_string(kind))


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    if column.type == kind:
        return column
    if _is_text(kind) and not _is_text(column.type):
        return as_text(column).cast(kind)
    return recast(column, kind, _cast_leaf) if pa.types.is_nested(kind) else _cast_leaf(column, kind)


def _cast_leaf(column: Any, kind: pa.DataType) -> Any:
    """An array, or a column, under another type of its kind."""
    if is_number(column.type) and is_number(kind):
        return numbers_as(column, kind)
    return column.cast(kind)
