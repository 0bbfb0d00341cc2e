"""Mini-batches that are tables: how one is sent, and what the reply to it means.

Accounting is by rows: ``run()`` returns at least one for each that it is given. Items are files, or parts of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.contract import Scored, by_item, returned_rows


@dataclass(frozen=True)
class TableBatch:
    """The rows of one mini-batch.

    Args:
        items: the files they are of, relative to the input.
        rows: of each item, how many.
        first_rows: of each item, the position of its first row in its file.
        output_columns: columns that the output has besides.
    """

    table: pa.Table
    items: Sequence[str]
    rows: Sequence[int]
    first_rows: Sequence[int]
    output_columns: Sequence[str] = ()

    def payload(self) -> pa.Buffer:
        """An Arrow stream."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return sink.getvalue()

    def without(self, failed: Mapping[str, object]) -> TableBatch:
        """The rows of the other items."""
        kept = [at for at, item in enumerate(self.items) if item not in failed]
        starts = [sum(self.rows[:at]) for at in kept]
        table = pa.concat_tables(
            [self.table.slice(start, self.rows[at]) for start, at in zip(starts, kept, strict=True)]
            or [self.table.slice(0, 0)]
        )
        return TableBatch(
            table=table,
            items=[self.items[at] for at in kept],
            rows=[self.rows[at] for at in kept],
            first_rows=[self.first_rows[at] for at in kept],
            output_columns=self.output_columns,
        )

    @property
    def positions(self) -> pa.Array:
        """Of each row, its position in its file."""
        ranges = zip(self.first_rows, self.rows, strict=True)
        return pa.array([at for first, count in ranges for at in range(first, first + count)], pa.int64())

    @property
    def files(self) -> pa.Array:
        """Of each row, its file."""
        named = zip(self.items, self.rows, strict=True)
        return pa.chunked_array([pa.repeat(item, count) for item, count in named], pa.string()).combine_chunks()


def read_table_reply(header: dict[str, Any], payload: bytes, batch: TableBatch) -> Scored:
    """Understand a reply to ``run`` of a table.

    Raises:
        RunFailed: the result leaves rows out.
    """
    given = batch.table.num_rows
    if header["kind"] == "items":
        scored = by_item(header, payload, batch.items)
        if scored.table is None:
            return scored
        return Scored(_with_input(scored.table, batch.without(scored.failed), before_last=True), scored.failed)
    table = returned_rows(header, payload)
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
    if header["kind"] != "values":
        return Scored(_with_input(table, batch, before_last=False))
    table = table.add_column(0, _free("row", table), batch.positions)
    table = table.append_column(_free("file", table), batch.files)
    return Scored(_with_input(table, batch, before_last=True))


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
