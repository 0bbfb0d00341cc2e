"""Arrow files and streams as tables: cut at record batches, or at rows within them, and read by these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import pyarrow as pa
import pyarrow.feather

from batch_endpoints.planning.partitions import Cuts, Group, Part
from batch_endpoints.storage.tables.arrow.messages import ROWS, Message, read_footer, read_message
from batch_endpoints.storage.tables.arrow.streams import ArrowStream, BatchInfo, Headers, behind
from batch_endpoints.storage.tables.arrow.windows import Windows
from batch_endpoints.storage.tables.column_types import (
    ColumnTypes,
    columns_with_missing,
    tell_missing,
    without_values,
)
from batch_endpoints.storage.tables.row_groups import RowStream, cuts_within, is_large
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

_FEATHER = b"FEA1"  # around a table of Feather's first version


class ArrowTable:
    """An Arrow file or stream; one of Feather's first version is read whole, and cut then.

    Args:
        source: can be read anywhere.
        in_rows: cut anywhere, not only between batches.
    """

    begin = 0

    def __init__(self, source: pa.NativeFile, in_rows: bool) -> None:
        self._batches, self._in_rows = open_batches(source), in_rows
        self.schema: pa.Schema = self._batches.schema
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        self._rows: RowStream | None = None

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]:
        """Where it may be cut; its columns have their own types, of which ``types`` learns what lacks a value."""
        row = size = 0
        for told in self._batches.told():
            if types is not None:  # also where their types are known: nobody asks all batches again
                types.add(pa.schema([]), told.missing)
            if not told.rows:
                continue
            group = Group(told.place, told.end, row)
            if self._in_rows:
                ends = range(row + 1, row + told.rows + 1)
                yield Cuts(ends, ends, group)
            else:
                places = list(cuts_within(size, max(told.size, 1), row, told.rows))
                yield Cuts([end for end, _ in places], [rows for _, rows in places], group)
            row, size = row + told.rows, size + max(told.size, 1)

    def read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        types: pa.Schema | None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> pa.Table:
        """The rows of a part; ``columns`` is None for all, and those that the file lacks are left out."""
        end = None if part.rows < 0 else part.first_row + part.rows
        found = self._rows_at(part).rows(part.first_row, end) if part.rows else []
        table = pa.Table.from_batches(found, self.schema)
        if columns is not None:
            table = table.select([name for name in self.columns if name in columns])
        return tell_missing(table, columns_with_missing(types) | without_values(table))

    def _rows_at(self, part: Part) -> RowStream:
        """The rows from those on with which a part begins; most often the last part was read up to there."""
        if self._rows is None or not self._rows.first <= part.first_row <= self._rows.behind:
            self._rows = None  # let go of its batch before another one is there
            place, skip = (part.group, part.skip) if part.group >= 0 else self._find(part.first_row)
            self._rows = RowStream(self._batches.read_from(place, skip), part.first_row)
        return self._rows

    def _find(self, row: int) -> tuple[int, int]:
        """Group and skip of a part that begins at a row, where its plan does not say them."""
        if not row:
            return -1, 0
        first = 0
        for told in self._batches.told():
            if first + told.rows > row:
                return told.place, row - first
            first += told.rows
        raise pa.ArrowInvalid(f"it has {first} rows, and no row {row}")


class Batches(Protocol):
    """The record batches of one file, in their order."""

    schema: pa.Schema

    def told(self) -> Iterator[BatchInfo]:
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

    def told(self) -> Iterator[BatchInfo]:
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

    def told(self) -> Iterator[BatchInfo]:
        for number, batch in enumerate(self._batches):
            yield BatchInfo(number, number + 1, batch.num_rows, batch.nbytes, without_values(batch))

    def read_from(self, place: int, skip: int) -> Iterator[pa.RecordBatch]:
        for batch in self._batches[max(place, 0) :]:
            yield behind(batch, skip)
            skip = 0
