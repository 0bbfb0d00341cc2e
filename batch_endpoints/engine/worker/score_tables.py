"""One mini-batch of tables on a worker: read, with what cannot be read set aside, and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import pyarrow as pa

from batch_endpoints.engine.worker.mini_batch_inputs import TableReader
from batch_endpoints.engine.worker.outcome import Failure, Outcome, PoisonRow
from batch_endpoints.engine.worker.poison_rows import Cut, score_rows
from batch_endpoints.errors import InitFailed, InputError
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker
from batch_endpoints.specs import ScoringDeployment
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.tables.column_types import columns_with_missing, union_refused, unions_in
from batch_endpoints.storage.tables.joined_tables import fits, joined, wider_types
from batch_endpoints.storage.tables.parts import COLUMNS, PartRows
from batch_endpoints.storage.tables.table_files import is_text
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

_MODELS_OWN = (".csv", ".parquet", ".pqt")  # what scoring/mlflow_driver.py reads

_POSITION = ("row", "file")  # what ``output_columns`` may name although the input lacks it


def score_tables(
    worker: ScoringWorker,
    reader: TableReader,
    ranges: Sequence[tuple[str, Part]],
    deployment: ScoringDeployment,
    outcome: Outcome,
    before_try: Callable[[int], None],
) -> None:
    """Read and score one mini-batch into ``outcome``.

    What cannot be read has failed, rows alone where rows are isolated; a part without rows has not, and is not shown
    to the script.

    Args:
        ranges: its files, with the part of each.
        before_try: see ``score_rows``, which says what is raised.
    """
    no_code = deployment.code_configuration is None
    read = read_tables(reader, ranges, deployment, outcome)
    if deployment.groups and outcome.failed:  # a part of a group is no group
        return
    outcome.rows_read = {
        one.item: len(one.found.rows) + len(one.found.unreadable) for one in read if not one.part.only
    }
    cut: Cut = "rows" if deployment.isolates_rows else "items" if no_code else "nowhere"
    for _, group in groupby(read, key=attrgetter("together")):
        together = list(group)
        items = [one.item for one in together]
        try:
            table = joined([one.found.table for one in together])
        except InputError as error:
            for item in items:
                outcome.fail(item, Failure(UserError("", str(error))))
            continue
        places = [one.found.rows for one in together]
        batch = TableBatch(table, items, places, deployment.settings.output_columns)
        score_rows(worker, batch, cut, outcome, before_try)
    add_unreadable_rows(read, outcome)


def better_as_files(outcome: Outcome, ranges: Sequence[tuple[str, Part]], deployment: ScoringDeployment) -> list[str]:
    """Files that failed as tables, and may not when the model's own side reads each, and predicts it by itself.

    That is the way of whole files (``mini_batch_size`` as a number); where nobody has said which way to go, what it
    can score must not fail on the other one: a file with short lines, or a model with one answer for all of a file.
    """
    settings = deployment.settings
    if deployment.code_configuration or settings.mini_batch_size is not None or settings.output_columns:
        return []
    failed = [item for item, part in ranges if part == WHOLE and item in outcome.failed]
    return [one for one in failed if not outcome.failed[one].error.of_rows and one.lower().endswith(_MODELS_OWN)]


def better_as_rows(outcome: Outcome, deployment: ScoringDeployment) -> list[str]:
    """Files that failed whole by an exception, and of which rows may succeed when each is read as a table and cut."""
    if deployment.code_configuration or not deployment.isolates_rows:
        return []
    raised = [item for item, failure in outcome.failed.items() if failure.error.kind and failure.error.of_rows]
    return [item for item in raised if item.lower().endswith(_MODELS_OWN)]


def score_as_rows(
    worker: ScoringWorker,
    reader: TableReader,
    file: str,
    deployment: ScoringDeployment,
    outcome: Outcome,
    before_try: Callable[[int], None],
) -> None:
    """Score the rows of a file that failed whole: of its rows only those fail that fail alone.

    Where none succeeds, or the model does not answer row by row, the file has failed for its first reason.

    Args:
        before_try: see ``score_rows``, which says what is raised.
    """
    alone = Outcome()
    known = outcome.failures - 1  # it is one of them
    score_tables(worker, reader, [(file, WHOLE)], deployment, alone, lambda rows: before_try(known + rows))
    outcome.attempts += alone.attempts
    outcome.inputs |= alone.inputs
    if alone.rows_read:
        outcome.rows_read = (outcome.rows_read or {}) | alone.rows_read
    if file in alone.failed or not any(table.num_rows for *_, table in alone.tables):
        return
    del outcome.failed[file]
    outcome.tables += alone.tables
    outcome.rows += alone.rows
    outcome.unattributed = outcome.unattributed or alone.unattributed


def refuse_paths(deployment: ScoringDeployment, in_parts: bool) -> None:
    """Raises InitFailed where a script takes paths and the job wants what only tables can have."""
    settings = deployment.settings
    if deployment.code_configuration is None:  # what is no table has no rows that could fail alone
        return
    mend = (
        "Annotate the parameter of run() with pandas.DataFrame, pyarrow.Table or dict[str, numpy.ndarray], or set "
        "mini_batch_format"
    )
    if in_parts:
        raise InitFailed(
            f"mini_batch_size '{settings.mini_batch_size}' cuts within files, and the script's run() takes paths",
            mend=f"{mend}; or give the number of files for one run() call.",
        )
    if settings.output_columns:
        raise InitFailed("output_columns takes tables, and the script's run() takes paths", mend=f"{mend}.")
    if settings.on_error == "isolate":
        raise InitFailed(
            "on_error 'isolate' finds the rows of a table that fail, and the script's run() takes paths",
            mend=f"{mend}; or leave out on_error.",
        )


@dataclass
class ReadTable:
    """What could be read of an item.

    Args:
        together: equal for neighbours that may share a call.
    """

    item: str
    part: Part
    found: PartRows
    together: object = None


def read_tables(
    reader: TableReader, ranges: Sequence[tuple[str, Part]], deployment: ScoringDeployment, outcome: Outcome
) -> list[ReadTable]:
    """Read the parts of a mini-batch; those without a row that can be read are in ``outcome``.

    A script gets the rows of all files at once, with types that hold what all of them have; a model without one
    those of consecutive files with the same columns and types: what it makes of a file must not depend on others.
    """
    no_code = deployment.code_configuration is None
    read: list[ReadTable] = []
    for (item, part), answer in zip(ranges, reader.read_each(ranges), strict=True):
        if found := _accepted(answer, item, part, deployment, outcome):
            # one that failed has a call of its own behind it, which keeps the order
            schema = found.table.schema
            there = (schema.metadata or {}).get(COLUMNS)
            kind = (schema, frozenset(columns_with_missing(schema)), is_text(item), len(outcome.failed), there)
            alike = kind if no_code else None
            read.append(ReadTable(item, part, found, alike))
    if not no_code:
        _read_again_with_common_types(reader, read, deployment, outcome)
    return [one for one in read if one.found.table.num_rows]


def add_unreadable_rows(read: Sequence[ReadTable], outcome: Outcome) -> None:
    """Tell the rows that could not be read, of items of which others could."""
    number = {one.item: at for at, one in enumerate(read)}
    found = [_poison(one.item, row) for one in read if one.item not in outcome.failed for row in one.found.unreadable]
    if found:
        outcome.rows = sorted([*outcome.rows, *found], key=lambda row: (number.get(row.item, -1), row.row))


def _accepted(
    found: PartRows | InputError, item: str, part: Part, deployment: ScoringDeployment, outcome: Outcome
) -> PartRows | None:
    """Returns: None where nothing of it can be scored, which is in ``outcome``."""
    names = deployment.settings.output_columns
    if isinstance(found, InputError):
        outcome.fail(item, Failure(UserError("", str(found), of_rows=False)))
        return None
    if lacking := [n for n in names if n not in found.table.column_names and n not in _POSITION]:
        why = f"'{shown(item)}' has no column '{lacking[0]}', which output_columns names"
        outcome.fail(item, Failure(UserError("", why, of_rows=False)))
        return None
    if unions := unions_in(found.table.schema, names):
        outcome.fail(item, Failure(UserError("", str(union_refused(item, unions[0], "no output")), of_rows=False)))
        return None
    if found.unreadable and not found.table.num_rows:
        if part.only:
            outcome.rows += [_poison(item, row) for row in found.unreadable]
        else:
            why = f"'{shown(item)}' cannot be read: {found.unreadable[0].reason}"
            outcome.fail(item, Failure(UserError("", why, of_rows=False)))
        return None
    return found


def _read_again_with_common_types(
    reader: TableReader, read: list[ReadTable], deployment: ScoringDeployment, outcome: Outcome
) -> None:
    """So that text of one file does not meet numbers of another: files that were looked at alone."""
    texts = [one for one in read if b"text" in (one.found.table.schema.metadata or {})]
    types = wider_types([one.found.table for one in texts]) if texts else None
    if types is None:
        return
    for one in texts:
        if not fits(one.found.table, types):
            (again,) = reader.read_each([(one.item, one.part)], types)
            found = _accepted(again, one.item, one.part, deployment, outcome)
            if found is None:
                read.remove(one)
            else:
                one.found = found


def _poison(item: str, row: UnreadableRow) -> PoisonRow:
    failure = Failure(UserError("", f"the row cannot be read: {row.reason}", of_rows=False))
    return PoisonRow(item, row.row, failure, pa.table({"text": [row.text]}))
