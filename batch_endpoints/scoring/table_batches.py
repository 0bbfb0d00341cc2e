"""Mini-batches that are tables: how one is sent, and what the reply to it means.

Accounting is by rows: those that an index names have a result, and the others have failed. Where nothing names them,
``run()`` returns at least one for each that it is given, a model without a script exactly one.
Items are files, or parts of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import pyarrow as pa

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.contract import (
    NO_PREDICTION,
    NO_ROW,
    Scored,
    UserError,
    count_of,
    free_name,
    in_order,
    is_single,
    returned_rows,
)
from batch_endpoints.scoring.replies import ItemsReply, RowsReply


@dataclass(frozen=True)
class TableBatch:
    """The rows of one mini-batch.

    Args:
        items: the files they are of, relative to the input.
        places: of each item, the positions of its rows in its file.
        output_columns: columns that the output has besides.
    """

    table: pa.Table
    items: Sequence[str]
    places: Sequence[Sequence[int]]
    output_columns: Sequence[str] = ()

    def payload(self) -> pa.Buffer:
        """An Arrow stream."""
        sized = pa.MockOutputStream()
        self._write(sized)
        buffer = pa.allocate_buffer(sized.size())  # at once: one that grows is copied again and again
        self._write(pa.FixedSizeBufferWriter(buffer))
        return buffer

    def _write(self, sink: pa.NativeFile) -> None:
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)

    @cached_property
    def bounds(self) -> Sequence[int]:
        """Where each item begins among the rows, and the end of the last one."""
        return [0, *accumulate(map(len, self.places))]

    def between(self, start: int, end: int) -> TableBatch:
        """Some of the rows; where they are none, still of an item."""
        found = list(self.ranges(start, end)) or [(0, 0, 0)]
        return replace(
            self,
            table=self.table.slice(start, end - start),
            items=[self.items[at] for at, _, _ in found],
            places=[self.places[at][first - self.bounds[at] :][:count] for at, first, count in found],
        )

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Of each item that has some of these rows: its number, the first of them, and how many."""
        for at in range(max(bisect_right(self.bounds, start) - 1, 0), len(self.items)):
            first, last = max(start, self.bounds[at]), min(end, self.bounds[at + 1])
            if first >= end:
                return
            if first < last:
                yield at, first, last - first

    @property
    def positions(self) -> pa.Array:
        """Of each row, its position in its file."""
        found = [
            pa.arange(rows.start, rows.stop) if isinstance(rows, range) else pa.array(rows, pa.int64())
            for rows in self.places
        ]
        return pa.chunked_array(found, pa.int64()).combine_chunks()

    @property
    def files(self) -> pa.Array:
        """Of each row, its file."""
        named = zip(self.items, self.places, strict=True)
        return pa.chunked_array([pa.repeat(item, len(rows)) for item, rows in named], pa.string()).combine_chunks()


def scored_table(reply: RowsReply | ItemsReply, batch: TableBatch) -> Scored:
    """What a reply to ``run`` of a table means.

    Raises:
        RunFailed: the result leaves open which rows have one.
    """
    given = batch.table.num_rows
    if isinstance(reply, ItemsReply):
        return _predicted(reply, batch)
    table, place = returned_rows(reply), _with_place if is_single(reply) else _with_input
    if reply.positions is not None:
        return _of_rows(table, reply.positions, batch, NO_ROW, place)
    if table.num_rows == given:
        return Scored(place(table, batch, None))
    what = f"run() returned {count_of(table.num_rows)} for {count_of(given)} of input"
    if table.num_rows < given:
        raise RunFailed(
            f"{what}, and nothing states which of them they are of" if table.num_rows else what,
            mend="Return a row for each row of input, or the table's own index with the rows.",
        )
    if batch.output_columns:
        raise RunFailed(
            f"{what}, so nobody can say which input columns belong to them",
            mend="Return one row for each row of input, or leave out output_columns.",
        )
    if is_single(reply):
        table = table.add_column(0, "row", pa.nulls(table.num_rows, pa.int64()))
        file = batch.items[0] if len(batch.items) == 1 else None
        table = table.append_column("file", pa.array([file] * table.num_rows, pa.string()))
    return Scored(table, unattributed=f"{what}, and nothing states which of them each is of")


def _predicted(reply: ItemsReply, batch: TableBatch) -> Scored:
    """What a model without a script has made of the rows: one result, or the exception that it raised."""
    (result,) = reply.items
    if result.error:
        return Scored(None, dict.fromkeys(batch.items, UserError.of(result.error)))
    assert reply.table
    table, given = returned_rows(reply.table), batch.table.num_rows
    if result.positions is not None:
        return _of_rows(table, result.positions, batch, NO_PREDICTION, _with_place)
    if table.num_rows == given:
        return Scored(_with_place(table, batch, None))
    # a row alone may get one result, and yet not its own: such a model has one for the whole, or for some of it
    message = (
        f"the model's predict() returned {count_of(table.num_rows)} for {count_of(given)} of input; "
        "give mini_batch_size as a number of files if that is what it does"
    )
    return Scored(None, dict.fromkeys(batch.items, UserError("", message, may_pass=False, of_rows=False)))


def _of_rows(
    table: pa.Table,
    positions: Sequence[int],
    batch: TableBatch,
    missing: UserError,
    place: Callable[[pa.Table, TableBatch, pa.Array | None], pa.Table],
) -> Scored:
    """Returned rows, with the number of the given row that each is of."""
    numbers = pa.array(positions, pa.int64())
    ordered = in_order(pa.table({"": numbers}), positions)[""].combine_chunks()
    table = place(in_order(table, positions), batch, ordered)
    without: dict[str, dict[int, UserError]] = {}
    there = set(positions)
    for row in [row for row in range(batch.table.num_rows) if row not in there]:
        ((at, first, _),) = batch.ranges(row, row + 1)
        position = batch.places[at][first - batch.bounds[at]]
        without.setdefault(batch.items[at], {})[position] = missing
    return Scored(table if table.num_rows else None, failed_rows=without)


def _with_place(table: pa.Table, batch: TableBatch, numbers: pa.Array | None) -> pa.Table:
    """The output with ``row`` as its first column and ``file`` as its last, and the input columns before that.

    Args:
        numbers: of each row that of the given row it is of; None where it has the same place.
    """
    table = table.add_column(0, free_name("row", table), _taken(batch.positions, numbers))
    table = table.append_column(free_name("file", table), _taken(batch.files, numbers))
    return _with_columns(table, batch, numbers, table.num_columns - 1)


def _with_input(table: pa.Table, batch: TableBatch, numbers: pa.Array | None) -> pa.Table:
    """The output with the input columns that it is to have."""
    return _with_columns(table, batch, numbers, table.num_columns)


def _with_columns(table: pa.Table, batch: TableBatch, numbers: pa.Array | None, at: int) -> pa.Table:
    """The output with the input columns that it is to have, the first of them at this place."""
    for name in batch.output_columns:
        if name in batch.table.column_names:
            column = batch.table.column(name)
        elif name in ("row", "file"):
            if name in table.column_names:
                continue
            column = batch.positions if name == "row" else batch.files
        else:
            continue  # its file was refused before
        table = table.add_column(at, free_name(name, table), _taken(column, numbers))
        at += 1
    return table


def _taken(column: pa.Array | pa.ChunkedArray, numbers: pa.Array | None) -> pa.Array | pa.ChunkedArray:
    return column if numbers is None else column.take(numbers)
