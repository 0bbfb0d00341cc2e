"""Types of the columns of text files: what holds for every row of the input, so that no cut changes a value.

Numbers, booleans and text are told apart; dates stay text, as pandas reads them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown

_SIGNATURE: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    **dict.fromkeys(("string", "datetime", "binary"), pa.string()),
}


# what is known of numbers before their type is: no table has these types
WIDE = pa.decimal128(19, 0)  # whole numbers, of which no double holds some
WHOLE = pa.float16()  # doubles that are whole numbers: beside WIDE ones they are what pandas makes of a gap
_EXACT = 1 << 53  # up to here every whole number is a double
_INT64 = range(-(1 << 63), 1 << 63)


_LAYOUT = "layout of "  # in the metadata of a schema, and then the name of a file


class ColumnTypes:
    """What is known of the columns so far.

    Args:
        known: types that are given, by a model's signature.
        wanted: the columns that are read; None for all.
    """

    def __init__(self, known: Mapping[str, pa.DataType] | None = None, wanted: Sequence[str] | None = None) -> None:
        self._known = dict(known or {})
        self._found: dict[str, pa.DataType] = {}
        self._missing: set[str] = set()
        self.wanted = wanted
        self.layouts: dict[
            str, str
        ] = {}  # name of a file -> which fields of its lines are columns, where not all are

    def anew(self) -> ColumnTypes:
        """What is given, before anything else was found."""
        return ColumnTypes(self._known, self.wanted)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Which of these columns have to be looked at: those that are wanted and not given."""
        return [n for n in names if n not in self._known and (self.wanted is None or n in self.wanted)]

    @property
    def complete(self) -> bool:
        """Is nothing to be learnt from the files?"""
        return self.wanted is not None and not self.unknown(self.wanted)

    @property
    def found(self) -> Collection[str]:
        """The columns that somebody has looked at."""
        return self._found

    def add(self, schema: pa.Schema, missing: Iterable[str] = ()) -> None:
        """What some rows look like, and which columns lack a value in one of them."""
        self._missing.update(missing)
        for field in schema:
            kind = _plain(field.type)
            before = self._found.get(field.name)
            self._found[field.name] = kind if before is None else join(before, kind)

    def schema(self) -> pa.Schema:
        """The type of every column; one that never has a value is of floats, as pandas has it."""
        found = {n: pa.float64() if pa.types.is_null(kind) else _settled(kind) for n, kind in self._found.items()}
        fields = [pa.field(name, kind) for name, kind in (found | self._known).items()]
        said = {"wanted": self.wanted, "missing": sorted(self._missing) or None}
        metadata = {key: json.dumps(names) for key, names in said.items() if names is not None}
        metadata |= {_LAYOUT + name: layout for name, layout in self.layouts.items()}
        return pa.schema(fields, metadata or None)


def layout_of(schema: pa.Schema | None, name: str) -> str | None:
    """What ``ColumnTypes.layouts`` has of a file."""
    found = ((schema.metadata if schema is not None else None) or {}).get((_LAYOUT + name).encode())
    return None if found is None else found.decode()


def wanted_columns(schema: pa.Schema) -> list[str] | None:
    """The columns that are to be read; None for all."""
    wanted = (schema.metadata or {}).get(b"wanted")
    return None if wanted is None else _names(wanted)


def columns_with_missing(schema: pa.Schema | None) -> set[str]:
    """The columns that lack a value in some row, which need not be one of a table with this schema."""
    names = ((schema.metadata if schema is not None else None) or {}).get(b"missing")
    return set(_names(names)) if names else set()


def _names(written: bytes) -> list[str]:
    """Names in the metadata of a schema; plans of earlier versions have one in each line."""
    with suppress(ValueError):
        return [str(name) for name in json.loads(written)]
    return written.decode().split("\n")


