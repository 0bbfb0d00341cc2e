"""Some rows of a record batch that is too large to be read at once: of each of its buffers only what they take.

How buffers follow each other: https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from batch_endpoints.storage.tables.arrow.messages import Message
from batch_endpoints.storage.tables.arrow.windows import Windows


def may_be_sliced(schema: pa.Schema) -> bool:
    """Is it known where the rows are in all columns? It is not in unions, views and runs."""
    return all(_is_known(field.type, top=True) for field in schema)


def slices(
    message: Message, source: Windows, empty: pa.RecordBatch, start: int, rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a batch from one on, so many at once.

    Args:
        message: of a batch that is not compressed.
        empty: a batch without rows, with the schema and the dictionaries of this one.
    """
    buffers = ((message.body + at, length) for at, length in message.buffers())
    columns = [_column(field.type, buffers) for field in empty.schema]
    for first in range(start, message.rows, rows):
        end = min(first + rows, message.rows)
        found = [_rows(one, source, first, end, like) for one, like in zip(columns, empty.columns, strict=True)]
        yield pa.RecordBatch.from_arrays(found, schema=empty.schema)


@dataclass(frozen=True)
class _Column:
    """Where the values of one type are.

    Args:
        buffers: place in the file and bytes of each.
    """

    kind: pa.DataType
    buffers: Sequence[tuple[int, int]]
    children: Sequence[_Column] = ()


def _is_known(kind: pa.DataType, *, top: bool = False) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_known(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return top  # those of children are found only with them
    if pa.types.is_struct(kind) or pa.types.is_fixed_size_list(kind) or _has_offsets(kind):
        return all(_is_known(kind.field(at).type) for at in range(kind.num_fields))
    of = pa.types
    return any(test(kind) for test in (of.is_null, of.is_primitive, of.is_fixed_size_binary, of.is_decimal))


def _has_offsets(kind: pa.DataType) -> bool:
    """Are its values, or its children's, of any length?"""
    return _is_text(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind)


def _is_text(kind: pa.DataType) -> bool:
    of = pa.types
    return any(test(kind) for test in (of.is_string, of.is_binary, of.is_large_string, of.is_large_binary))


def _column(kind: pa.DataType, buffers: Iterator[tuple[int, int]]) -> _Column:
    if isinstance(kind, pa.BaseExtensionType):
        return _Column(kind, (), [_column(kind.storage_type, buffers)])
    if pa.types.is_null(kind):
        return _Column(kind, ())
    of_bits_only = pa.types.is_struct(kind) or pa.types.is_fixed_size_list(kind)
    count = 1 if of_bits_only else 3 if _is_text(kind) else 2
    own = list(islice(buffers, count))
    if len(own) < count:
        raise pa.ArrowInvalid("a record batch has fewer columns than its schema")
    return _Column(kind, own, [_column(kind.field(at).type, buffers) for at in range(kind.num_fields)])


def _rows(column: _Column, source: Windows, start: int, end: int, like: pa.Array | None = None) -> pa.Array:
    """Values of a column; ``like`` has its dictionary."""
    kind = column.kind
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(_rows(column.children[0], source, start, end))
    if pa.types.is_dictionary(kind):
        indices = _rows(_Column(kind.index_type, column.buffers), source, start, end)
        assert like is not None
        return pa.DictionaryArray.from_arrays(indices, like.dictionary, ordered=kind.ordered)
    if pa.types.is_null(kind) or start == end:
        return pa.nulls(end - start, kind)
    first = start - start % 8  # bits are found by bytes
    found = [_bits(source, column.buffers[0], first, end) if column.buffers[0][1] else None]
    children: list[pa.Array] = []
    if _has_offsets(kind):
        wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
        offsets = _offsets(source, column.buffers[1], first, end, pa.int64() if wide else pa.int32())
        begin, behind = offsets[0].as_py(), offsets[-1].as_py()
        found.append(pc.subtract(offsets, offsets[0]).buffers()[1])
        if _is_text(kind):
            found.append(_bytes(source, column.buffers[2], begin, behind))
        else:
            children = [_rows(one, source, begin, behind) for one in column.children]
        if pa.types.is_map(kind):  # which overlooks that its pairs may begin behind the first bits of a byte
            children = [pa.StructArray.from_arrays(children[0].flatten(), fields=[*kind.field(0).type])]
    elif pa.types.is_fixed_size_list(kind):
        children = [_rows(one, source, first * kind.list_size, end * kind.list_size) for one in column.children]
    elif pa.types.is_struct(kind):
        children = [_rows(one, source, first, end) for one in column.children]
    elif pa.types.is_boolean(kind):
        found.append(_bits(source, column.buffers[1], first, end))
    else:
        found.append(_bytes(source, column.buffers[1], first * kind.byte_width, end * kind.byte_width))
    return pa.Array.from_buffers(kind, end - start, found, offset=start - first, children=children)


def _offsets(source: Windows, buffer: tuple[int, int], first: int, end: int, kind: pa.DataType) -> pa.Array:
    data = _bytes(source, buffer, first * kind.byte_width, (end + 1) * kind.byte_width)
    return pa.Array.from_buffers(kind, end + 1 - first, [None, data])


def _bits(source: Windows, buffer: tuple[int, int], first: int, end: int) -> pa.Buffer:
    return _bytes(source, buffer, first // 8, -(-end // 8))


def _bytes(source: Windows, buffer: tuple[int, int], begin: int, end: int) -> pa.Buffer:
    at, length = buffer
    if not 0 <= begin <= end <= length or at + end > source.size:
        raise pa.ArrowInvalid(f"the rows at byte {at} are not as long as is told before them")
    return source.buffer(at + begin, end - begin)
