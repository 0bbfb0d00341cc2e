"""Rows: parts, which workers write, and the file that is made of them at the end."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, groupby
from typing import Any, NamedTuple, cast

import pyarrow as pa

from batch_endpoints.errors import OutputFailed
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs import OutputFormat, RowsFile
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.outputs.common_columns import CommonColumns, TooNarrow
from batch_endpoints.storage.outputs.formats import (
    TableWriter,
    compressed,
    hard_to_tell,
    notes_of,
    stored_columns,
    table_writer,
)
from batch_endpoints.storage.outputs.nested_types import recast, with_leaves

# of a table that is written at once: more of them would cost memory and save nothing
_ENOUGH_ROWS, _ENOUGH_BYTES = 10_000, 1 << 20
_COLUMNS = re.compile(r"-([0-9a-f]{16})-[0-9a-f]{12}\.\w+")  # in the name of a part


class WrittenRows(NamedTuple):
    """What a file of rows holds.

    Args:
        columns: name -> type as Arrow names it; None where rows are no columns.
        notes: sentences on values that the format cannot tell apart.
    """

    columns: dict[str, str] | None
    notes: Sequence[str]


class WrittenParts(NamedTuple):
    """Parts that are stored, as a commit describes them.

    Args:
        paths: in the job folder; they count only when a commit says so.
        columns: of each, as of ``WrittenRows``; empty of those that a file is made of.
        alike: as ``hard_to_tell`` returns it, of all of them.
    """

    paths: tuple[str, ...]
    columns: tuple[dict[str, str], ...] = ()
    alike: Mapping[str, tuple[str, ...]] = {}


def write_parts(
    files: WritablePlace, bundle: int, start: int, tables: Iterable[pa.Table], format: OutputFormat | None = None
) -> WrittenParts:
    """Store rows under names nobody else uses: one file for each run of tables with the same columns.

    A name holds a digest of the columns, by which ``write_rows`` knows them without opening each part twice.

    Args:
        format: of an output that takes the parts as they are; None where a file is made of them, then in Arrow's.

    Raises:
        OutputFailed: the format has no way to hold them.
    """
    wanted, format = format, format or "arrow"
    paths, described, alike = list[str](), list[dict[str, str]](), dict[str, set[str]]()
    for schema, gathered in _gathered(_plain(table) for table in tables if table.num_rows):
        columns = hashlib.sha256(schema.remove_metadata().serialize()).hexdigest()[:16]
        path = f"parts/{bundle:06}-{start:09}-{columns}-{uuid.uuid4().hex[:12]}.{format}"
        with _as(format), files.open_output(path) as file, table_writer(format)(file, schema) as writer:
            for table in gathered:
                writer.write_table(table)
        paths.append(path)
        if wanted and (stored := stored_columns(schema, format)) is not None:
            described.append(stored)
            for what, names in hard_to_tell(writer).items():
                alike.setdefault(what, set()).update(names)
    return WrittenParts(
        tuple(paths), tuple(described), {what: tuple(sorted(names)) for what, names in alike.items() if names}
    )


@contextmanager
def _as(format: OutputFormat) -> Iterator[None]:
    """Raises OutputFailed for whatever conversions raise: it would be the same another time."""
    try:
        yield
    except (pa.ArrowException, ArithmeticError, LookupError, ValueError) as error:
        raise OutputFailed(
            f"what run() returned cannot be written as {format}: {error}", mend="Choose another output_format."
        ) from error


def _plain(table: pa.Table) -> pa.Table:
    """The table without categories and runs: an Arrow file takes one set of them, and each has its own."""
    for at, field in enumerate(table.schema):
        kind = with_leaves(field.type, _decoded)
        if kind != field.type:
            table = table.set_column(at, field.name, recast(table.column(at), kind))
    return table


def _decoded(kind: pa.DataType) -> pa.DataType:
    encoded = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return kind.value_type if encoded else kind


def _gathered(tables: Iterable[pa.Table]) -> Iterator[tuple[pa.Schema, Iterator[pa.Table]]]:
    """The same rows in fewer tables, for each run of tables with the same columns: each one written takes time."""
    for schema, alike in groupby(tables, key=lambda table: table.schema):
        yield schema, _joined(alike)


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    some: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        some.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= _ENOUGH_ROWS or size >= _ENOUGH_BYTES:
            yield pa.concat_tables(some).combine_chunks() if len(some) > 1 else table
            some, rows, size = [], 0, 0
    if some:
        yield pa.concat_tables(some).combine_chunks()


def write_rows(files: WritablePlace, commits: Sequence[Commit], target: WritablePlace, rows: RowsFile) -> WrittenRows:
    """Write the rows of all parts, in the order of the commits, as one file.

    Parts may differ in their columns: the output has all of them, null where a part has none. Where types differ
    they become the wider one of their kind, or text; see ``common_columns``.

    Returns: the columns, and what the format cannot tell apart.

    Raises:
        OutputFailed: the format has no way to hold them.
    """
    parts = [part for commit in commits for part in commit.parts]
    with _as(rows.format):
        schemas = (_schema(files, part) for part in _unlike(parts))
        columns = CommonColumns(schemas, as_text=rows.format in ("csv", "jsonl"))
        while True:
            try:
                writer = _write_rows(files, parts, target, rows, columns)
                return WrittenRows(stored_columns(columns.schema, rows.format), notes_of([hard_to_tell(writer)]))
            except TooNarrow as error:  # which only its values show: nothing is there yet, so it begins anew
                for name in error.columns:
                    columns.widen(name, _column(files, parts, name))


def _write_rows(
    files: WritablePlace, parts: Sequence[str], target: WritablePlace, rows: RowsFile, columns: CommonColumns
) -> TableWriter:
    with (
        target.open_output(rows.name) as file,
        compressed(file, rows.compression) as sink,
        table_writer(rows.format)(sink, columns.schema) as writer,
    ):
        for _, gathered in _gathered(chain.from_iterable(_tables(files, part) for part in parts)):
            for table in gathered:
                writer.write_table(columns.aligned(table))
    return writer


def _column(files: WritablePlace, parts: Sequence[str], name: str) -> Iterator[pa.ChunkedArray]:
    """All values of a column."""
    for part in parts:
        for table in _tables(files, part):
            if name in table.column_names:
                yield table.column(name)


def _unlike(parts: Iterable[str]) -> Iterable[str]:
    """Of all parts with the same columns the first one, in their order."""
    first: dict[str, str] = {}
    for part in parts:
        named = _COLUMNS.search(part)  # not so in names that older versions gave
        first.setdefault(named[1] if named else part, part)
    return first.values()


def _schema(files: WritablePlace, part: str) -> pa.Schema:
    with _open_part(files, part) as reader:
        return reader.schema


def _tables(files: WritablePlace, part: str) -> Iterator[pa.Table]:
    with _open_part(files, part) as reader:
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


@contextmanager
def _open_part(files: WritablePlace, part: str) -> Iterator[pa.ipc.RecordBatchFileReader]:
    with files.open_input(part) as file:
        # a buffer costs nothing, and Arrow reads what is a file through its threads, which takes far longer
        mapped = isinstance(file, pa.MemoryMappedFile)
        with pa.ipc.open_file(cast(Any, file).read_buffer() if mapped else file) as reader:
            yield reader
