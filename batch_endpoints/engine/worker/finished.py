"""Mini-batches that are scored and not committed yet: what a commit says of them, and of what failed in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from batch_endpoints.engine.worker.outcome import Outcome
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.specs import ModelDeploymentSettings
from batch_endpoints.storage.job.commits import Commit, CommittedFile, FailedItem, FailedRow
from batch_endpoints.storage.outputs.rows import WrittenParts
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


class Finished:
    """The mini-batches of a bundle from ``start`` to ``end`` (exclusive)."""

    def __init__(self, bundle: Bundle, start: int, settings: ModelDeploymentSettings) -> None:
        self.bundle, self.start, self.end = bundle, start, start
        self.tables: list[pa.Table] = []
        self._settings = settings
        self._failed: list[FailedItem] = []
        self._told: set[str] = set()  # what the commit says already of failures that are alike
        self._rows_failed: list[FailedRow] = []
        self._files: list[CommittedFile] = []
        self._notes: dict[str, None] = {}
        self._unattributed = ""
        self._items, self._tries, self._seconds = 0, 0, 0.0
        self._rows_read: int | None = None
        self._added: list[tuple[Outcome, float, Sequence[CommittedFile], Sequence[str]]] = []
        self._rows_in_failed = 0

    def add(self, outcome: Outcome, seconds: float, files: Sequence[CommittedFile], notes: Sequence[str]) -> None:
        """The next mini-batch.

        Args:
            files: what the script wrote, in the job folder.
            notes: what a user should know of it.
        """
        mini_batch = self.bundle.mini_batch(self.end)
        if self.bundle.grouped:
            outcome.fail_as_one(mini_batch.files)
        self._added.append((outcome, seconds, files, notes))
        self._tries += max(outcome.attempts, 1)
        self._seconds += seconds
        if outcome.rows_read is not None:
            self._rows_read = (self._rows_read or 0) + sum(outcome.rows_read.values())
            self._rows_in_failed += sum(rows for item, rows in outcome.rows_read.items() if item in outcome.failed)
        if self._settings.output_action == "append_row":
            self.tables += outcome.in_order(mini_batch.files)
        keep = self._settings.keep_failed_inputs
        self._failed += failed_items(outcome, mini_batch, self._told, keep)
        self._rows_failed += failed_rows(outcome, mini_batch, self._told, keep)
        source = {"mini_batch": self.end, "input_files": tuple(mini_batch.files)}
        self._files += [file if file.of_init else file.model_copy(update=source) for file in files]
        self._notes |= dict.fromkeys(notes)
        self._unattributed = self._unattributed or outcome.unattributed
        self._items += len(self.bundle.items(self.end))
        self.end += 1

    def each(self) -> Iterator[Finished]:
        """Its mini-batches, each to be committed alone."""
        for number, added in enumerate(self._added, self.start):
            alone = Finished(self.bundle, number, self._settings)
            alone.add(*added)
            yield alone

    def commit(self, parts: WrittenParts, worker: str) -> Commit:
        """What is to be committed, once the rows are in these parts."""
        return Commit(
            bundle=self.bundle.index,
            start=self.start,
            end=self.end,
            parts=parts.paths,
            columns=parts.columns,
            alike=dict(parts.alike),
            rows=sum(table.num_rows for table in self.tables),
            rows_read=self._rows_read,
            rows_in_failed=self._rows_in_failed,
            attempts=self._tries,
            seconds=round(self._seconds, 3),
            items_succeeded=self._items - len(self._failed),
            failed=tuple(self._failed),
            failed_rows=tuple(self._rows_failed),
            files=tuple(self._files),
            notes=tuple(self._notes),
            worker=worker,
            unattributed=self._unattributed,
        )


def left_in_the_middle(bundle: Bundle, at: int, outcome: Outcome, keep_inputs: bool) -> Commit:
    """What is known to have failed of a mini-batch that nobody will finish; it is told, and not committed."""
    mini_batch, told = bundle.mini_batch(at), set[str]()
    if bundle.grouped:
        outcome.fail_as_one(mini_batch.files)
    items = failed_items(outcome, mini_batch, told, keep_inputs)
    rows = failed_rows(outcome, mini_batch, told, keep_inputs)
    read = len(rows) or None  # and more, which nobody has counted
    return Commit(bundle=bundle.index, start=at, end=at, failed=tuple(items), failed_rows=tuple(rows), rows_read=read)
