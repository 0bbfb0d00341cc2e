"""What a reply of the host means: rows as a table, and which items have a result.

Accounting is by item, not by count of rows: an item has a result when the script returned one row per item, or its
rows name the file, or it returned at least one row per item and nothing says otherwise.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import RunFailed


@dataclass(frozen=True)
class UserError:
    """Why an item has no result; mostly an exception in the user's code.

    Args:
        kind: class of the exception; "" where there was none.
        file: in the user's code, relative to its folder.
        may_pass: another try may succeed.
    """

    kind: str
    message: str
    file: str = ""
    line: int = 0
    stack: str = ""
    may_pass: bool = True

    @property
    def headline(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        kind = f"{self.kind}: " if self.kind else ""
        return f"{place}{kind}{self.message}"

    @classmethod
    def read(cls, error: dict[str, Any]) -> UserError:
        return cls(
            kind=error["class"],
            message=error["message"],
            file=error["file"],
            line=error["line"],
            stack=error["stack"],
            may_pass=error.get("again", True),
        )


@dataclass(frozen=True)
class Scored:
    """The result of one mini-batch.

    Args:
        table: its rows, in the order of its items; None for none.
        failed: item -> why it has no result.
    """

    table: pa.Table | None
    failed: dict[str, UserError] = field(default_factory=dict)


def read_reply(header: dict[str, Any], payload: bytes, items: Sequence[str]) -> Scored:
    """Understand a reply to ``run``.

    Args:
        items: the mini-batch, as names relative to the input.

    Raises:
        RunFailed: the result leaves open which items have one.
    """
    if header["kind"] == "items":
        return _by_item(header, payload, items)
    table, of_item = _rows(header, payload, items)
    count = table.num_rows
    if of_item or count >= len(items):
        return Scored(table)
    named = _named_items(table, items)
    if not named:
        raise RunFailed(
            f"run() returned {count} rows for {len(items)} files, and no column says which files they are of",
            mend="Return one row per file, or a column with the file's name.",
        )
    missing = UserError("", "run() returned rows, but none for this file")
    return Scored(table, {item: missing for item in items if item not in named})


def _by_item(header: dict[str, Any], payload: bytes, items: Sequence[str]) -> Scored:
    failed: dict[str, UserError] = {}
    files: list[str] = []
    for item, result in zip(items, header["items"], strict=True):
        if "error" in result:
            failed[item] = UserError.read(result["error"])
        else:
            files += [item] * result["rows"]
    if header["table"] is None:
        return Scored(None, failed)
    table = _table(header["table"], payload)
    name = "file" if "file" not in table.column_names else "_file"
    return Scored(table.append_column(name, pa.array(files, pa.string())), failed)


def _rows(header: dict[str, Any], payload: bytes, items: Sequence[str]) -> tuple[pa.Table, bool]:
    """The returned rows, and whether there is exactly one for each item."""
    if header["kind"] != "values":
        table = _table(header, payload)
        return table, table.num_rows == len(items)
    values = header["values"]
    one_each = len(values) == len(items)
    if values and all(isinstance(value, dict) for value in values):
        names = list(dict.fromkeys(name for value in values for name in value))
        return pa.table({name: _array([value.get(name) for value in values]) for name in names}), one_each
    columns = {"prediction": _array(values)}
    if one_each:
        columns["file"] = pa.array(items, pa.string())
    return pa.table(columns), one_each


def _table(header: dict[str, Any], payload: bytes) -> pa.Table:
    if header["kind"] == "table":
        return pa.ipc.open_stream(payload).read_all()
    return pa.table({name: _array([row[at] for row in header["data"]]) for at, name in enumerate(header["columns"])})


def _array(values: list[Any]) -> pa.Array:
    """A column of whatever JSON holds; where types differ, as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _named_items(table: pa.Table, items: Sequence[str]) -> set[str]:
    """The items that some text column names by path or by base name."""
    by_name: dict[str, str] = {}
    for item in items:
        by_name[item] = item
        by_name.setdefault(os.path.basename(item), item)
    for column in table.columns:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        values = {v for v in column.to_pylist() if v is not None}
        found = {by_name.get(v) or by_name.get(os.path.basename(v)) for v in values}
        if found and None not in found:
            return {item for item in found if item is not None}
    return set()
