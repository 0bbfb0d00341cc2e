"""Groups of rows, as Parquet and Arrow files have them: where a large one is cut, and its rows in order."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet

LARGE = 64 << 20  # bytes of a group of rows that is cut within, and read piece by piece


def cuts_within(begin: int, size: int, row: int, rows: int) -> Iterator[tuple[int, int]]:
    """Where to cut a group of rows: bytes and rows up to there, which are about even within a large one.

    Args:
        begin: bytes before it.
        size: its own, at least 1.
        row: rows before it.
        rows: its own; without any, it is no part.
    """
    pieces = min(-(-4 * size // LARGE), rows) if is_large(size) else min(rows, 1)
    for piece in range(1, pieces + 1):
        yield begin + size * piece // pieces, row + rows * piece // pieces


def is_large(size: int) -> bool:
    """Is a group of so many bytes cut within?"""
    return size > LARGE


def rows_at_once(size: int, rows: int) -> int:
    """How many rows of a group may be in memory: all of them, or as many as lie between two cuts of a large one."""
    return max(rows * LARGE // (4 * size), 1) if is_large(size) else rows


class RowStream:
    """Rows that are read in their order; the next part most often goes on where the last one ended.

    Args:
        first: position of the first row of the first batch.
    """

    def __init__(self, batches: Iterator[pa.RecordBatch], first: int = 0) -> None:
        self._batches = batches
        self._batch: pa.RecordBatch | None = None
        self.first = self.behind = first  # of the batch at hand

    def rows(self, start: int, end: int | None) -> list[pa.RecordBatch]:
        """Those from ``start``, which is not before ``first``; fewer where the batches end before ``end``."""
        found = []
        while True:
            if self._batch is not None and self.behind > start:
                at = max(start - self.first, 0)
                length = self.behind if end is None else min(end, self.behind)
                found.append(self._batch.slice(at, length - self.first - at))
            if end is not None and self.behind >= end:
                return found
            self._batch, self.first = None, self.behind  # let go of it before the next one is there
            self._batch = next(self._batches, None)
            if self._batch is None:
                return found
            self.behind += self._batch.num_rows
