"""The plan of a job's input: whole files, or parts of tables where its mini-batches are of bytes or rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.planning.job_plan import JobPlan, plan_job, plan_parts
from batch_endpoints.planning.mini_batches import InputFile, mini_batches
from batch_endpoints.planning.partitions import WHOLE, Part, PartitionSize, packed, partition_size, suitable_size
from batch_endpoints.scoring.signature import signature_columns, takes_tensors
from batch_endpoints.specs import (
    MINI_BATCH_FILES,
    ModelDeploymentSettings,
    ScoringDeployment,
    ScoringJob,
    TableReading,
)
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.inputs.fetch import read_texts
from batch_endpoints.storage.tables.column_types import ColumnTypes, signature_types, union_refused, unions_in
from batch_endpoints.storage.tables.parts import cut_tables, said
from batch_endpoints.storage.tables.table_files import (
    TableFile,
    is_arrow,
    is_compressed,
    is_table,
    is_text,
    open_table,
)

_UNPACKED = 10  # times as large as the compressed file is its text, or less
T = TypeVar("T")


def plan_mini_batches(
    job: ScoringJob,
    root: str,
    files: Sequence[InputFile],
    workers: int,
    reading: TableReading | None = None,
    enough: Callable[[], None] = lambda: None,
) -> JobPlan:
    """The plan of a job: whole files, or parts of tables where its mini-batches are of bytes or rows.

    Where nobody has said how large they are, a model without a script that takes tables gets them: small files
    together, parts of large ones.

    Args:
        reading: how tables are read, where somebody says more than their names.
        enough: called, once at most, when mini-batches of parts are sure to keep all workers busy: to look into the
            rest of a large input may take long.
    """
    settings = job.deployment.settings
    size, carried = settings.mini_batch_size, settings.output_columns
    number = size if isinstance(size, int) else MINI_BATCH_FILES
    no_code = job.deployment.code_configuration is None
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as folder:
        scratch = Path(folder)
        mlmodel = _mlmodel(job) if no_code else b""
        columns = signature_columns(mlmodel)
        types = ColumnTypes() if columns is None else signature_types(columns, carried)

        own_types: dict[str, ColumnTypes] = {}

        def cut(
            some: Iterable[InputFile], size: PartitionSize, types: ColumnTypes = types
        ) -> Iterator[list[tuple[str, Part]]]:
            return cut_tables(root, some, size, types, scratch, Access.of(job), reading)

        def cut_large(file: InputFile) -> Iterable[list[tuple[str, Part]]]:
            if is_compressed(file.path):  # which nobody can cut
                return [[(file.path, WHOLE)]]
            own, arrow = types, is_arrow(file.path)
            if arrow or not types.complete:  # another file must not change what the model gets of this one
                own = types.anew()
                if arrow or is_text(file.path):  # the others tell by themselves what lacks a value
                    own_types[file.path] = own
            return cut([file], PartitionSize(suitable, False), own)

        batches: Iterable[Sequence[tuple[str, Part]]]
        if isinstance(size, str):
            batches = cut(files, partition_size(size))
        elif size is None and no_code and not reading and _all_tables(files, takes_tensors(mlmodel)):
            files = [_as_in_memory(file) for file in files]
            suitable = suitable_size(sum(file.size for file in files), workers)
            batches = packed(files, suitable, cut_large)
        elif no_code and (
            carried or reading or (_asks_for_rows(settings) and _all_tables(files, takes_tensors(mlmodel)))
        ):
            batches = ([(file.path, WHOLE) for file in batch] for batch in mini_batches(files, number))
        else:
            plan = plan_job(root, files, number, workers)
            # of a file that a model cannot score as a whole, single rows are read by what the signature states
            return replace(plan, columns=said(types.schema(), reading)) if reading or columns else plan
        if not reading:
            _refuse_unions(
                job.deployment, files[0].path, columns, lambda path: open_table(root, path, scratch, Access.of(job))
            )
        batches = _telling(batches, max(2, workers), enough)
        return plan_parts(root, batches, workers, lambda: said(types.schema(), reading, own_types))


def _refuse_unions(
    deployment: ScoringDeployment,
    first: str,
    signature: Iterable[str] | None,
    open_file: Callable[[str], TableFile],
) -> None:
    """Look at the first file, if it is of Arrow's own, whether its columns can be given to the model, and returned.

    Raises:
        InputError: one of them is a union.
    """
    if not is_arrow(first):
        return
    try:
        schema = open_file(first).schema
    except InputError:  # its mini-batch will state it
        return
    assert schema is not None
    if refused := unions_in(schema, deployment.settings.output_columns):
        raise union_refused(first, refused[0], "no output")
    form = deployment.settings.mini_batch_format if deployment.code_configuration else "pandas"
    if form in ("pandas", "numpy") and (refused := unions_in(schema, None if signature is None else list(signature))):
        raise union_refused(first, refused[0], f"nothing in {form}")


def _telling(batches: Iterable[T], count: int, enough: Callable[[], None]) -> Iterator[T]:
    """All of them; calls ``enough`` behind so many."""
    for number, batch in enumerate(batches, 1):
        yield batch
        if number == count:
            enough()


def _asks_for_rows(settings: ModelDeploymentSettings) -> bool:
    """Has somebody said that bad rows are to be told from their files, where mini-batches are whole files?"""
    return settings.on_error == "isolate" or (settings.on_error is None and settings.keep_failed_inputs)


def _as_in_memory(file: InputFile) -> InputFile:
    """The file with about the bytes that are read of it."""
    return replace(file, size=file.size * _UNPACKED) if is_compressed(file.path) else file


def _all_tables(files: Iterable[InputFile], tensors: bool) -> bool:
    """Can a model be given all of these as tables? For tensors text is read otherwise: it may lack a header."""
    return all(is_table(file.path) and not (tensors and is_text(file.path)) for file in files)


def _mlmodel(job: ScoringJob) -> bytes:
    """What the model says of itself; nothing where that cannot be read, which the workers will tell."""
    try:
        return read_texts(job.model.path, ["MLmodel"], Access.of_deployment(job)).get("MLmodel", "").encode()
    except (InputError, Refused, UnicodeDecodeError):
        return b""
