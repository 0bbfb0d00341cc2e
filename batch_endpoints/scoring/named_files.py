"""Which files of a mini-batch the returned rows name: in a column, in a pair, or at the beginning of a text."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

_SEPARATOR = re.compile(r"[\s:,;|=]")


class NamedFiles(NamedTuple):
    """What some rows name.

    Args:
        files: the items that have a row.
        doubtful: a base name that several items share; one that the rows leave out cannot be noticed.
        of_rows: of each row its item, where each value names one; None otherwise, and for tables.
    """

    files: frozenset[str] = frozenset()
    doubtful: str = ""
    of_rows: tuple[str, ...] | None = None


def named_in_table(table: pa.Table, items: Sequence[str]) -> NamedFiles:
    """What a text column names: of all such columns the one that names most."""
    texts = [column for column in table.columns if _is_text(column.type)]
    counts = [[(value.as_py(), count.as_py()) for value, count in _counted(column)] for column in texts]
    return _best(counts, items, table.num_rows)


def named_in_values(values: Sequence[Any], items: Sequence[str]) -> NamedFiles:
    """What the values of a list name: texts, or texts at one place of each list.

    Where they are fewer than the files, a text may also begin with the name of its file.
    """
    columns = [*_columns(values)]
    found = _best([Counter(column).items() for column in columns], items, len(values))
    for column in columns:
        lookup = _Lookup(items, loosely=len(values) != len(items))
        each = [lookup.meant(name, 1) for name in column]
        if found.files and all(len(one) == 1 for one in each) and found.files == {one[0] for one in each}:
            return found._replace(of_rows=tuple(one[0] for one in each))
    return found


def named_in_another_order(values: Sequence[Any], items: Sequence[str]) -> bool:
    """Do values, one for each file, name their files beside the results, and not in the order given?"""
    lookup = _Lookup(items, loosely=True)
    for column in _columns(values):
        if isinstance(values[0], str) and not set(column).isdisjoint(items):
            continue  # names of files alone are a result, such as the file most alike
        each = [lookup.meant(name, 1) for name in column]
        if all(len(one) == 1 for one in each):
            named = [one[0] for one in each]
            if len(set(named)) == len(items) and named != list(items):
                return True
    return False


class _Lookup:
    """Finds the items that a name means.

    Args:
        loosely: also by stem, and by the beginning of a text.
    """

    def __init__(self, items: Sequence[str], *, loosely: bool) -> None:
        self._by_name, self._by_stem = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for item in items:
            self._by_name[os.path.basename(item)].append(item)
            if loosely:
                self._by_stem[os.path.splitext(os.path.basename(item))[0]].append(item)
        self._loosely = loosely

    def meant(self, name: str, rows: int) -> list[str]:
        """The items with this name. A base name that several share stands for as many of them as it has rows."""
        found = self._exactly(name, rows)
        if found or not self._loosely:
            return found
        for end in [len(name), *(separator.start() for separator in reversed([*_SEPARATOR.finditer(name)]))]:
            beginning = name[:end]
            if found := self._exactly(beginning, rows) or self._by_stem.get(os.path.basename(beginning), [])[:rows]:
                break
        return found

    def _exactly(self, name: str, rows: int) -> list[str]:
        alike = self._by_name.get(os.path.basename(name), [])
        if "/" not in name:
            return sorted(alike, key=lambda item: item != name)[:rows]
        ends = [item for item in alike if f"/{name}".endswith(f"/{item}")]
        return [max(ends, key=len)] if ends else []


def _best(columns: Sequence[Iterable[tuple[str, int]]], items: Sequence[str], rows: int) -> NamedFiles:
    """Of all columns, what names most.

    Where there are as many rows as files, or more, only whole names count: a stem may be a label as well.
    """
    found = [_named(column, _Lookup(items, loosely=False)) for column in columns]
    best = max(found, key=lambda one: len(one.files), default=NamedFiles())
    if best.files or rows == len(items):
        return best
    found = [_named(column, _Lookup(items, loosely=True)) for column in columns]
    best = max(found, key=lambda one: len(one.files), default=NamedFiles())
    return best if rows < len(items) or len(best.files) == len(items) else NamedFiles()


def _named(column: Iterable[tuple[str, int]], lookup: _Lookup) -> NamedFiles:
    """The items that a column names; none where it holds anything else."""
    files, doubtful = set[str](), ""
    for name, count in column:
        found = lookup.meant(name, count)
        if not found:
            return NamedFiles()
        files.update(found)
        if len(found) > 1:
            doubtful = doubtful or name
    return NamedFiles(frozenset(files), doubtful)


def _columns(values: Sequence[Any]) -> Iterator[list[str]]:
    """Texts in a list of results: they themselves, or those at one place of each."""
    if values and all(isinstance(value, str) for value in values):
        yield list(values)
    if values and all(isinstance(value, list) for value in values):
        for place in range(min(len(value) for value in values)):
            column = [value[place] for value in values]
            if all(isinstance(one, str) for one in column):
                yield column


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _counted(column: pa.ChunkedArray) -> Iterator[tuple[pa.Scalar, pa.Scalar]]:
    counts = column.drop_null().cast(pa.large_string()).value_counts()
    return zip(counts.field("values"), counts.field("counts"), strict=True)
