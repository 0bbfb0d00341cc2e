"""What a reply of the host means: rows as a table, and which items have a result.

Accounting is by item, not by count of rows. Where an index, a column or a value names the files, the items it names
have a result; a list with one value per item has them all; otherwise there have to be at least as many rows as items.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.named_files import named_in_another_order, named_in_table, named_in_values
from batch_endpoints.scoring.replies import ItemResult, ItemsReply, Raised, RowsReply, TableReply, ValuesReply

_LONGEST = 1000  # characters of a message in a headline; the stack has all of it
_LONGEST_MESSAGE = 10_000  # characters of it beside an item or row
_LAST_LINES, _LONGEST_LINE = 10, 300  # of a stack, where there may be one for each of a million items


@dataclass(frozen=True)
class UserError:
    """Why an item has no result; mostly an exception in the user's code.

    Args:
        kind: class of the exception; "" where there was none.
        file: in the user's code, relative to its folder.
        may_pass: another try may succeed.
        of_rows: some of the rows may succeed without the others.
        of_node: its process was ended because the node ran short of memory.
    """

    kind: str
    message: str
    file: str = ""
    line: int = 0
    stack: str = ""
    may_pass: bool = True
    of_rows: bool = True
    of_node: bool = False

    @property
    def headline(self) -> str:
        """One line: place, kind and message."""
        place = f"{self.file}:{self.line}: " if self.file else ""
        kind = f"{self.kind}: " if self.kind else ""
        return f"{place}{kind}{_cut(' '.join(self.message.split()), _LONGEST)}".removesuffix(": ")

    @property
    def own_message(self) -> str:
        """What the exception itself says, line breaks included, unless that is very long."""
        return _cut(self.message, _LONGEST_MESSAGE)

    @property
    def last_lines(self) -> str:
        """The end of the stack, short enough to be kept beside an item."""
        return "\n".join(line[:_LONGEST_LINE] for line in self.stack.rstrip().split("\n")[-_LAST_LINES:])

    @property
    def way(self) -> str:
        """The lines of code that the stack leads through, which is what alike errors of many rows have in common."""
        return "\n".join(line for line in self.stack.split("\n") if line.startswith('  File "'))

    @classmethod
    def of(cls, raised: Raised) -> UserError:
        return cls(raised.kind, raised.message, raised.file, raised.line, raised.stack, raised.again)


@dataclass(frozen=True)
class Scored:
    """The result of one mini-batch.

    Args:
        table: its rows, in the order of its items; None for none.
        failed: item -> why it has no result.
        rows_read: of files that a model's own side has read, how many rows they have.
        unattributed: a sentence that states it where the file or row that a result is of is unknown.
        failed_rows: item -> position in its file of each row without a result -> why it has none.
        rows_of: item -> its rows in the table, one item after the other; empty where that is not stated.
    """

    table: pa.Table | None
    failed: dict[str, UserError] = field(default_factory=dict)
    rows_read: dict[str, int] = field(default_factory=dict)
    unattributed: str = ""
    failed_rows: dict[str, dict[int, UserError]] = field(default_factory=dict)
    rows_of: dict[str, int] = field(default_factory=dict)

    def by_file(self) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each item that ``rows_of`` has."""
        ends = accumulate(self.rows_of.values())
        for (item, rows), end in zip(self.rows_of.items(), ends, strict=True):
            if self.table is not None:
                yield item, self.table.slice(end - rows, rows)


NO_FILE = UserError("", "run() returned rows, but none for this file", may_pass=False)
NO_ROW = UserError("", "run() returned no row for it", may_pass=False)
NO_PREDICTION = UserError("", "predict() returned no row for it", may_pass=False)


def scored_files(reply: RowsReply | ItemsReply, items: Sequence[str]) -> Scored:
    """What a reply to ``run`` of files means.

    Args:
        items: the mini-batch, as names relative to the input.

    Raises:
        RunFailed: the result leaves open which items have one.
    """
    if isinstance(reply, ItemsReply):
        return by_item(reply, items)
    table, single, count = returned_rows(reply), is_single(reply), len(items)
    named = named_in_table(table, items)
    if reply.positions is not None and not named.files:
        return _of_files(table, [items[number] for number in reply.positions], items)
    values = reply.values if isinstance(reply, ValuesReply) and single else []
    if single and table.num_rows and count in (1, table.num_rows):
        if count > 1 and named_in_another_order(values, items):
            return Scored(
                table,
                unattributed="run() returned values that name their files, and in another order than it was given "
                "them, so the output has no column 'file' for them; return them in the order given",
            )
        return _of_files(table, items if count > 1 else [items[0]] * table.num_rows, items)
    if values:
        named = named_in_values(values, items)
    if named.files:
        failed = {item: NO_FILE for item in items if item not in named.files}
        told = named.doubtful and (
            f"run() names files without their folders, and several of one call are '{named.doubtful}', so one that "
            "the script leaves out cannot be noticed; return their whole paths"
        )
        if named.of_rows:
            return _of_files(table, named.of_rows, items)
        return Scored(table, failed, unattributed=told)
    files = f"{count} file{'s' * (count != 1)}"
    if table.num_rows < count:
        raise RunFailed(
            f"run() returned {count_of(table.num_rows)} for {files}"
            + (", and no column says which files they are of" if table.num_rows else ""),
            mend="Return one row per file, or a column with the file's name.",
        )
    if table.num_rows > count > 1:
        return Scored(
            table,
            unattributed=f"run() returned {table.num_rows} rows for {files} and no column says which file each is "
            "of, so a file that the script leaves out cannot be noticed; return a column with the file's name",
        )
    return Scored(table)


