"""What stands before the rows in files and streams of Arrow: where each record batch lies, and how many rows it has.

Arrow's own readers tell the number of rows of a batch only with its rows. It is in a header of some hundred bytes, in
the format of flatbuffers: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
and https://flatbuffers.dev/internals; the numbers of fields here are those of ``Message.fbs`` and ``File.fbs``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from batch_endpoints.storage.tables.arrow.windows import Windows

SCHEMA, DICTIONARY, ROWS = 1, 2, 3  # kinds of messages that files and streams have
_MAGIC = b"ARROW1"
_CONTINUED = 0xFFFFFFFF  # before the length of a header; Arrow had none of it until 0.15


class Message:
    """A message without its body.

    Args:
        header: as it is written, without what tells its length.
        at: where the message begins in its file, in bytes.
        body: where its body begins.
    """

    def __init__(self, header: bytes, at: int, body: int) -> None:
        root = _Table(header, _unpack("<I", header, 0)[0])
        self.at, self.body = at, body
        self.kind, self._told = root.number(1, "B"), root.table(2)
        self.body_bytes = root.number(3, "q")

    @property
    def end(self) -> int:
        """Where the next message begins."""
        return self.body + self.body_bytes

    @property
    def rows(self) -> int:
        return self._rows.number(0, "q")

    @property
    def compressed(self) -> bool:
        return self._rows.has(3)

    @property
    def of_this_machine(self) -> bool:
        """Does a schema say that numbers are written as this machine has them?"""
        return bool(self._told.number(0, "h")) == (sys.byteorder == "big")

    @property
    def dictionary(self) -> int:
        """Which dictionary this is one of, or adds to."""
        return self._told.number(0, "q")

    @property
    def adds(self) -> bool:
        """Does it add values to its dictionary, instead of being a new one?"""
        return bool(self._told.number(2, "B"))

    @property
    def fields(self) -> int:
        """How many its rows have, with those within others."""
        return self._rows.count(1)

    @property
    def is_sound(self) -> bool:
        """Has its first column as many rows as it says it has? A plan has parts for all that are told."""
        return self.rows >= 0 and (not self.fields or _unpack("<q", *self._rows.at(1, 0, 16))[0] == self.rows)

    def lacks_values(self, field: int) -> bool:
        """Is a value missing in one of the fields, which are counted as ``first_fields`` has them?"""
        return any(_unpack("<q", *self._rows.at(1, field, 16, skip=8)))

    def buffers(self) -> Iterator[tuple[int, int]]:
        """Place in the body, and bytes there, of all that the rows consist of."""
        for number in range(self._rows.count(2)):
            yield _unpack("<qq", *self._rows.at(2, number, 16))

    @cached_property
    def _rows(self) -> _Table:
        return self._told.table(1) if self.kind == DICTIONARY else self._told


def read_message(source: Windows, at: int) -> Message | None:
    """The message that begins at a byte; None behind the last one.

    Raises:
        pyarrow.ArrowInvalid: there is no message, or only the begin of one.
    """
    told = source.read(at, 8)
    if not told:
        return None  # a stream may just end
    length, begin = _unpack("<I", told, 0)[0], at + 4
    if length == _CONTINUED:
        length, begin = _unpack("<I", told, 4)[0], at + 8
    if not length:
        return None
    if begin + length > source.size:
        raise pa.ArrowInvalid(f"it breaks off within the message at byte {at}, or is no Arrow file")
    found = Message(source.read(begin, length), at, begin + length)
    broken = found.kind not in (SCHEMA, DICTIONARY, ROWS) or not found.body <= found.end <= source.size
    if broken or (found.kind == ROWS and not found.is_sound):
        raise pa.ArrowInvalid(f"it breaks off within the message at byte {at}, or has none there")
    return found


class Block(NamedTuple):
    """Where a message of a file is, and the bytes of what stands before its body, and of that."""

    at: int
    header: int
    body: int


class Footer(NamedTuple):
    """Where the messages of a file are, in their order."""

    dictionaries: list[Block]
    batches: list[Block]


def read_footer(source: Windows) -> Footer:
    """What stands at the end of a file.

    Raises:
        pyarrow.ArrowInvalid: it has no footer.
    """
    end = source.size - 4 - len(_MAGIC)
    told = source.last(4 + len(_MAGIC))
    if end < 0 or told[4:] != _MAGIC:
        raise pa.ArrowInvalid("it has no end of an Arrow file")
    length = _unpack("<i", told, 0)[0]
    if not 0 < length <= end:
        raise pa.ArrowInvalid("it has no footer of an Arrow file")
    footer = source.read(end - length, length)
    root = _Table(footer, _unpack("<I", footer, 0)[0])
    found = Footer(
        *(
            [Block(*_unpack("<qi4xq", *root.at(field, number, 24))) for number in range(root.count(field))]
            for field in (2, 3)
        )
    )
    if any(min(block) < 0 or sum(block) > source.size for blocks in found for block in blocks):
        raise pa.ArrowInvalid("its footer names places that it does not have")
    return found


def first_fields(schema: pa.Schema) -> Sequence[int]:
    """Of each column the number of its field among all fields: children are counted behind their parents."""
    found, count = [], 0
    for column in schema:
        found.append(count)
        count += _fields(column.type)
    return found


def count_fields(schema: pa.Schema) -> int:
    """How many fields a record batch has, with those within others."""
    return sum(_fields(column.type) for column in schema)


def has_dictionaries(schema: pa.Schema) -> bool:
    """Does it take more than their batches to read its rows?"""
    return any(_is_encoded(field.type) for field in schema)


def _is_encoded(kind: pa.DataType) -> bool:
    kind = _stored(kind)
    return pa.types.is_dictionary(kind) or any(map(_is_encoded, _children(kind)))


def _fields(kind: pa.DataType) -> int:
    return 1 + sum(map(_fields, _children(_stored(kind))))


def _stored(kind: pa.DataType) -> pa.DataType:
    return _stored(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def _children(kind: pa.DataType) -> list[pa.DataType]:
    return [kind.field(at).type for at in range(kind.num_fields)]


class _Table:
    """A table of a flatbuffer: its fields are where another table, before or behind it, says."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _unpack("<i", data, at)[0]
        self._length = _unpack("<H", data, self._fields)[0]

    def has(self, field: int) -> bool:
        return bool(self._place(field))

    def number(self, field: int, kind: str) -> int:
        place = self._place(field)
        return int(_unpack(f"<{kind}", self._data, place)[0]) if place else 0

    def table(self, field: int) -> _Table:
        return _Table(self._data, self._far(field))

    def count(self, field: int) -> int:
        """How many elements a vector has."""
        return int(_unpack("<I", self._data, self._far(field))[0]) if self._place(field) else 0

    def at(self, field: int, number: int, size: int, skip: int = 0) -> tuple[bytes, int]:
        """Where an element of a vector is that has so many bytes, or what lies behind some of them."""
        return self._data, self._far(field) + 4 + number * size + skip

    def _far(self, field: int) -> int:
        place = self._place(field)
        return place + int(_unpack("<I", self._data, place)[0])

    def _place(self, field: int) -> int:
        """0 where the field is left out."""
        slot = 4 + 2 * field
        own = _unpack("<H", self._data, self._fields + slot)[0] if slot < self._length else 0
        return self._at + own if own else 0


def _unpack(kind: str, data: bytes, at: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(kind, data, at)
    except struct.error:
        raise pa.ArrowInvalid("it has a header that is none of Arrow's") from None
