"""Mini-batches that are tables: planned by the driver, read and scored by the workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from batch_endpoints.errors import InitFailed, InputError
from batch_endpoints.planning.job_plan import JobPlan, plan_job, plan_parts
from batch_endpoints.planning.mini_batches import InputFile, mini_batches
from batch_endpoints.planning.partitions import WHOLE, Part, partition_size
from batch_endpoints.scoring.contract import Scored, UserError
from batch_endpoints.scoring.signature import signature_columns
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker
from batch_endpoints.specs import JobSpec, ModelDeploymentSettings
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
    output_columns: Sequence[str],
) -> tuple[Scored, int]:
    """Read and score one mini-batch.

    Returns: as ``ScoringWorker.score``. What cannot be read has failed; a part without rows has not, and
        is not shown to the script.
    """
    failed: dict[str, UserError] = {}
    read: dict[str, tuple[pa.Table, int]] = {}
    for item, part in zip(items, parts, strict=True):
        try:
            table = reader.read(item, part)
            if lacking := [n for n in output_columns if n not in table.column_names and n not in _POSITION]:
                raise InputError(f"'{item}' has no column '{lacking[0]}', which output_columns names")
        except InputError as error:
            failed[item] = UserError("", str(error))
        else:
            if table.num_rows:
                read[item] = table, part.first_row
    if not read:
        return Scored(None, failed, rows_read=0), 1
    try:
        table = joined([table for table, _ in read.values()])
    except InputError as error:
        return Scored(None, {**failed, **dict.fromkeys(read, UserError("", str(error)))}, rows_read=0), 1
    batch = TableBatch(
        table=table,
        items=list(read),
        rows=[table.num_rows for table, _ in read.values()],
        first_rows=[first for _, first in read.values()],
        output_columns=output_columns,
    )
    scored, attempts = worker.score_table(batch)
    return Scored(scored.table, {**failed, **scored.failed}, rows_read=table.num_rows), attempts


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


def _signature(job: JobSpec, scratch: Path) -> ColumnTypes:
    """What the model says of its input; nothing where it cannot be read, which the workers will tell."""
    try:
        columns = signature_columns(fetch(job.model.path, "MLmodel", scratch, job.credentials).read_bytes())
    except (InputError, OSError):
        columns = None
    return ColumnTypes() if columns is None else signature_types(columns, job.deployment.settings.output_columns)
