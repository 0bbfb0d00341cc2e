"""Arrow streams: what is before each message says where the next one is, and what a batch holds before it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from batch_endpoints.storage.tables.arrow.messages import (
    DICTIONARY,
    ROWS,
    SCHEMA,
    Block,
    Message,
    count_fields,
    first_fields,
    has_dictionaries,
    read_message,
)
from batch_endpoints.storage.tables.arrow.slices import may_be_sliced, slices
from batch_endpoints.storage.tables.arrow.windows import Windows
from batch_endpoints.storage.tables.column_types import holds_no_nothing
from batch_endpoints.storage.tables.row_groups import rows_at_once


class ArrowStream:
    """A stream, or what has one in it: a file of Arrow's is one between its first bytes and its footer.

    Args:
        begin: where its schema begins.
        dictionaries: where they all are; None where they have to be looked for.

    Raises:
        pyarrow.ArrowInvalid: it is none.
    """

    def __init__(self, source: Windows, begin: int = 0, dictionaries: Sequence[Block] | None = None) -> None:
        self._source = source
        first = read_message(source, begin)
        if first is None or first.kind != SCHEMA:
            raise pa.ArrowInvalid("it does not begin as a file or stream of Arrow does")
        self._begin, self._head = first.end, source.buffer(begin, first.end - begin)
        self.schema = pa.ipc.open_stream(self._head).schema
        self._all_dictionaries = dictionaries if has_dictionaries(self.schema) else ()
        self._dictionaries = _Dictionaries(source, first.end)
        self._sliced = first.of_this_machine and may_be_sliced(self.schema)

    def told(self) -> Iterator[BatchInfo]:
        headers = Headers(self.schema, self._source)
        return (headers.tell(one, one.end) for one in self._messages(self._begin) if one.kind == ROWS)

    def read_from(self, place: int, skip: int) -> Iterator[pa.RecordBatch]:
        reader: pa.RecordBatchReader | None = None
        for message in self._messages(place if place >= 0 else self._begin):
            if message.kind != ROWS:  # it is in what a reader begins with, or asks for by itself
                continue
            rows = self.rows_at_once(message)
            if rows < message.rows:
                yield from self.slices(message, skip, rows)
                reader = None
            else:
                reader = reader or self._reader(message.at, [])
                yield behind(_next(reader), skip)
            skip = 0

    def rows_at_once(self, message: Message) -> int:
        """How many rows of a batch may be in memory, or have to be."""
        return (
            rows_at_once(message.body_bytes, message.rows)
            if self._sliced and not message.compressed
            else message.rows
        )

    def slices(self, message: Message, skip: int, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a batch behind some, so many at once."""
        none = pa.record_batch([pa.array([], field.type) for field in self.schema], schema=self.schema)
        empty = _next(self._reader(message.at, [none.serialize()]))
        return slices(message, self._source, empty, skip, rows)

    def _reader(self, at: int, more: list[pa.Buffer]) -> pa.RecordBatchReader:
        """Reads what begins at a message."""
        dictionaries = self._dictionaries.at(at) if self._all_dictionaries is None else self._all_dictionaries
        head = [self._source.buffer(one.at, one.header + one.body) for one in dictionaries]
        spliced = _Spliced([self._head, *head, *more], self._source, at)
        return pa.ipc.open_stream(pa.PythonFile(spliced, mode="r"))

    def _messages(self, at: int) -> Iterator[Message]:
        while message := read_message(self._source, at):
            yield message
            at = message.end


def behind(batch: pa.RecordBatch, skip: int) -> pa.RecordBatch:
    """The rows of a batch behind some.

    Raises:
        pyarrow.ArrowInvalid: there are not so many.
    """
    if skip > batch.num_rows:
        raise pa.ArrowInvalid(f"a record batch has {batch.num_rows} rows, and had more than {skip}")
    return batch.slice(skip) if skip else batch


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch:
    for batch in reader:
        return batch
    raise pa.ArrowInvalid("it ends before the last of its record batches")


class _Dictionaries:
    """Where a stream has dictionaries; what lies before a place is walked through once."""

    def __init__(self, source: Windows, begin: int) -> None:
        self._source, self._walked = source, begin
        self._found: list[tuple[Block, int, bool]] = []  # each with its number; does it add to what there is?

    def at(self, place: int) -> list[Block]:
        """What makes the dictionaries that hold there: of each the last new one, and what was added to it."""
        while self._walked < place and (message := read_message(self._source, self._walked)):
            if message.kind == DICTIONARY:
                block = Block(message.at, message.body - message.at, message.body_bytes)
                self._found.append((block, message.dictionary, message.adds))
            self._walked = message.end
        hold: list[tuple[Block, int]] = []
        for block, number, adds in self._found:
            if block.at < place:
                hold = [*(other for other in hold if adds or other[1] != number), (block, number)]
        return [block for block, _ in hold]


class _Spliced:
    """A file for Arrow's reader of streams: some messages, and then what is at a place of a file.

    That reader asks for a header and for a body by their lengths, and so never for some of two messages.
    """

    closed = False

    def __init__(self, head: list[pa.Buffer], source: Windows, at: int) -> None:
        self._head, self._source, self._at = head[::-1], source, at

    def read(self, length: int) -> pa.Buffer:
        if self._head:
            first = self._head.pop()
            if first.size > length:
                self._head.append(first.slice(length))
            return first.slice(0, length)
        length = min(length, self._source.size - self._at)
        at, self._at = self._at, self._at + length
        return self._source.buffer(at, length)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The file stays open, for what is read next."""


class BatchInfo(NamedTuple):
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

    def tell(self, message: Message, end: int) -> BatchInfo:
        """Raises ArrowInvalid where it is not of this schema: it could have any number of rows."""
        if message.fields != self._fields:
            raise pa.ArrowInvalid(f"the rows at byte {message.at} have {message.fields} fields, not {self._fields}")
        missing = {name for name, number in self._may_lack if message.rows and message.lacks_values(number)}
        return BatchInfo(message.at, end, message.rows, self._size(message), missing)

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
