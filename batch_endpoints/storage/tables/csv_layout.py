"""Which fields of a CSV file's lines are the columns that its header names.

Lines may have more fields than the header has names: a separator behind the last value of each line, or the names of
rows before the first one, as R writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Layout(NamedTuple):
    """The fields of each line.

    Args:
        before: how many stand before those of the columns: names of rows, which are read over.
        behind: how many empty ones follow them.
    """

    columns: tuple[str, ...]
    before: int = 0
    behind: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """A name for each field of a line."""
        before = tuple(f"\0before {number}" for number in range(self.before))
        return (*before, *self.columns, *(f"\0behind {number}" for number in range(self.behind)))

    @property
    def written(self) -> str:
        """As a plan keeps it for those who read parts of the file; "" where every field is a column."""
        return f"{len(self.columns)} {self.before} {self.behind}" if self.before or self.behind else ""


def read_layout(header: Sequence[str], written: str) -> Layout:
    """What ``Layout.written`` says of a file."""
    columns, before, behind = map(int, written.split())
    return Layout(_distinct(header)[:columns], before, behind)


class FieldsBehind(NamedTuple):
    """What is known of lines with more fields than the header has names.

    Args:
        text: one of them has text in a field that has no name.
        usual: most lines have so many fields.
    """

    text: bool
    usual: bool


def found_layout(header: Sequence[str], first_record: int, look_behind: Callable[[int, int], FieldsBehind]) -> Layout:
    """The layout of a file.

    Args:
        header: the names as they stand there.
        first_record: how many fields the first line behind the header has.
        look_behind: looks at all lines of as many fields as its second argument, at those from the number on that is
            its first one. Called only where there are more fields than names.
    """
    columns = _distinct(header)
    named = len(header)
    while named and not header[named - 1]:
        named -= 1
    width = max(len(header), first_record)
    if not named or width == named:
        return Layout(columns)
    found = look_behind(named, width)
    if not found.text and (found.usual or first_record < width):
        return Layout(columns[:named], behind=max(first_record, named) - named)
    if found.usual and first_record == len(header) + 1:
        return Layout(columns, before=1)
    return Layout(columns)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names as pandas makes them distinct: ``a``, ``a.1``; a column without one is ``Unnamed: 3``."""
    found: list[str] = []
    for at, name in enumerate(names):
        name = name or f"Unnamed: {at}"
        distinct, number = name, 0
        while distinct in found:
            number += 1
            distinct = f"{name}.{number}"
        found.append(distinct)
    return tuple(found)
