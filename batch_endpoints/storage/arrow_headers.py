"""What is known of a record batch before it is read."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from batch_endpoints.storage.arrow_messages import Message, count_fields, first_fields
from batch_endpoints.storage.column_types import holds_no_nothing
from batch_endpoints.storage.windows import Windows


class Told(NamedTuple):
    """What is known of a record batch that is not read.

    Args:
        place: where it begins.
        end: where the next one begins.
        size: bytes that its rows take in memory.
        missing: columns that lack a value, of those that scripts get otherwise then.
    """

    place: int
    end: int
    rows: int
    size: int
    missing: set[str]


class Headers:
    """What the headers of record batches tell, in their order."""

    def __init__(self, schema: pa.Schema, source: Windows) -> None:
        self._source = source
        fields = zip(schema, first_fields(schema), strict=True)
        self._may_lack = [(field.name, number) for field, number in fields if holds_no_nothing(field.type)]
        self._fields = count_fields(schema)
        self._row_bytes = 0.0

    def tell(self, message: Message, end: int) -> Told:
        """Raises ArrowInvalid where it is not of this schema: it could have any number of rows."""
        if message.fields != self._fields:
            raise pa.ArrowInvalid(f"the rows at byte {message.at} have {message.fields} fields, not {self._fields}")
        missing = {name for name, number in self._may_lack if message.rows and message.lacks_values(number)}
        return Told(message.at, end, message.rows, self._size(message), missing)

    def _size(self, message: Message) -> int:
        """What compressed rows take in memory stands before each of their columns, far from each other. So all are
        taken to be as long as those of the first batch, which is read for that; not shorter than they are compressed.
        """
        if not message.compressed or not message.rows:
            return message.body_bytes
        if not self._row_bytes:
            self._row_bytes = self._unpacked(message) / message.rows
        return max(message.body_bytes, int(message.rows * self._row_bytes))

    def _unpacked(self, message: Message) -> int:
        body = memoryview(self._source.buffer(message.body, message.body_bytes))
        size = 0
        for at, length in message.buffers():
            unpacked = int.from_bytes(body[at : at + 8], "little", signed=True) if length else 0
            size += length if unpacked < 0 else unpacked  # -1 before what compression would have made longer
        return size
