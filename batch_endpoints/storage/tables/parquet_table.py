"""Parquet files as tables: cut at row groups, or at rows within them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from batch_endpoints.interfaces.files import RangeReader
from batch_endpoints.planning.partitions import Cuts, Part
from batch_endpoints.storage.tables.column_types import (
    ColumnTypes,
    columns_with_missing,
    holds_no_nothing,
    tell_missing,
)
from batch_endpoints.storage.tables.row_groups import RowStream, cuts_within, is_large
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

_ROWS = 1 << 13  # that are decoded at once where a group is


class ParquetTable:
    """A Parquet file; its footer says where its row groups are.

    Args:
        in_rows: cut anywhere, not only between groups.
        reader: of a file that is far away: what a group needs of it is asked for at once.
    """

    begin = 0

    def __init__(self, source: Any, in_rows: bool, reader: RangeReader | None = None) -> None:
        self._reader = reader
        self._file, self._in_rows = pyarrow.parquet.ParquetFile(source), in_rows
        self.schema = self._file.schema_arrow
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        metadata = self._file.metadata
        groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
        self._rows = [0, *accumulate(group.num_rows for group in groups)]
        self._sizes = [0, *accumulate(max(group.total_byte_size, 1) for group in groups)]
        self._last: tuple[object, pa.Table] | None = None
        self._stream: tuple[object, RowStream] | None = None

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]:
        """Where it may be cut; its columns have their own types, of which ``types`` learns what lacks a value."""
        if types is not None and not types.complete:
            types.add(pa.schema([]), self._missing)
        total = self._rows[-1]
        if self._in_rows and total:
            yield Cuts(range(1, total + 1), range(1, total + 1))
        elif total:
            groups = zip(pairwise(self._sizes), pairwise(self._rows), strict=True)
            places = [
                place
                for (begin, end), (row, behind) in groups
                for place in cuts_within(begin, end - begin, row, behind - row)
            ]
            yield Cuts([end for end, _ in places], [row for _, row in places])

    def read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        types: pa.Schema | None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> pa.Table:
        """The rows of a part; ``columns`` is None for all, and those that the file lacks are left out."""
        names = None if columns is None else [name for name in self.columns if name in columns]
        first = part.first_row
        end = self._rows[-1] if part.rows < 0 else first + part.rows
        missing = self._missing | columns_with_missing(types)
        tables = []
        for group, (begins, ends) in enumerate(pairwise(self._rows)):
            if begins < end and ends > first:
                tables.append(self._some(group, names, max(first - begins, 0), min(end, ends) - begins))
        if tables:
            return tell_missing(pa.concat_tables(tables), missing)
        schema = self.schema
        return (schema if names is None else pa.schema([schema.field(name) for name in names])).empty_table()

    def _some(self, group: int, names: Sequence[str] | None, start: int, end: int) -> pa.Table:
        """Some rows of a group."""
        if not is_large(self._file.metadata.row_group(group).total_byte_size):
            return self._cached(group, names).slice(start, end - start)
        key = (group, names)
        if self._stream is None or self._stream[0] != key or self._stream[1].first > start:
            batches = self._file.iter_batches(_ROWS, row_groups=[group], columns=names, use_threads=False)
            self._stream = key, RowStream(batches)
        return pa.Table.from_batches(self._stream[1].rows(start, end))

    def _cached(self, group: int, names: Sequence[str] | None) -> pa.Table:
        """A group, which the next part may begin in."""
        key = (group, names)
        if self._last is None or self._last[0] != key:
            self._last = None  # let go of it before the next one is there
            if self._reader:
                self._reader.will_need(self._ranges(group, names))
            self._last = key, self._file.read_row_group(group, columns=names, use_threads=False)
            if self._reader:
                self._reader.will_need(())  # its bytes are in the table now
        return self._last[1]

    def _ranges(self, group: int, names: Sequence[str] | None) -> Iterator[tuple[int, int]]:
        """Where the columns of a group are in the file."""
        wanted = None if names is None else set(names)
        metadata = self._file.metadata.row_group(group)
        for column in map(metadata.column, range(metadata.num_columns)):
            path = column.path_in_schema
            if wanted is None or path in wanted or path.partition(".")[0] in wanted:
                start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
                yield start, start + column.total_compressed_size

    @cached_property
    def _missing(self) -> set[str]:
        """The columns that lack a value somewhere in the file, or may."""
        metadata = self._file.metadata
        number = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
        unknown = {f.name for f in self.schema if f.nullable and holds_no_nothing(f.type)}
        found = unknown - number.keys()
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for name in unknown - found:
                told = group.column(number[name]).statistics
                if told is None or not told.has_null_count or told.null_count:
                    found.add(name)
        return found
