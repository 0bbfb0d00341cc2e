"""Mini-batches that are tables: planned by the driver, read and scored by the workers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from batch_endpoints.engine.poison_rows import Cut, Failure, Outcome, score_rows
from batch_endpoints.errors import InitFailed, InputError
from batch_endpoints.planning.job_plan import JobPlan, plan_job, plan_parts
from batch_endpoints.planning.mini_batches import InputFile, mini_batches
from batch_endpoints.planning.partitions import WHOLE, Part, partition_size
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.signature import signature_columns
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker
from batch_endpoints.specs import JobSpec, ModelDeployment, ModelDeploymentSettings
from batch_endpoints.storage.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.inputs import fetch
from batch_endpoints.storage.partitions import PartReader, cut_tables, joined

_POSITION = ("row", "file")  # what ``output_columns`` may name although the input lacks it


def plan_mini_batches(job: JobSpec, root: str, files: Sequence[InputFile], workers: int) -> JobPlan:
    """The plan of a job: whole files, or parts of tables where its mini-batches are of bytes or rows."""
    settings = job.deployment.settings
    size, carried = settings.mini_batch_size, settings.output_columns
    no_code = job.deployment.code_configuration is None
    if isinstance(size, int) and not (no_code and carried):
        return plan_job(root, files, size, workers)
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as folder:
        types = _signature(job, Path(folder)) if no_code else ColumnTypes()
        batches: Iterable[Sequence[tuple[str, Part]]]
        if isinstance(size, int):
            batches = ([(file.path, WHOLE) for file in batch] for batch in mini_batches(files, size))
        else:
            batches = cut_tables(root, files, partition_size(size), types, Path(folder), job.credentials)
        return plan_parts(root, batches, workers, lambda: types.schema().serialize().to_pybytes())


def score_tables(
    worker: ScoringWorker,
    reader: PartReader,
    items: Sequence[str],
    parts: Sequence[Part],
    deployment: ModelDeployment,
    before_try: Callable[[Sequence[Failure]], None],
) -> Outcome:
    """Read and score one mini-batch.

    What cannot be read has failed; a part without rows has not, and is not shown to the script. A script gets the
    rows of all files at once, a model without one those of consecutive files with the same columns and types: what
    it makes of a file must not depend on the others.

    Args:
        before_try: see ``score_rows``, which says what is raised.
    """
    output_columns, no_code = deployment.settings.output_columns, deployment.code_configuration is None
    outcome = Outcome()
    outcome.rows_read = 0
    read: list[tuple[str, int, pa.Table]] = []
    for item, part in zip(items, parts, strict=True):
        try:
            table = reader.read(item, part)
            if lacking := [n for n in output_columns if n not in table.column_names and n not in _POSITION]:
                raise InputError(f"'{item}' has no column '{lacking[0]}', which output_columns names")
        except InputError as error:
            outcome.failed[item] = Failure(UserError("", str(error)))
        else:
            if table.num_rows:
                read.append((item, part.first_row, table))
                outcome.rows_read += table.num_rows
    cut: Cut = "rows" if deployment.isolates_rows else "items" if no_code else "nowhere"
    for _, alike in groupby(read, key=lambda one: one[2].schema if no_code else None):
        items, first_rows, tables = zip(*alike, strict=True)
        try:
            table = joined(tables)
        except InputError as error:
            outcome.failed |= dict.fromkeys(items, Failure(UserError("", str(error))))
            continue
        rows = [table.num_rows for table in tables]
        score_rows(worker, TableBatch(table, items, rows, first_rows, output_columns), cut, outcome, before_try)
    return outcome


def refuse_paths(settings: ModelDeploymentSettings, in_parts: bool) -> None:
    """Raises InitFailed where a script takes paths and the job wants what only tables can have."""
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


def _signature(job: JobSpec, scratch: Path) -> ColumnTypes:
    """What the model says of its input; nothing where it cannot be read, which the workers will tell."""
    try:
        columns = signature_columns(fetch(job.model.path, "MLmodel", scratch, job.credentials).read_bytes())
    except (InputError, OSError):
        columns = None
    return ColumnTypes() if columns is None else signature_types(columns, job.deployment.settings.output_columns)
