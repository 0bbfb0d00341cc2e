"""Rows of a text that its reader refuses, found among those that it can read: one bad cell costs one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from batch_endpoints.policies.isolation import isolate

_LONGEST = 10_000  # characters of a row that are kept


class UnreadableRow(NamedTuple):
    """A row that no reader takes.

    Args:
        row: its position, 0-based, in what was read.
        text: as it stands in the file.
    """

    row: int
    text: str
    reason: str


def readable_rows(
    data: bytes,
    ends: Sequence[int],
    parse: Callable[[bytes], pa.Table],
    filled_up: Callable[[bytes], bytes | None],
) -> tuple[pa.Table, list[UnreadableRow]]:
    """The rows that can be read, and the others: halves are read alone, and theirs, down to single rows.

    Args:
        ends: where each row ends.
        parse: reads consecutive rows, also none; raises ArrowException or ValueError, or returns another number of
            rows, where one of them is none.
        filled_up: of a row that fails alone, another one that may be read in its place.
    """
    places = [0, *ends]

    def read(start: int, end: int) -> pa.Table | str:
        rows = data[places[start] : places[end]]
        found = _parsed(rows, end - start, parse)
        if isinstance(found, str) and end - start == 1 and (mended := filled_up(rows)):
            other = _parsed(mended, 1, parse)
            return found if isinstance(other, str) else other
        return found

    def reason(found: pa.Table | str) -> str | None:
        return found if isinstance(found, str) else None

    tables, unreadable = [parse(b"")], []
    for start, end, found in isolate(len(ends), read, reason, lambda _: True) if len(ends) else ():
        if isinstance(found, str):
            text = data[places[start] : places[end]].decode(errors="backslashreplace").strip("\r\n")
            unreadable.append(UnreadableRow(start, text[:_LONGEST], found))
        else:
            tables.append(found)
    return pa.concat_tables(tables), unreadable


def _parsed(data: bytes, rows: int, parse: Callable[[bytes], pa.Table]) -> pa.Table | str:
    try:
        table = parse(data)
    except (pa.ArrowException, ValueError) as error:
        return str(error).replace("Row #1: ", "")
    return table if table.num_rows == rows else f"it holds {table.num_rows} rows"
