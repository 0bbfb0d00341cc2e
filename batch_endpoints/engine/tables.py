"""Mini-batches that are tables: planned by the driver, read and scored by the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from batch_endpoints.engine.mini_batch_inputs import TableReader
from batch_endpoints.engine.poison_rows import Cut, Failure, Outcome, score_rows
from batch_endpoints.engine.read_tables import add_unreadable_rows, read_tables
from batch_endpoints.errors import InitFailed, InputError
from batch_endpoints.planning.partitions import WHOLE, Part
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker
from batch_endpoints.specs import ModelDeployment
from batch_endpoints.storage.tables.joined_tables import joined

_MODELS_OWN = (".csv", ".parquet", ".pqt")  # what scoring/mlflow_driver.py reads


def score_tables(
    worker: ScoringWorker,
    reader: TableReader,
    ranges: Sequence[tuple[str, Part]],
    deployment: ModelDeployment,
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


def better_as_files(outcome: Outcome, ranges: Sequence[tuple[str, Part]], deployment: ModelDeployment) -> list[str]:
    """Files that failed as tables, and may not when the model's own side reads each, and predicts it by itself.

    That is the way of whole files (``mini_batch_size`` as a number); where nobody has said which way to go, what it
    can score must not fail on the other one: a file with short lines, or a model with one answer for all of a file.
    """
    settings = deployment.settings
    if deployment.code_configuration or settings.mini_batch_size is not None or settings.output_columns:
        return []
    failed = [item for item, part in ranges if part == WHOLE and item in outcome.failed]
    return [one for one in failed if not outcome.failed[one].error.of_rows and one.lower().endswith(_MODELS_OWN)]


def refuse_paths(deployment: ModelDeployment, in_parts: bool) -> None:
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
