"""Tables -> mini-batches of a number of bytes or rows, cut within files and across them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.planning.mini_batches import InputFile

_SMALLEST, _LARGEST = 1 << 20, 16 << 20  # a call has a time limit, and its table is in memory more than once
_EACH = 4  # mini-batches for each worker, so that none is left alone with the last one for long
_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


class Part(NamedTuple):
    """The part of a file that one mini-batch gets.

    Args:
        start: where it begins, in bytes of a text file; tables of other formats are found by their rows and groups.
        end: where the next part begins; -1 is the end of the file.
        first_row: position of its first row in the file, 0-based.
        rows: -1 where nobody has counted them.
        only: positions in the file, ascending, of the rows that are tried again; empty for all rows.
        group: where the group of rows begins that its first row is in (see ``Group``); -1 where nobody has said it.
        skip: rows of that group before its first one.
    """

    start: int
    end: int
    first_row: int
    rows: int
    only: tuple[int, ...] = ()
    group: int = -1
    skip: int = 0


WHOLE = Part(0, -1, 0, -1)


class Group(NamedTuple):
    """Rows that are found only from the first of them on: a record batch of an Arrow file.

    Args:
        begin: its place in the file.
        end: where the next one begins.
        first_row: position of its first row in the file.
    """

    begin: int
    end: int
    first_row: int


class Cuts(NamedTuple):
    """Places where a file may be cut: behind each of some consecutive rows, or groups of rows.

    Args:
        ends: bytes up to there, from the beginning of the file.
        rows: rows up to there, from the beginning of the file.
        group: what all these rows are of, to its last one; None where rows are found without it.
    """

    ends: Sequence[int]
    rows: Sequence[int]
    group: Group | None = None

    def place(self, row: int) -> tuple[int, int]:
        """Group and skip of a part (see ``Part``) that begins at one of these rows, or behind the last one."""
        if self.group is None:
            return -1, 0
        return (self.group.end, 0) if row == self.rows[-1] else (self.group.begin, row - self.group.first_row)


@dataclass(frozen=True)
class TableOutline:
    """Where one file may be cut.

    Args:
        columns: None where they are not known.
        begin: bytes before the first row.
        cuts: in order; raises InputError from where on the file cannot be read.
    """

    path: str
    columns: tuple[str, ...] | None
    begin: int
    cuts: Iterable[Cuts]


class PartitionSize(NamedTuple):
    """What one mini-batch may hold at most."""

    amount: int
    in_rows: bool


def partition_size(text: str) -> PartitionSize:
    """Read ``"64MB"`` or ``"5000 rows"``; a KB has 1,024 bytes.

    Raises:
        SpecError: it is neither.
    """
    found = re.fullmatch(r"(\d+)\s*(rows|[kmg]?b)", text.strip(), re.IGNORECASE)
    if not found or not int(found[1]):
        raise SpecError(
            f"mini_batch_size {text!r} is no size", mend='Write a number of files, "64MB" or "5000 rows".'
        )
    amount, unit = int(found[1]), found[2].lower()
    return PartitionSize(amount, True) if unit == "rows" else PartitionSize(amount * _UNITS[unit], False)


def suitable_size(total_bytes: int, workers: int) -> int:
    """Bytes for one mini-batch where nobody has said: some for each worker, none too small to be worth its call.

    Args:
        total_bytes: of the whole input.
    """
    return max(_SMALLEST, min(_LARGEST, total_bytes // (_EACH * workers)))


def packed(
    files: Iterable[InputFile], size_bytes: int, cut: Callable[[InputFile], Iterable[list[tuple[str, Part]]]]
) -> Iterator[list[tuple[str, Part]]]:
    """Fill mini-batches with whole files, in the order of their paths, without a look into them.

    Args:
        cut: cuts a file that alone is more than a mini-batch, or of whose size nothing is known.
    """
    batch: list[tuple[str, Part]] = []
    room = size_bytes
    for file in sorted(files, key=lambda file: file.path):
        large = not 0 < file.size <= size_bytes
        if batch and (large or file.size > room):
            yield batch
            batch, room = [], size_bytes
        if large:
            yield from cut(file)
        else:
            batch.append((file.path, WHOLE))
            room -= file.size
    if batch:
        yield batch


def partitions(tables: Iterable[TableOutline], size: PartitionSize) -> Iterator[list[tuple[str, Part]]]:
    """Fill mini-batches with consecutive rows: each as full as it can be, with one row or group of rows at least.

    Files with other columns than the ones before begin a new mini-batch. What cannot be read is a part of its own,
    so that it fails where it is scored, with its reason. A file without rows is a part of 0 rows.
    """
    batch: list[tuple[str, Part]] = []
    room, columns = size.amount, None
    for table in tables:
        if batch and table.columns is not None and columns not in (None, table.columns):
            yield batch
            batch, room = [], size.amount
        columns = table.columns if table.columns is not None else columns
        start, first = table.begin, 0  # of the part that is being filled
        end, row = start, first
        place = -1, 0
        whole = True
        cuts = Cuts((), ())
        try:
            for cuts in table.cuts:
                ends, rows, at = cuts.ends, cuts.rows, 0
                while at < len(ends):
                    upto = bisect_right(rows if size.in_rows else ends, (first if size.in_rows else start) + room, at)
                    if upto > at:
                        end, row, at = int(ends[upto - 1]), int(rows[upto - 1]), upto
                    if at == len(ends):
                        break
                    if end == start and not batch:  # larger than a mini-batch: one at least
                        end, row, at = int(ends[at]), int(rows[at]), at + 1
                    if end > start:
                        batch.append((table.path, Part(start, end, first, row - first, (), *place)))
                        start, first, whole = end, row, False
                        place = cuts.place(row)
                    yield batch
                    batch, room = [], size.amount
        except InputError:
            if end > start:  # what comes behind it is another item, and no mini-batch has two of one file
                yield [*batch, (table.path, Part(start, end, first, row - first, (), *place))]
                batch, room = [], size.amount
                start, first, whole = end, row, False
                place = cuts.place(row)
            batch.append((table.path, Part(start if not whole else 0, -1, first, -1, (), *place)))
            continue
        if whole or end > start:
            batch.append((table.path, Part(start, end, first, row - first, (), *place)))
            room -= row - first if size.in_rows else end - start
    if batch:
        yield batch
