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
            # a group without bytes or rows is never a part of its own
            groups = [
                (end, row)
                for end, row, last in zip(self._sizes, self._rows[1:], self._rows[:-1], strict=True)
                if row > last
            ]
            yield Cuts([end for end, _ in groups], [row for _, row in groups])

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
                table = self._cached(group, names)
                tables.append(table.slice(max(first - begins, 0), min(end, ends) - max(first, begins)))
        if tables:
            return tell_missing(pa.concat_tables(tables), missing)
        schema = self._schema
        return (schema if names is None else pa.schema([schema.field(name) for name in names])).empty_table()

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

    def _group(self, group: int, names: Sequence[str] | None) -> pa.Table:
        return self._file.read_row_group(group, columns=names, use_threads=False)


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