def by_item(reply: ItemsReply, items: Sequence[str]) -> Scored:
    """What a reply means that states of each item how many rows it has, or why it has none."""
    failed: dict[str, UserError] = {}
    failed_rows: dict[str, dict[int, UserError]] = {}
    files: list[str] = []
    rows: list[int | None] = []
    places: list[tuple[int, int]] = []
    read: dict[str, int] = {}
    unattributed = ""
    for at, (item, result) in enumerate(zip(items, reply.items, strict=True)):
        if result.read is not None:
            read[item] = result.read
        if result.error:
            failed[item] = UserError.of(result.error)
            continue
        files += [item] * result.rows
        numbers = _numbers(result)
        rows += numbers
        places += [(at, -1 if number is None else number) for number in numbers]
        if result.read and not result.rows:
            failed[item] = UserError("", f"predict() returned no row for its {count_of(result.read)}", may_pass=False)
        elif result.positions is not None:
            without = sorted(set(range(result.read or 0)).difference(result.positions))
            failed_rows |= {item: dict.fromkeys(without, NO_PREDICTION)} if without else {}
        elif None in numbers:
            unattributed = unattributed or (
                f"predict() returned {count_of(result.rows)} for the {count_of(result.read or 0)} of '{item}' and "
                "nothing states which of them they are of, so the output's column 'row' is empty there"
            )
    if reply.table is None:
        return Scored(None, failed, read)
    table = returned_rows(reply.table)
    table = table.add_column(0, free_name("row", table), pa.array(rows, pa.int64()))
    table = table.append_column(free_name("file", table), pa.array(files, pa.string()))
    rows_of = {item: result.rows for item, result in zip(items, reply.items, strict=True) if result.rows}
    return Scored(in_order(table, places), failed, read, unattributed, failed_rows, rows_of)


def returned_rows(reply: RowsReply) -> pa.Table:
    """The returned rows alone; of a list of values a column ``prediction``."""
    if isinstance(reply, TableReply):
        return reply.table
    if not isinstance(reply, ValuesReply):
        named = zip(reply.names, reply.data, strict=True)
        return pa.table({name: _array(values) for name, values in named})
    values = reply.values
    if is_single(reply):
        return pa.table({"prediction": _array(values)})
    names = list(dict.fromkeys(name for value in values for name in value))
    return pa.table({name: _array([value.get(name) for value in values]) for name in names})


def is_single(reply: RowsReply) -> bool:
    """Is it a list of values, and no table?"""
    if isinstance(reply, ValuesReply):
        return not (reply.values and all(isinstance(value, dict) for value in reply.values))
    return isinstance(reply, TableReply) and reply.single


def in_order(table: pa.Table, places: Sequence[Any]) -> pa.Table:
    """The rows in the order of their places; those of one place in the order that they have."""
    order = sorted(range(len(places)), key=places.__getitem__)
    return table if order == list(range(len(places))) else table.take(pa.array(order, pa.int64()))


def free_name(name: str, table: pa.Table) -> str:
    """A name for another column: this one, unless the table has it."""
    while name in table.column_names:
        name = f"_{name}"
    return name


def count_of(rows: int) -> str:
    """So many rows, in words."""
    return "no rows" if not rows else "1 row" if rows == 1 else f"{rows} rows"


def _of_files(table: pa.Table, files: Sequence[str], items: Sequence[str]) -> Scored:
    """Rows of which the file is known, with it as their last column."""
    number = {item: at for at, item in enumerate(items)}
    table = table.append_column(free_name("file", table), pa.array(files, pa.string()))
    there = set(files)
    failed = {item: NO_FILE for item in items if item not in there}
    return Scored(in_order(table, [number[file] for file in files]), failed)


def _numbers(result: ItemResult) -> Sequence[int | None]:
    """Of each row of an item, its position in the file; None where nothing states it."""
    if result.positions is not None:
        return result.positions
    return range(result.rows) if result.read in (None, result.rows) else [None] * result.rows


def _cut(message: str, longest: int) -> str:
    """The message without its middle where it is too long: what is wrong is often said last, behind the data it is
    about."""
    return message if len(message) <= longest else f"{message[: longest // 2]} … {message[-longest // 2 :]}"


def _array(values: list[Any]) -> pa.Array:
    """A column of whatever JSON holds; where types differ or numbers are too large, as text.

    ``NaN`` is no value, unless it stands among fractions.
    """
    try:
        array = pa.array(values)
        if not pa.types.is_floating(array.type) or not any(type(value) is int for value in values):
            return array
        if any(isinstance(value, float) and value == value for value in values):
            return array
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    values = [_without_nan(value) for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value