def tell_missing(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The table, of which these columns lack a value in some row of the input.

    What a script is given of them must not depend on whether they lack one in this table: numpy and pandas hold
    whole numbers, or truth, otherwise where one is missing.
    """
    if not names:
        return table
    told = [field.name for field in table.schema if field.name in names and holds_no_nothing(field.type)]
    metadata = table.schema.metadata or {}
    return table.replace_schema_metadata({**metadata, "missing": json.dumps(told)}) if told else table


def without_values(table: pa.Table | pa.RecordBatch) -> set[str]:
    """The columns that lack a value in some row of this table."""
    return {name for name, column in zip(table.schema.names, table.columns, strict=True) if column.null_count}


def holds_no_nothing(kind: pa.DataType) -> bool:
    """Do numpy and pandas hold values of this type otherwise where one is missing?"""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def signature_types(columns: Mapping[str, str], more: Sequence[str]) -> ColumnTypes:
    """What is known where a model says what it takes: only that is read, and ``more``, which stays text.

    Args:
        columns: MLflow's name of each column's type. Dates are read as text, for the model's side to convert; of
            arrays and objects the files say more.
    """
    known = dict.fromkeys(more, pa.string())
    for name, kind in columns.items():
        if kind in _SIGNATURE:
            known[name] = _SIGNATURE[kind]
    return ColumnTypes(known, [*dict.fromkeys([*columns, *more])])


def unions_in(schema: pa.Schema, names: Collection[str] | None = None) -> list[pa.Field]:
    """The columns, of these or of all, that hold values of a union, in lists and structs as well."""
    return [field for field in schema if (names is None or field.name in names) and _holds_union(field.type)]


def union_refused(path: str, field: pa.Field, holder: str) -> InputError:
    """What is wrong with such a column of a file, and how to mend it.

    Args:
        holder: what has no type for it.
    """
    return InputError(
        f"column '{field.name}' of '{shown(path)}' has the type {field.type}, and {holder} keeps the types of a "
        "union's values",
        mend="Store a column for each of these types, or text"
        + (
            "; or leave it out of output_columns."
            if holder == "no output"
            else "; or let run() take a pyarrow.Table."
        ),
    )


def _holds_union(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _holds_union(kind.value_type)
    return bool(pa.types.is_union(kind) or any(_holds_union(kind.field(at).type) for at in range(kind.num_fields)))


def kind_of_number(value: int | float) -> pa.DataType:
    """What a number, as Python has it, says of its column."""
    if isinstance(value, float):
        return WHOLE if value.is_integer() and abs(value) < _EXACT else pa.float64()
    try:
        exact = float(value) == value
    except OverflowError:
        exact = False
    if value in _INT64:
        return pa.int64() if exact else WIDE
    return pa.float64() if exact else pa.string()


def kind_of_numbers(column: pa.ChunkedArray | pa.Array) -> pa.DataType:
    """What its numbers, those in lists and structs included, say of a column; its type where they say no more."""
    kind = column.type
    if pa.types.is_int64(kind):
        low, high = pc.min_max(column).as_py().values()
        if low is None or max(-low, high) <= _EXACT:
            return kind
        same = pc.equal(column.cast(pa.float64(), safe=False).cast(kind, safe=False), column)
        return kind if pc.all(same).as_py() else WIDE
    if pa.types.is_float64(kind):
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _EXACT))
        return WHOLE if pc.all(whole).as_py() else kind
    if isinstance(column, pa.ChunkedArray) and pa.types.is_nested(kind):
        column = column.combine_chunks()
    if pa.types.is_list(kind) and isinstance(column, pa.Array):
        return pa.list_(kind_of_numbers(column.flatten()))
    if pa.types.is_struct(kind) and isinstance(column, pa.Array):
        fields = zip(kind, column.flatten(), strict=True)
        return pa.struct([(field.name, kind_of_numbers(values)) for field, values in fields])
    return kind


def beyond_doubles(column: pa.ChunkedArray | pa.Array) -> bool:
    """May a double in it, also in lists and structs, stand for a whole number that no double holds?"""
    kind = column.type
    if pa.types.is_float64(kind):
        largest = pc.max(pc.abs(column)).as_py()
        return largest is not None and largest >= _EXACT
    if isinstance(column, pa.ChunkedArray) and pa.types.is_nested(kind):
        return any(map(beyond_doubles, column.chunks))
    if pa.types.is_list(kind):
        return beyond_doubles(column.flatten())
    return pa.types.is_struct(kind) and any(map(beyond_doubles, column.flatten()))


def _settled(kind: pa.DataType) -> pa.DataType:
    """The type that tables have of such a column."""
    if kind in (WIDE, WHOLE):
        return pa.int64() if kind == WIDE else pa.float64()
    if pa.types.is_list(kind):
        return pa.list_(_settled(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _settled(field.type)) for field in kind])
    return kind


def join(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds both; of whole numbers that no double holds beside fractions, text."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} <= {pa.int64(), WHOLE, pa.float64()}:
        return pa.float64() if pa.float64() in (one, other) else WHOLE
    if {one, other} <= {pa.int64(), WHOLE, WIDE}:
        return WIDE
    if pa.types.is_list(one) and pa.types.is_list(other):
        return pa.list_(join(one.value_type, other.value_type))
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        names = dict.fromkeys([field.name for field in one] + [field.name for field in other])
        return pa.struct([(n, join(_field(one, n), _field(other, n))) for n in names])
    return pa.string()


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type)) for field in kind])
    return kind


def _field(kind: pa.StructType, name: str) -> pa.DataType:
    at = kind.get_field_index(name)
    return pa.null() if at < 0 else kind.field(at).type
