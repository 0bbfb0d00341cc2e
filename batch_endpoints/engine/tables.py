"""Mini-batches that are tables: planned by the driver, read and scored by the workers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow as pa

from batch_endpoints.engine.poison_rows import Cut, Failure, Outcome, score_rows
from batch_endpoints.errors import InitFailed, InputError
from batch_endpoints.planning.job_plan import JobPlan, plan_job, plan_parts
from batch_endpoints.planning.mini_batches import InputFile, mini_batches
from batch_endpoints.planning.partitions import WHOLE, Part, PartitionSize, packed, partition_size, suitable_size
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.signature import signature_columns, takes_tensors
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.scoring.worker import ScoringWorker
from batch_endpoints.specs import MINI_BATCH_FILES, JobSpec, ModelDeployment, ModelDeploymentSettings, TableReading
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.column_types import ColumnTypes, signature_types
from batch_endpoints.storage.inputs import fetch
from batch_endpoints.storage.partitions import PartReader, cut_tables, is_table, is_text, joined, said

_MODELS_OWN = (".csv", ".parquet", ".pqt")  # what scoring/mlflow_driver.py reads
_POSITION = ("row", "file")  # what ``output_columns`` may name although the input lacks it


def plan_mini_batches(
    job: JobSpec, root: str, files: Sequence[InputFile], workers: int, reading: TableReading | None = None
) -> JobPlan:
    """The plan of a job: whole files, or parts of tables where its mini-batches are of bytes or rows.

    Where nobody has said how large they are, a model without a script that takes tables gets them: small files
    together, parts of large ones.

    Args:
        reading: how tables are read, where somebody says more than their names.
    """
    settings = job.deployment.settings
    size, carried = settings.mini_batch_size, settings.output_columns
    number = size if isinstance(size, int) else MINI_BATCH_FILES
    no_code = job.deployment.code_configuration is None
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as folder:
        scratch = Path(folder)
        mlmodel = _mlmodel(job, scratch) if no_code else b""
        columns = signature_columns(mlmodel)
        types = ColumnTypes() if columns is None else signature_types(columns, carried)

        def cut(some: Iterable[InputFile], size: PartitionSize) -> Iterator[list[tuple[str, Part]]]:
            return cut_tables(root, some, size, types, scratch, job.credentials, reading)

        def cut_large(file: InputFile) -> Iterable[list[tuple[str, Part]]]:
            # without a signature each file has types of its own: another one must not change what the model gets
            looked_at = is_text(file.path) and not types.complete
            return [[(file.path, WHOLE)]] if looked_at else cut([file], PartitionSize(suitable, False))

        batches: Iterable[Sequence[tuple[str, Part]]]
        if isinstance(size, str):
            batches = cut(files, partition_size(size))
        elif size is None and no_code and not reading and _all_tables(files, takes_tensors(mlmodel)):
            suitable = suitable_size(sum(file.size for file in files), workers)
            batches = packed(files, suitable, cut_large)
        elif no_code and (carried or reading):
            batches = ([(file.path, WHOLE) for file in batch] for batch in mini_batches(files, number))
        else:
            plan = plan_job(root, files, number, workers)
            return replace(plan, columns=said(pa.schema([]), reading)) if reading else plan
        return plan_parts(root, batches, workers, lambda: said(types.schema(), reading))


def _all_tables(files: Iterable[InputFile], tensors: bool) -> bool:
    """Can a model be given all of these as tables? For tensors text is read otherwise: it may lack a header."""
    return all(is_table(file.path) and not (tensors and is_text(file.path)) for file in files)


def score_tables(
    worker: ScoringWorker,
    reader: PartReader,
    ranges: Sequence[tuple[str, Part]],
    deployment: ModelDeployment,
    outcome: Outcome,
    before_try: Callable[[int], None],
) -> None:
    """Read and score one mini-batch into ``outcome``.

    What cannot be read has failed; a part without rows has not, and is not shown to the script. A script gets the
    rows of all files at once, a model without one those of consecutive files with the same columns and types: what
    it makes of a file must not depend on the others.

    Args:
        ranges: its files, with the part of each.
        before_try: see ``score_rows``, which says what is raised.
    """
    output_columns, no_code = deployment.settings.output_columns, deployment.code_configuration is None
    outcome.rows_read = 0
    read: list[tuple[str, Sequence[int], pa.Table]] = []
    alike: list[object] = []  # of each; others have calls of their own, as have those around one that failed
    for (item, part), table in zip(ranges, reader.read_each(ranges), strict=True):
        if isinstance(table, InputError):
            outcome.fail(item, Failure(UserError("", str(table), of_rows=False)))
        elif lacking := [n for n in output_columns if n not in table.column_names and n not in _POSITION]:
            error = f"'{shown(item)}' has no column '{lacking[0]}', which output_columns names"
            outcome.fail(item, Failure(UserError("", error, of_rows=False)))
        else:
            if table.num_rows:
                rows = part.only or range(part.first_row, part.first_row + table.num_rows)
                read.append((item, rows, table))
                outcome.rows_read = (outcome.rows_read or 0) + (0 if part.only else table.num_rows)
                alike.append((table.schema, is_text(item), len(outcome.failed)) if no_code else None)
    cut: Cut = "rows" if deployment.isolates_rows else "items" if no_code else "nowhere"
    for _, group in groupby(zip(read, alike, strict=True), key=itemgetter(1)):
        together = [one for one, _ in group]
        items, places = [item for item, _, _ in together], [rows for _, rows, _ in together]
        try:
            table = joined([table for _, _, table in together])
        except InputError as error:
            for item in items:
                outcome.fail(item, Failure(UserError("", str(error))))
            continue
        score_rows(worker, TableBatch(table, items, places, output_columns), cut, outcome, before_try)


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


def _mlmodel(job: JobSpec, scratch: Path) -> bytes:
    """What the model says of itself; nothing where that cannot be read, which the workers will tell."""
    try:
        return fetch(job.model.path, "MLmodel", scratch, job.credentials).read_bytes()
    except (InputError, OSError):
        return b""
