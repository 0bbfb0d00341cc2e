"""Record batches of Arrow files and streams: what is known of each before it is read, and the batches from one on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.feather

from batch_endpoints.storage.arrow_headers import Headers, Told
from batch_endpoints.storage.arrow_messages import ROWS, Message, read_footer, read_message
from batch_endpoints.storage.arrow_streams import ArrowStream, behind
from batch_endpoints.storage.column_types import without_values
from batch_endpoints.storage.columnar_tables import is_large
from batch_endpoints.storage.windows import Windows

_FEATHER = b"FEA1"  # around a table of Feather's first version


class Batches(Protocol):
    """The record batches of one file, in their order."""

    schema: pa.Schema

    def told(self) -> Iterator[Told]:
        """What is known of each."""

    def read_from(self, place: int, skip: int) -> Iterator[pa.RecordBatch]:
        """Their rows from one batch on, behind some rows of it; large batches come in pieces where that can be.

        Args:
            place: below 0 is that of the first batch.
        """


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
    return _Whole(source) if begin.startswith(_FEATHER) else ArrowStream(windows)


class _File:
    """An Arrow file; its footer says where the batches are."""

    def __init__(self, source: pa.NativeFile, windows: Windows) -> None:
        self._windows, self._footer = windows, read_footer(windows)
        self._file = pa.ipc.open_file(source)
        self.schema = self._file.schema

    def told(self) -> Iterator[Told]:
        headers = Headers(self.schema, self._windows)
        for place, end in pairwise([*(block.at for block in self._footer.batches), self._windows.size]):
            yield headers.tell(self._message(place), end)

    def read_from(self, place: int, skip: int) -> Iterator[pa.RecordBatch]:
        places = [block.at for block in self._footer.batches]
        if place >= 0 and place not in places:
            raise pa.ArrowInvalid(f"there is no record batch at byte {place}, where there was one")
        for number in range(places.index(place) if place >= 0 else 0, len(places)):
            yield from self._rows(number, skip)
            skip = 0

    def _rows(self, number: int, skip: int) -> Iterator[pa.RecordBatch]:
        block = self._footer.batches[number]
        if is_large(block.body):
            message = self._message(block.at)
            rows = self._stream.rows_at_once(message)
            if rows < message.rows:
                yield from self._stream.slices(message, skip, rows)
                return
        yield behind(self._file.get_batch(number), skip)

    @cached_property
    def _stream(self) -> ArrowStream:
        """The one that is between its first bytes and its footer."""
        return ArrowStream(self._windows, 8, self._footer.dictionaries)

    def _message(self, place: int) -> Message:
        message = read_message(self._windows, place)
        if message is None or message.kind != ROWS:
            raise pa.ArrowInvalid(f"there is no record batch at byte {place}")
        return message


class _Whole:
    """A table of Feather's first version, whose columns lie one behind the other."""

    def __init__(self, source: pa.NativeFile) -> None:
        source.seek(max(source.size() - 8, 0))
        told = source.read(8)  # of the table's description the length, before the last word
        if told[4:] != _FEATHER or not 0 < int.from_bytes(told[:4], "little") <= source.size() - 12:
            raise pa.ArrowInvalid("it has no end of a Feather file")  # which Arrow would read whatever is there
        source.seek(0)
        table = pyarrow.feather.read_table(source)
        self.schema, self._batches = table.schema, table.to_batches()

    def told(self) -> Iterator[Told]:
        for number, batch in enumerate(self._batches):
            yield Told(number, number + 1, batch.num_rows, batch.nbytes, without_values(batch))

    def read_from(self, place: int, skip: int) -> Iterator[pa.RecordBatch]:
        for batch in self._batches[max(place, 0) :]:
            yield behind(batch, skip)
            skip = 0
