"""Mini-batches that are tables: how one is sent, and what the reply to it means.

Accounting is by rows: ``run()`` returns at least one for each that it is given, a model without a script exactly one.
Items are files, or parts of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import pyarrow as pa

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.contract import Scored, UserError, returned_rows
from batch_endpoints.scoring.replies import ItemsReply, RowsReply, ValuesReply


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
        RunFailed: the result leaves rows out.
    """
    given = batch.table.num_rows
    if isinstance(reply, ItemsReply):
        return _predicted(reply, batch)
    table = returned_rows(reply)
    if table.num_rows < given:
        raise RunFailed(
            f"run() returned {_count(table.num_rows)} for {_count(given)} of input",
            mend="Return a row for each row of input.",
        )
    if table.num_rows > given:
        if batch.output_columns:
            raise RunFailed(
                f"run() returned {_count(table.num_rows)} for {_count(given)} of input, "
                "so nobody can say which input columns belong to them",
                mend="Return one row for each row of input, or leave out output_columns.",
            )
        return Scored(table)
    if not isinstance(reply, ValuesReply):
        return Scored(_with_input(table, batch, before_last=False))
    return Scored(_with_place(table, batch))


def _predicted(reply: ItemsReply, batch: TableBatch) -> Scored:
    """What a model without a script has made of the rows: one result, or the exception that it raised."""
    if error := reply.items[0].error:
        return Scored(None, dict.fromkeys(batch.items, UserError.of(error)))
    assert reply.table
    table, given = returned_rows(reply.table), batch.table.num_rows
    if table.num_rows == given:
        return Scored(_with_place(table, batch))
    # a row alone may get one result, and yet not its own: such a model has one for the whole, or for some of it
    message = (
        f"the model's predict() returned {_count(table.num_rows)} for {_count(given)} of input; "
        "give mini_batch_size as a number of files if that is what it does"
    )
    return Scored(None, dict.fromkeys(batch.items, UserError("", message, may_pass=False, of_rows=False)))


def _with_place(table: pa.Table, batch: TableBatch) -> pa.Table:
    """The output with ``row`` as its first column and ``file`` as its last, and the input columns before that."""
    table = table.add_column(0, _free("row", table), batch.positions)
    table = table.append_column(_free("file", table), batch.files)
    return _with_input(table, batch, before_last=True)


def _with_input(table: pa.Table, batch: TableBatch, *, before_last: bool) -> pa.Table:
    """The output with the input columns that it is to have; behind them stands its last one, ``file``."""
    for name in batch.output_columns:
        if name in batch.table.column_names:
            column = batch.table.column(name)
        elif name in ("row", "file"):
            if name in table.column_names:
                continue
            column = batch.positions if name == "row" else batch.files
        else:
            continue  # its file was refused before
        table = table.add_column(table.num_columns - int(before_last), _free(name, table), column)
    return table


def _free(name: str, table: pa.Table) -> str:
    while name in table.column_names:
        name = f"_{name}"
    return name


def _count(rows: int) -> str:
    return "no rows" if not rows else "1 row" if rows == 1 else f"{rows} rows"
