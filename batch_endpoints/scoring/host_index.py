"""Which rows or files of the input a result is of, by the index that pandas keeps with it.

An index that says so is believed; one that means something else (it has a name, or is no plain numbering) becomes
columns; where nothing says so, nothing is assumed.

Loaded by host.py, under the same rules: standard library only, other libraries only where the script has them;
Python 3.8's syntax.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any


class Given:
    """What a call was given: files, or the rows of a table.

    Args:
        count: of files or rows.
        paths: of files; None for a table.
        index: of a table, as pandas has it; None where rows are numbered from 0.
        column: the values of a table's column by its name; None where it has none of that name.
        again: the index of what the same call returns for the same rows with the index 1 + n, 2 + n …, where it may
            be called again.
    """

    def __init__(
        self,
        count: int,
        paths: Sequence[str] | None = None,
        index: Any = None,
        column: Callable[[str], Any] = lambda name: None,
        again: Callable[[int], Any] | None = None,
    ) -> None:
        self.count, self.paths, self.column, self.again = count, paths, column, again
        self.index = None if index is None or _counts_from_0(index, count) else index


def attributed(values: Any, result: Any, given: Given) -> tuple[Any, list[int] | None]:
    """What was returned, without an index, and which of what was given each of its rows is of.

    Args:
        values: the module host_values.

    Returns: the result, and numbers of rows or files; None where nothing says so.

    Raises:
        ValueError: the rows are in another order than those given, and it is open in which.
    """
    if isinstance(result, (list, tuple)) and result and all(values.is_frame(one) for one in result):
        return _one_table(values, result, given)
    if not (values.is_frame(result) or values.is_series(result)):
        return result, None
    numbers, columns = _read_index(values, result.index, given)
    if values.is_series(result):
        if not columns:
            return result.reset_index(drop=True), numbers
        result = result.to_frame("prediction" if result.name is None else result.name)
    names = [values.text(name) for name in result.columns]
    frame = result.set_axis(names, axis=1)
    frame.index = range(len(frame))
    for name, labels in reversed(columns):
        if names.count(name) == 1 and frame[name].tolist() == labels.tolist():
            continue  # of groupby(), which may keep its keys as columns, too
        while name in names:
            name = f"_{name}"
        frame.insert(0, name, labels)
        names.append(name)
    return frame, numbers


def _one_table(values: Any, result: Any, given: Given) -> tuple[Any, list[int] | None]:
    """A list of tables as one: of each file or row its own, or parts of one."""
    if len(result) == given.count:
        frames = [attributed(values, one, Given(0))[0] for one in result]
        return values.joined(frames), [number for number, one in enumerate(frames) for _ in range(len(one))]
    frame, first = values.joined(result), result[0].index
    if given.paths is not None and len(result) < given.count and not _names_files(frame, given.paths):
        raise ValueError(
            f"run() returned {len(result)} DataFrame{'s' * (len(result) != 1)} for {given.count} files; return one "
            "for each file, in their order, or a column with the file's name"
        )
    frame.index = first.append([one.index for one in result[1:]])
    return attributed(values, frame, given)


def _read_index(values: Any, index: Any, given: Given) -> tuple[list[int] | None, list[tuple[str, Any]]]:
    """Which rows or files an index names, and the columns that it becomes otherwise: names with values."""
    numbers = None if given.index is None else _located(index, given.index)
    columns = []
    for level in range(index.nlevels):
        labels, name = index.get_level_values(level), index.names[level]
        found = None
        if numbers is None and given.paths is not None:
            found = None if name is not None else _files(labels, given.paths)
        elif numbers is None and name is not None:
            numbers = _by_key(values.text(name), labels, given) if index.nlevels == 1 else None
        elif numbers is None and given.index is None:
            found = _rows(labels, given)
        if found is not None:
            numbers = found
        elif name is not None or not _is_numbering(labels, given):
            unnamed = "index" if index.nlevels == 1 else f"level_{level}"
            columns.append((unnamed if name is None else values.text(name), labels))
    return numbers, columns


def _rows(labels: Any, given: Given) -> list[int] | None:
    """The rows that these labels are of, of a table whose rows are numbered from 0."""
    if not _are_numbers(labels):
        return None
    if not len(labels):
        return [] if given.again else None
    numbers = labels.to_numpy()
    if numbers.min() < 0 or numbers.max() >= given.count:
        return None
    if numbers[0] == 0 and ((numbers[1:] == numbers[:-1] + 1) | (numbers[1:] == 0)).all():
        # a table that has lost its last rows has these labels, and so has one that was made anew
        starts = int((numbers == 0).sum())
        if starts == 1 and len(numbers) == given.count:
            return None  # one for each, in order
        if not (_moves_along(numbers, given) if given.again else starts * given.count == len(numbers)):
            return None
    found: list[int] = numbers.tolist()
    return found


def _moves_along(numbers: Any, given: Given) -> bool:
    assert given.again
    moved = given.again(given.count)
    return len(moved) == len(numbers) and _are_numbers(moved) and (moved.to_numpy() == numbers + given.count).all()


def _located(labels: Any, known: Any) -> list[int] | None:
    """Where labels are in an index of the input; None where one is not in there, or several times."""
    if labels.equals(known):
        return list(range(len(known)))
    if not len(labels) or labels.nlevels != known.nlevels or not known.is_unique:
        return None
    found: list[int] = known.get_indexer(labels).tolist()
    return None if -1 in found else found


def _by_key(name: str, labels: Any, given: Given) -> list[int] | None:
    """The rows that have these labels in a column: of ``set_index(column)``, or of ``groupby(column)``."""
    column = given.column(name)
    if column is None:
        return None
    keys = sys.modules["pandas"].Index(column)
    numbers = _located(labels, keys)
    if numbers is None and len(labels) == given.count and labels.isin(keys).all():
        raise ValueError(
            f"run() returned rows in another order than those it was given, and their index '{name}' names several "
            "of these; keep the index of the table, or return the rows in its order"
        )
    return numbers


def _files(labels: Any, paths: Sequence[str]) -> list[int] | None:
    """The files that these labels name, by path, base name or stem; or number, where each has one."""
    if _are_numbers(labels):
        numbers: list[int] = labels.tolist()
        return numbers if sorted(numbers) == list(range(len(paths))) != numbers else None
    known: dict[str, int] = {}
    for names in (list(paths), list(map(os.path.basename, paths)), list(map(_stem, paths))):
        once = {name: at for at, name in enumerate(names)} if len(set(names)) == len(names) else {}
        known = {**once, **known}
    found = [known.get(os.fspath(one), -1) if isinstance(one, (str, os.PathLike)) else -1 for one in labels]
    return None if -1 in found or not found else found


def _names_files(frame: Any, paths: Sequence[str]) -> bool:
    """Does a column hold names of files, and nothing else?"""
    texts = [frame[name] for name in frame.columns if getattr(frame[name].dtype, "kind", "O") == "O"]
    indexes = [sys.modules["pandas"].Index(column.dropna().unique()) for column in texts]
    return any(_files(index, paths) is not None for index in indexes)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _counts_from_0(index: Any, count: int) -> bool:
    return index.nlevels == 1 and index.name is None and _are_numbers(index) and index.tolist() == list(range(count))


def _are_numbers(labels: Any) -> bool:
    return labels.nlevels == 1 and getattr(labels.dtype, "kind", "") in "iu" and not labels.hasnans


def _is_numbering(labels: Any, given: Given) -> bool:
    """Do these labels count rows, as pandas does by itself? Also those of several tables, in any order, or of rows
    that were given."""
    if not _are_numbers(labels):
        return False
    if not len(labels) or type(labels).__name__ == "RangeIndex":
        return True
    numbers = labels.to_numpy()
    if ((numbers[1:] == numbers[:-1] + 1) | (numbers[1:] == 0)).all():
        return True
    if numbers.min() == 0 and labels.is_unique and numbers.max() == len(numbers) - 1:
        return True
    return given.index is not None and bool(labels.isin(given.index).all())
