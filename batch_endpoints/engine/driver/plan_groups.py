"""The plan of a step with ``partition_keys``: each group of files or rows that share their values is a mini-batch.

Where all files are in folders ``key=value`` these are the groups. Otherwise the files are tables: they are read once,
and the rows of each group are written to files of its own in such folders of the job folder, ``partitions/``. A
driver that is lost before there is a plan leaves files that the next one writes again.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch_endpoints.errors import InputError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import JobPlan, plan_groups
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import PartitionSize
from batch_endpoints.planning.steps.partition_groups import groups_of_files, partition_folder
from batch_endpoints.specs import TableReading
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.job.job_folder import PARTITIONS, JobFolder
from batch_endpoints.storage.tables.column_types import ColumnTypes, columns_with_missing, without_values
from batch_endpoints.storage.tables.parts import PartReader, cut_tables, said
from batch_endpoints.storage.tables.table_files import is_table

_PART_BYTES = 64 << 20  # of the input, in memory at once
_Values = tuple[Any, ...]


def plan_partitions(
    keys: Sequence[str],
    root: str,
    files: Sequence[InputFile],
    workers: int,
    reading: TableReading | None,
    access: Access,
    folder: JobFolder,
) -> JobPlan:
    """The plan of a step.

    Raises:
        InputError: files have neither folders nor columns for the keys, or cannot be read.
    """
    if groups := groups_of_files((file.path for file in files), keys):
        return plan_groups(root, groups, workers, said(pa.schema([]), reading) if reading else b"")
    if not reading and (other := next((file.path for file in files if not is_table(file.path)), None)):
        raise InputError(
            f"'{shown(other)}' is neither in a folder for each of the partition_keys ({', '.join(keys)}) nor a table",
            mend=f"Name its folders '{keys[0]}=…', or give tables that have these columns.",
        )
    groups, columns = _written_groups(keys, root, files, reading, access, folder.files)
    return plan_groups(f"{folder.uri}/{PARTITIONS}", groups, workers, columns)


def _written_groups(
    keys: Sequence[str],
    root: str,
    files: Sequence[InputFile],
    reading: TableReading | None,
    access: Access,
    target: WritablePlace,
) -> tuple[list[tuple[str, ...]], bytes]:
    """The files of each group, in the order in which the groups first appear, and what is known of their columns."""
    types = ColumnTypes()
    groups: dict[_Values, list[str]] = {}
    missing: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="batch-endpoints-") as name:
        scratch = Path(name)
        size = PartitionSize(_PART_BYTES, in_rows=False)
        parts = list(chain.from_iterable(cut_tables(root, files, size, types, scratch, access, reading)))
        reader = PartReader(root, pa.ipc.read_schema(pa.py_buffer(said(types.schema(), reading))), scratch, access)
        for number, (path, part) in enumerate(parts):
            table = reader.read(path, part)
            missing |= columns_with_missing(table.schema) | without_values(table)
            for values, rows in _by_values(table, keys, path):
                file = f"{partition_folder(dict(zip(keys, values, strict=True)))}/{number:06}.arrow"
                groups.setdefault(values, []).append(file)
                with (
                    target.open_output(f"{PARTITIONS}/{file}") as sink,
                    pa.ipc.new_file(sink, rows.schema) as writer,
                ):
                    writer.write_table(rows)
    known = pa.schema([], {"missing": "\n".join(sorted(missing))} if missing else None)
    return [tuple(files) for files in groups.values()], said(known, None)


def _by_values(table: pa.Table, keys: Sequence[str], path: str) -> Iterator[tuple[_Values, pa.Table]]:
    """The rows of each group, in their order."""
    for key in keys:
        if key not in table.column_names:
            near = difflib.get_close_matches(key, table.column_names, n=1)
            raise InputError(
                f"'{shown(path)}' has no column '{key}', which partition_keys names",
                mend=f"Did you mean '{near[0]}'?" if near else f"It has: {', '.join(table.column_names)}.",
            )
    rows: dict[_Values, list[int]] = {}
    for at, values in enumerate(zip(*(table.column(key).to_pylist() for key in keys), strict=True)):
        rows.setdefault(tuple(None if value != value else value for value in values), []).append(at)
    for values, numbers in rows.items():
        yield values, table.take(pa.array(numbers, pa.int64())).combine_chunks()
