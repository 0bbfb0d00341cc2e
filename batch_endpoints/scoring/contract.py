"""What a reply of the host means: rows as a table, and which items have a result.

Accounting is by item, not by count of rows. Where a column names the files, the items it names have a result; a
list with one value per item has them all; otherwise there have to be at least as many rows as items.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import RunFailed
from batch_endpoints.scoring.replies import ItemsReply, Raised, RowsReply, TableReply, ValuesReply

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
        unattributed: a sentence that says so where nobody knows which file a row is of, and one could be missing.
    """

    table: pa.Table | None
    failed: dict[str, UserError] = field(default_factory=dict)
    rows_read: dict[str, int] = field(default_factory=dict)
    unattributed: str = ""


def scored_files(reply: RowsReply | ItemsReply, items: Sequence[str]) -> Scored:
    """What a reply to ``run`` of files means.

    Args:
        items: the mini-batch, as names relative to the input.

    Raises:
        RunFailed: the result leaves open which items have one.
    """
    if isinstance(reply, ItemsReply):
        return by_item(reply, items)
    table, of_item = _rows(reply, items)
    if of_item:
        return Scored(table)
    named, doubtful = _named_items(table, items)
    if named:
        missing = UserError("", "run() returned rows, but none for this file")
        told = doubtful and (
            f"run() names files without their folders, and several of one call are '{doubtful}', so one that the "
            "script leaves out cannot be noticed; return their whole paths"
        )
        failed = {item: missing for item in items if item not in named}
        return Scored(table, failed, unattributed=told)
    files = f"{len(items)} file{'s' * (len(items) != 1)}"
    if table.num_rows < len(items):
        count = "no rows" if not table.num_rows else "1 row" if table.num_rows == 1 else f"{table.num_rows} rows"
        raise RunFailed(
            f"run() returned {count} for {files}"
            + (", and no column says which files they are of" if table.num_rows else ""),
            mend="Return one row per file, or a column with the file's name.",
        )
    if table.num_rows > len(items) > 1:
        return Scored(
            table,
            unattributed=f"run() returned {table.num_rows} rows for {files} and no column says which file each is "
            "of, so a file that the script leaves out cannot be noticed; return a column with the file's name",
        )
    return Scored(table)


def by_item(reply: ItemsReply, items: Sequence[str]) -> Scored:
    """What a reply means that states of each item how many rows it has, or why it has none."""
    failed: dict[str, UserError] = {}
    files: list[str] = []
    read: dict[str, int] = {}
    for item, result in zip(items, reply.items, strict=True):
        if result.error:
            failed[item] = UserError.of(result.error)
        else:
            files += [item] * result.rows
        if result.read is not None:
            read[item] = result.read
    if reply.table is None:
        return Scored(None, failed, read)
    table = returned_rows(reply.table)
    name = "file"
    while name in table.column_names:
        name = f"_{name}"
    return Scored(table.append_column(name, pa.array(files, pa.string())), failed, read)


def returned_rows(reply: RowsReply) -> pa.Table:
    """The returned rows alone."""
    return _rows(reply, ())[0]


def _cut(message: str, longest: int) -> str:
    """The message without its middle where it is too long: what is wrong is often said last, behind the data it is
    about."""
    return message if len(message) <= longest else f"{message[: longest // 2]} … {message[-longest // 2 :]}"


def _rows(reply: RowsReply, items: Sequence[str]) -> tuple[pa.Table, bool]:
    """The returned rows, and whether it is certain which item each is of."""
    if isinstance(reply, TableReply):
        return reply.table, False
    if not isinstance(reply, ValuesReply):
        named = zip(reply.names, reply.data, strict=True)
        return pa.table({name: _array(values) for name, values in named}), False
    values = reply.values
    if values and all(isinstance(value, dict) for value in values):
        names = list(dict.fromkeys(name for value in values for name in value))
        return pa.table({name: _array([value.get(name) for value in values]) for name in names}), False
    if len(items) == 1:
        items = [items[0]] * len(values)
    if len(values) != len(items) or not values:
        return pa.table({"prediction": _array(values)}), False
    return pa.table({"prediction": _array(values), "file": pa.array(items, pa.string())}), True


def _array(values: list[Any]) -> pa.Array:
    """A column of whatever JSON holds; where types differ or numbers are too large, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _named_items(table: pa.Table, items: Sequence[str]) -> tuple[set[str], str]:
    """The items that a text column names, by path or by base name: of all such columns the one that names most.

    A base name that several items share stands for as many of them as it has rows; such a one comes with them.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for item in items:
        by_name[os.path.basename(item)].append(item)
    named: tuple[set[str], str] = set(), ""
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            named = max(named, _items_of(column, by_name), key=lambda found: len(found[0]))
    return named


def _items_of(column: pa.ChunkedArray, by_name: dict[str, list[str]]) -> tuple[set[str], str]:
    """The items that a column names; none where it holds anything else."""
    named, doubtful = set[str](), ""
    counts = column.drop_null().value_counts()
    for value, count in zip(counts.field("values"), counts.field("counts"), strict=True):
        name = value.as_py()
        found = _meant(name, count.as_py(), by_name)
        if not found:
            return set(), ""
        named.update(found)
        if len(found) > 1:
            doubtful = doubtful or name
    return named, doubtful


def _meant(name: str, rows: int, by_name: dict[str, list[str]]) -> list[str]:
    alike = by_name.get(os.path.basename(name), [])
    if "/" not in name:
        return sorted(alike, key=lambda item: item != name)[:rows]
    ends = [item for item in alike if f"/{name}".endswith(f"/{item}")]
    return [max(ends, key=len)] if ends else []
