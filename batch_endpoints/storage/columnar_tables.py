"""Parquet and Arrow files as tables: cut at row groups or record batches, or at rows within them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from batch_endpoints.planning.partitions import Cuts, Part
from batch_endpoints.storage.column_types import (
    ColumnTypes,
    columns_with_missing,
    holds_no_nothing,
    tell_missing,
    without_values,
)
from batch_endpoints.storage.readable_rows import UnreadableRow

LARGE = 64 << 20  # bytes of a group of rows that is cut within, and read piece by piece
_ROWS = 1 << 13  # that are decoded at once where a group is


class ColumnarTable:
    """One file of groups of rows.

    Args:
        in_rows: cut anywhere, not only between groups.
    """

    begin = 0

    def __init__(self, schema: pa.Schema, rows: Sequence[int], sizes: Sequence[int], in_rows: bool) -> None:
        self.columns: tuple[str, ...] = tuple(schema.names)
        self._schema, self._in_rows = schema, in_rows
        self._rows, self._sizes = [0, *accumulate(rows)], list(accumulate(max(size, 1) for size in sizes))
        self._last: tuple[object, pa.Table] | None = None

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]:
        """Where it may be cut; its columns have their own types, of which ``types`` learns what lacks a value."""
        if types is not None and not types.complete:
            types.add(pa.schema([]), self._missing)
        total = self._rows[-1]
        if self._in_rows and total:
            yield Cuts(range(1, total + 1), range(1, total + 1))
        elif total:
            places = [place for group in range(len(self._sizes)) for place in self._places(group)]
            yield Cuts([end for end, _ in places], [row for _, row in places])

    def _places(self, group: int) -> Iterator[tuple[int, int]]:
        """Where to cut a group: bytes and rows up to there, which are about even within a large one."""
        begin, rows = self._sizes[group - 1] if group else 0, self._rows[group + 1] - self._rows[group]
        size = self._sizes[group] - begin
        pieces = min(-(-4 * size // LARGE), rows) if size > LARGE else min(rows, 1)  # without rows, it is no part
        for piece in range(1, pieces + 1):
            yield begin + size * piece // pieces, self._rows[group] + rows * piece // pieces

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
        schema = self._schema
        return (schema if names is None else pa.schema([schema.field(name) for name in names])).empty_table()

    def _some(self, group: int, names: Sequence[str] | None, start: int, end: int) -> pa.Table:
        """Some rows of a group."""
        return self._cached(group, names).slice(start, end - start)

    def _cached(self, group: int, names: Sequence[str] | None) -> pa.Table:
        """A group, which the next part may begin in."""
        key = (group, names)
        if self._last is None or self._last[0] != key:
            self._last = None  # let go of it before the next one is there
            self._last = key, self._group(group, names)
        return self._last[1]

    @property
    def _missing(self) -> set[str]:
        """The columns that lack a value somewhere in the file, or may."""
        raise NotImplementedError

    def _group(self, group: int, names: Sequence[str] | None) -> pa.Table:
        raise NotImplementedError


class ParquetTable(ColumnarTable):
    """A Parquet file; its footer says where its row groups are."""

    def __init__(self, source: Any, in_rows: bool) -> None:
        self._file = pyarrow.parquet.ParquetFile(source)
        self._stream: tuple[object, _RowStream] | None = None
        metadata = self._file.metadata
        groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
        rows, sizes = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
        super().__init__(self._file.schema_arrow, rows, sizes, in_rows)

    @cached_property
    def _missing(self) -> set[str]:
        metadata = self._file.metadata
        number = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
        unknown = {f.name for f in self._schema if f.nullable and holds_no_nothing(f.type)}
        found = unknown - number.keys()
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for name in unknown - found:
                told = group.column(number[name]).statistics
                if told is None or not told.has_null_count or told.null_count:
                    found.add(name)
        return found

    def _some(self, group: int, names: Sequence[str] | None, start: int, end: int) -> pa.Table:
        if self._file.metadata.row_group(group).total_byte_size <= LARGE:
            return super()._some(group, names, start, end)
        key = (group, names)
        if self._stream is None or self._stream[0] != key or self._stream[1].at > start:
            batches = self._file.iter_batches(_ROWS, row_groups=[group], columns=names, use_threads=False)
            self._stream = key, _RowStream(batches)
        return pa.Table.from_batches(self._stream[1].rows(start, end))

    def _group(self, group: int, names: Sequence[str] | None) -> pa.Table:
        return self._file.read_row_group(group, columns=names, use_threads=False)


class _RowStream:
    """Rows that are decoded in their order; the next part most often goes on where the last one ended."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._left: pa.RecordBatch | None = None
        self.at = 0

    def rows(self, start: int, end: int) -> list[pa.RecordBatch]:
        """Those from ``start``, which is not before ``at``."""
        found = []
        while self.at < end:
            batch = next(self._batches) if self._left is None else self._left
            behind = self.at + batch.num_rows
            if behind > start:
                first = max(start, self.at)
                found.append(batch.slice(first - self.at, min(end, behind) - first))
            self._left = batch.slice(end - self.at) if behind > end else None
            self.at = min(behind, end)
        return found


class ArrowTable(ColumnarTable):
    """An Arrow file; one that is a stream, or of Feather's first version, is read whole and cut then."""

    def __init__(self, source: Any, in_rows: bool) -> None:
        self._batches: Any
        try:
            self._batches = pa.ipc.open_file(source)
            count, get = self._batches.num_record_batches, self._batches.get_batch
        except pa.ArrowInvalid:
            source.seek(0)
            try:
                whole = pa.ipc.open_stream(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                whole = pyarrow.feather.read_table(source)
            self._batches = batches = whole.to_batches()
            count, get = len(batches), batches.__getitem__
            schema = whole.schema
        else:
            schema = self._batches.schema
        self._get = get
        rows, sizes = [], []
        self._lacking: set[str] = set()
        for batch in map(get, range(count)):
            rows.append(batch.num_rows)
            sizes.append(batch.nbytes)
            self._lacking |= without_values(batch)
        super().__init__(schema, rows, sizes, in_rows)

    @property
    def _missing(self) -> set[str]:
        return self._lacking

    def _group(self, group: int, names: Sequence[str] | None) -> pa.Table:
        table = pa.Table.from_batches([self._get(group)])
        return table if names is None else table.select(names)
