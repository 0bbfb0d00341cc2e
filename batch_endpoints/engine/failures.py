"""What failed in a mini-batch, as its commit says it."""

from __future__ import annotations

from typing import Any

from batch_endpoints.engine.poison_rows import Outcome
from batch_endpoints.planning.job_plan import MiniBatch
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.storage.job.commits import FailedItem, FailedRow
from batch_endpoints.storage.outputs.value_texts import json_rows

MOST_INPUTS = 1000  # rows of one failed item whose values are kept


def failed_items(outcome: Outcome, mini_batch: MiniBatch, told: set[str], keep_inputs: bool) -> list[FailedItem]:
    """The items without any result, in the order of the input.

    Args:
        told: reasons whose message and stack are in the commit already; gets those of these items.
        keep_inputs: tell the values of what they hold, too.
    """
    failed = []
    for item, part in mini_batch.ranges():
        if failure := outcome.failed.get(item):
            error, again = failure.error, failure.error.headline in told
            inputs = outcome.inputs.get(item) if keep_inputs else None
            failed.append(
                FailedItem(
                    file=item,
                    mini_batch=mini_batch.number,
                    reason=error.headline,
                    error=error.kind,
                    message="" if again else error.own_message,
                    attempts=failure.attempts,
                    stack="" if again else error.last_lines,
                    inputs=None if inputs is None else tuple(json_rows(inputs.slice(0, MOST_INPUTS))),
                    **_place(part),
                )
            )
            told.add(error.headline)
    return failed


def failed_rows(outcome: Outcome, mini_batch: MiniBatch, told: set[str], keep_inputs: bool) -> list[FailedRow]:
    """The rows without a result of items that have some.

    Args:
        told, keep_inputs: as of ``failed_items``; a stack is told once for all rows that came the same way, since
            the reason often has a value of the row in it.
    """
    failed = []
    for row in outcome.rows:
        error = row.failure.error
        failed.append(
            FailedRow(
                file=row.item,
                mini_batch=mini_batch.number,
                row=row.row,
                reason=error.headline,
                error=error.kind,
                message="" if error.headline in told else error.own_message,
                attempts=row.failure.attempts,
                stack="" if error.way in told else error.last_lines,
                input=next(json_rows(row.values)) if keep_inputs and row.values is not None else None,
            )
        )
        told |= {error.headline, error.way}
    return failed


def _place(part: Part) -> dict[str, Any]:
    """Where a failed part is, unless it is a whole file."""
    if part == WHOLE:
        return {}
    return {"first_row": part.first_row, "rows": part.rows if part.rows >= 0 else None}
