"""One table on one worker: scored as a whole and, where that fails, in parts, so that a bad row costs one row."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from batch_endpoints.engine.worker.outcome import Failure, Outcome, PoisonRow
from batch_endpoints.policies.isolation import isolate
from batch_endpoints.scoring.contract import Scored, UserError
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker

Cut = Literal["rows", "items", "nowhere"]
"""Where a table that fails may be cut."""


def score_rows(
    worker: ScoringWorker,
    batch: TableBatch,
    cut: Cut,
    outcome: Outcome,
    before_try: Callable[[int], None],
) -> None:
    """Score a table into ``outcome``.

    Args:
        before_try: called before every try, with what is known to have failed, rows and items none of whose rows has
            succeeded; may raise to leave the rest unscored. The try may write over what the one before has left in
            the output folder.

    Raises:
        InitFailed, WorkerStopped: as ``ScoringWorker.score``; what is known to have failed is in ``outcome``.
    """
    failed: list[tuple[int, int, Failure]] = []  # ranges of rows
    failed_rows: Counter[int] = Counter()  # of each item
    won: set[int] = set()  # items of which some rows have succeeded: the others count alone

    def known_failures() -> int:
        return sum(rows if number in won else 1 for number, rows in failed_rows.items())

    def tried(places: Sequence[int]) -> list[tuple[int, int, tuple[Scored, int]]]:
        """Ranges of rows between some of these places, with what came of each."""

        def score(start: int, end: int) -> tuple[Scored, int]:
            before_try(known_failures())
            scored, attempts = worker.score_table(batch.between(places[start], places[end]), once=end - start != 1)
            outcome.attempts += attempts
            return scored, attempts

        def may_cut(answer: tuple[Scored, int]) -> bool:
            return places is batch.bounds or _error(answer[0]).of_rows

        for known in (failed, failed_rows, won):
            known.clear()
        found = []
        for start, end, answer in isolate(len(places) - 1, score, _kind, may_cut):
            first, last = places[start], places[end]
            there = Counter({number: rows for number, _, rows in batch.ranges(first, last)})
            if answer[0].failed:
                failed.append((first, last, Failure(_error(answer[0]), answer[1])))
                failed_rows.update(there)
            else:
                without = [*_without_result(batch, answer)]
                failed.extend((row, row + 1, failure) for _, row, failure in without)
                left_out = Counter(number for number, _, _ in without)
                failed_rows.update(left_out)
                won.update(there - left_out)
            found.append((first, last, answer))
        return found

    try:
        everywhere = range(batch.table.num_rows + 1)
        pieces = tried({"rows": everywhere, "items": batch.bounds, "nowhere": (0, batch.table.num_rows)}[cut])
        if cut == "rows" and any(one.failed and not _error(one).of_rows for _, _, (one, _) in pieces):
            # it does not answer row by row, so neither does what it made of single rows count
            pieces = tried(batch.bounds)
    finally:
        _fail(batch, failed, outcome)
    for start, end, (answer, _) in pieces:
        outcome.unattributed = outcome.unattributed or answer.unattributed
        if not answer.failed and answer.table is not None:
            number, first, _ = next(batch.ranges(start, end))
            row = batch.places[number][first - batch.bounds[number]]
            outcome.tables.append((batch.items[number], row, answer.table))


def _without_result(batch: TableBatch, answer: tuple[Scored, int]) -> Iterator[tuple[int, int, Failure]]:
    """The rows of a call that ``run()`` returned nothing for: number of the item, and of the row among all."""
    scored, attempts = answer
    for number, item in enumerate(batch.items if scored.failed_rows else ()):
        for position, error in scored.failed_rows.get(item, {}).items():
            row = batch.bounds[number] + bisect_left(batch.places[number], position)
            yield number, row, Failure(error, attempts)


def _fail(batch: TableBatch, failed: Sequence[tuple[int, int, Failure]], outcome: Outcome) -> None:
    """Put ranges of rows that have failed into ``outcome``: items all of whose rows have, and single rows."""
    found: dict[int, list[tuple[int, int, Failure]]] = {}  # number of the item -> its failed rows: first, count, why
    for start, end, failure in failed:
        for number, first, count in batch.ranges(start, end):
            found.setdefault(number, []).append((first, count, failure))
    for number, ranges in found.items():
        item = batch.items[number]
        places, begin = batch.places[number], batch.bounds[number]
        if item not in outcome.again and sum(count for _, count, _ in ranges) == len(places):
            outcome.failed[item] = ranges[0][2]
            outcome.inputs[item] = batch.table.slice(begin, len(places))
            continue
        for first, count, failure in ranges:
            rows = range(first, first + count)
            outcome.rows += [PoisonRow(item, places[at - begin], failure, batch.table.slice(at, 1)) for at in rows]


def _error(answer: Scored) -> UserError:
    return next(iter(answer.failed.values()))


def _kind(answer: tuple[Scored, int]) -> Any:
    scored, _ = answer
    return (_error(scored).kind, _error(scored).message) if scored.failed else None
