"""Arrays under types that differ in their leaves: within lists, structs and maps.

Arrow's own cast knows no views of lists, and loses what is in them where they become lists.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

Leaf = Callable[[pa.DataType], pa.DataType]


def with_leaves(kind: pa.DataType, leaf: Leaf) -> pa.DataType:
    """The type with others for its leaves; views of lists in which this changes anything are lists then."""
    is_a = pa.types
    if is_a.is_struct(kind):
        return pa.struct([field.with_type(with_leaves(field.type, leaf)) for field in kind])
    if is_a.is_map(kind):
        return pa.map_(with_leaves(kind.key_type, leaf), with_leaves(kind.item_type, leaf), kind.keys_sorted)
    if not is_list(kind):
        return leaf(kind)
    value = with_leaves(kind.value_type, leaf)
    if value == kind.value_type:
        return leaf(kind)
    if is_a.is_fixed_size_list(kind):
        return leaf(pa.list_(kind.value_field.with_type(value), kind.list_size))
    return pa.large_list(value) if is_large_list(kind) else pa.list_(value)


def recast(
    column: pa.ChunkedArray, kind: pa.DataType, cast: Callable[[pa.Array, pa.DataType], pa.Array] = pa.Array.cast
) -> pa.ChunkedArray:
    """The column under another type.

    Args:
        kind: has the same lists, structs and maps, or lists in place of others.
        cast: for what is neither.

    Raises:
        pa.ArrowException: a value does not fit.
    """
    if column.type == kind:
        return column
    return pa.chunked_array([_recast(chunk, kind, cast) for chunk in column.chunks], kind)


def is_list(kind: pa.DataType) -> bool:
    """Is it a list of any kind?"""
    is_a = pa.types
    views = is_a.is_list_view(kind) or is_a.is_large_list_view(kind)
    return bool(views or is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind))


def is_large_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind))


def _decoded(array: pa.DictionaryArray) -> pa.Array:
    try:
        return array.dictionary_decode()
    except pa.ArrowIndexError:  # within a missing fixed-size list the indices may be any
        inside = pc.less(array.indices.cast(pa.int64(), safe=False), len(array.dictionary))
        return array.dictionary.take(pc.if_else(inside, array.indices, None))


def _recast(array: pa.Array, kind: pa.DataType, cast: Callable[[pa.Array, pa.DataType], pa.Array]) -> pa.Array:
    is_a = pa.types
    if array.type == kind:
        return array
    if is_a.is_run_end_encoded(array.type):
        return _recast(pc.run_end_decode(array), kind, cast)
    if is_a.is_dictionary(array.type):
        return _recast(_decoded(array), kind, cast)
    if is_a.is_fixed_size_list(array.type) and is_a.is_fixed_size_list(kind):
        size = kind.list_size
        values = _recast(array.values.slice(array.offset * size, len(array) * size), kind.value_type, cast)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=array.is_null())
    if is_list(array.type) and is_list(kind):
        values = _recast(array.flatten(), kind.value_type, cast)
        maker = pa.LargeListArray if is_large_list(kind) else pa.ListArray
        return maker.from_arrays(_offsets(array, kind), values, type=kind, mask=array.is_null())
    if is_a.is_struct(array.type) and is_a.is_struct(kind):
        there = array.flatten()  # and not its fields, which have whatever values where it is null
        fields = [
            _recast(there[at], field.type, cast)
            if (at := array.type.get_field_index(field.name)) >= 0
            else pa.nulls(len(array), field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())
    if is_a.is_map(array.type) and is_a.is_map(kind):
        pairs = array.cast(pa.list_(pa.struct([("key", array.type.key_type), ("item", array.type.item_type)])))
        keys, items = pairs.flatten().flatten()
        keys, items = _recast(keys, kind.key_type, cast), _recast(items, kind.item_type, cast)
        return pa.MapArray.from_arrays(_offsets(pairs, kind), keys, items, type=kind, mask=array.is_null())
    return cast(array, kind)


def _offsets(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Where each list begins among the values that ``flatten`` returns, and the end of the last one."""
    size = pa.int64() if is_large_list(kind) else pa.int32()
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0).cast(size))
    return pa.concat_arrays([pa.array([0], size), ends])
