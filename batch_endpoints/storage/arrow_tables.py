"""Arrow files and streams as tables: cut at record batches, or at rows within them, and read by these.

To cut a file only what stands before each batch is read, and of a part only the batches that it has rows of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from batch_endpoints.planning.partitions import Cuts, Group, Part
from batch_endpoints.storage.arrow_batches import open_batches
from batch_endpoints.storage.column_types import ColumnTypes, columns_with_missing, tell_missing, without_values
from batch_endpoints.storage.columnar_tables import RowStream, cuts_within
from batch_endpoints.storage.readable_rows import UnreadableRow


class ArrowTable:
    """An Arrow file or stream; one of Feather's first version is read whole, and cut then.

    Args:
        source: can be read anywhere.
        in_rows: cut anywhere, not only between batches.
    """

    begin = 0

    def __init__(self, source: pa.NativeFile, in_rows: bool) -> None:
        self._batches, self._in_rows = open_batches(source), in_rows
        self.columns: tuple[str, ...] = tuple(self._batches.schema.names)
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
        table = pa.Table.from_batches(found, self._batches.schema)
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
