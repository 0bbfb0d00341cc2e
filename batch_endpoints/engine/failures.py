"""What failed in a mini-batch, as its commit says it."""

from __future__ import annotations

from typing import Any

from batch_endpoints.engine.poison_rows import Outcome
from batch_endpoints.planning.job_plan import MiniBatch
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.storage.commits import FailedItem, FailedRow
from batch_endpoints.storage.formats import json_row


def failed_items(outcome: Outcome, mini_batch: MiniBatch, told: set[str]) -> list[FailedItem]:
    """The items without any result, in the order of the input.

    Args:
        told: reasons whose stack is in the commit already; gets those of these items.
    """
    failed = []
    for item, part in mini_batch.ranges():
        if failure := outcome.failed.get(item):
            error = failure.error
            failed.append(
                FailedItem(
                    file=item,
                    mini_batch=mini_batch.number,
                    reason=error.headline,
                    error=error.kind,
                    attempts=failure.attempts,
                    stack="" if error.headline in told else error.last_lines,
                    **_place(part),
                )
            )
            told.add(error.headline)
    return failed


def failed_rows(outcome: Outcome, mini_batch: MiniBatch, keep_inputs: bool) -> list[FailedRow]:
    """The rows without a result of items that have some."""
    return [
        FailedRow(
            file=row.item,
            mini_batch=mini_batch.number,
            row=row.row,
            reason=row.failure.error.headline,
            error=row.failure.error.kind,
            attempts=row.failure.attempts,
            input=json_row(row.values) if keep_inputs and row.values is not None else None,
        )
        for row in outcome.rows
    ]


def _place(part: Part) -> dict[str, Any]:
    """Where a failed part is, unless it is a whole file."""
    if part == WHOLE:
        return {}
    return {"first_row": part.first_row, "rows": part.rows if part.rows >= 0 else None}
