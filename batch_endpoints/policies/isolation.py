"""Which rows of a failing mini-batch fail: its halves are tried, and theirs, until a row that fails is alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

PROBES = 5  # rows that are tried alone before a table is given up as a whole


def isolate(
    rows: int,
    score: Callable[[int, int], T],
    error: Callable[[T], Hashable],
    may_cut: Callable[[T], bool],
) -> Iterator[tuple[int, int, T]]:
    """Score rows so that those which fail take no others along.

    Args:
        rows: how many, at least 1.
        score: one try of the rows from a first one to an end (exclusive); also of none of them.
        error: what went wrong in a try, None where nothing did; equal for equal errors.
        may_cut: of a try that has failed: may some of its rows succeed without the others?

    Yields: consecutive ranges of rows, which cover all of them, with what came of each. Of k rows that fail alone
        it takes about 2 k log2(rows / k) tries.

    Where every row fails, that is two tries for each. It is not cut short by a count of failures, since a good row
    may stand behind any number of bad ones; whoever calls may stop between two tries. One case is decided early:
    an error that is the table's, such as a missing column. No rows at all then fail with it, in which no row can
    be to blame, and so do a few rows spread over the table, each alone.
    """
    whole = score(0, rows)
    if error(whole) is None or rows == 1 or not may_cut(whole):
        yield 0, rows, whole
        return
    known: dict[tuple[int, int], T] = {}
    waiting = [(rows // 2, rows), (0, rows // 2)]
    if error(score(0, 0)) == error(whole):
        alone = sorted({(rows - 1) * probe // (PROBES - 1) for probe in range(PROBES)})
        for row in alone:
            known[row, row + 1] = score(row, row + 1)
            if error(known[row, row + 1]) != error(whole):
                break
        else:
            yield 0, rows, whole
            return
        bounds = sorted({0, rows, *(end for ends in known for end in ends)})
        waiting = [*pairwise(bounds)][::-1]
    while waiting:
        start, end = waiting.pop()
        result = known.pop((start, end)) if (start, end) in known else score(start, end)
        if error(result) is None or end - start == 1 or not may_cut(result):
            yield start, end, result
        else:
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
