"""Record batches of Arrow files and streams: what is known of each before it is read, and the batches from one on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.feather

from batch_endpoints.storage.arrow_messages import (
    DICTIONARY,
    ROWS,
    SCHEMA,
    Message,
    first_fields,
    has_dictionaries,
    places_of_batches,
    read_message,
)
from batch_endpoints.storage.column_types import holds_no_nothing, without_values
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


class Batches(Protocol):
    """The record batches of one file, in their order."""

    schema: pa.Schema

    def told(self) -> Iterator[Told]:
        """What is known of each."""

    def read_from(self, place: int) -> Iterator[pa.RecordBatch]:
        """The batches from one on, or from the first where nothing is told of the place."""


def open_batches(source: pa.NativeFile) -> Batches:
    """What a file has.

    Args:
        source: can be read anywhere.

    Raises:
        pyarrow.ArrowInvalid: it is none of Arrow's.
    """
    windows = Windows(source)
    begin = windows.read(0, 8)
    if begin.startswith(b"ARROW1"):
        return _File(source, windows)
    return _Whole(source) if begin.startswith(b"FEA1") else _Stream(windows)


class _File:
    """An Arrow file; its footer says where the batches are."""

    def __init__(self, source: pa.NativeFile, windows: Windows) -> None:
        self._places, self._windows = places_of_batches(windows), windows
        self._file = pa.ipc.open_file(source)
        self.schema = self._file.schema

    def told(self) -> Iterator[Told]:
        headers = _Headers(self.schema, self._windows)
        for place, end in pairwise([*self._places, self._windows.size]):
            message = read_message(self._windows, place)
            if message is None or message.kind != ROWS:
                raise pa.ArrowInvalid(f"there is no record batch at byte {place}")
            yield headers.tell(message, end)

    def read_from(self, place: int) -> Iterator[pa.RecordBatch]:
        if place >= 0 and place not in self._places:
            raise pa.ArrowInvalid(f"there is no record batch at byte {place}, where there was one")
        first = self._places.index(place) if place >= 0 else 0
        return map(self._file.get_batch, range(first, len(self._places)))


class _Stream:
    """An Arrow stream: what stands before each message says where the next one is, and nothing else does."""

    def __init__(self, source: Windows) -> None:
        self._source = source
        first = read_message(source, 0)
        if first is None or first.kind != SCHEMA:
            raise pa.ArrowInvalid("it does not begin as a file or stream of Arrow does")
        self._begin, self._head = first.end, source.buffer(0, first.end)
        self.schema = pa.ipc.open_stream(self._head).schema
        self._dictionaries = _Dictionaries(source, first.end) if has_dictionaries(self.schema) else None

    def told(self) -> Iterator[Told]:
        headers = _Headers(self.schema, self._source)
        return (headers.tell(one, one.end) for one in _messages(self._source, self._begin) if one.kind == ROWS)

    def read_from(self, place: int) -> Iterator[pa.RecordBatch]:
        if place < 0:
            place = self._begin
        read_message(self._source, place)  # raises where there is none any more, before any length is believed
        head = [self._head]
        if self._dictionaries:
            head += [self._source.buffer(one.at, one.size) for one in self._dictionaries.at(place)]
        return iter(pa.ipc.open_stream(pa.PythonFile(_Spliced(head, self._source, place), mode="r")))


class _Whole:
    """A table of Feather's first version, whose columns lie one behind the other."""

    def __init__(self, source: pa.NativeFile) -> None:
        source.seek(0)
        table = pyarrow.feather.read_table(source)
        self.schema, self._batches = table.schema, table.to_batches()

    def told(self) -> Iterator[Told]:
        for number, batch in enumerate(self._batches):
            yield Told(number, number + 1, batch.num_rows, batch.nbytes, without_values(batch))

    def read_from(self, place: int) -> Iterator[pa.RecordBatch]:
        return iter(self._batches[max(place, 0) :])


class _Headers:
    """What the headers of record batches tell."""

    def __init__(self, schema: pa.Schema, source: Windows) -> None:
        self._source = source
        fields = zip(schema, first_fields(schema), strict=True)
        self._may_lack = [(field.name, number) for field, number in fields if holds_no_nothing(field.type)]
        self._row_bytes = 0.0

    def tell(self, message: Message, end: int) -> Told:
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


class _Dictionary(NamedTuple):
    at: int
    size: int
    number: int
    adds: bool


class _Dictionaries:
    """Where a stream has dictionaries; what lies before a place is walked through once."""

    def __init__(self, source: Windows, begin: int) -> None:
        self._source, self._walked = source, begin
        self._found: list[_Dictionary] = []

    def at(self, place: int) -> list[_Dictionary]:
        """What makes the dictionaries that hold there: of each the last new one, and what was added to it."""
        while self._walked < place and (message := read_message(self._source, self._walked)):
            if message.kind == DICTIONARY:
                size = message.end - message.at
                self._found.append(_Dictionary(message.at, size, message.dictionary, message.adds))
            self._walked = message.end
        hold: list[_Dictionary] = []
        for one in self._found:
            if one.at < place:
                hold = [*(other for other in hold if one.adds or other.number != one.number), one]
        return hold


def _messages(source: Windows, at: int) -> Iterator[Message]:
    while message := read_message(source, at):
        yield message
        at = message.end


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
