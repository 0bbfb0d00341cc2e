"""Parts, which workers write, and the named output that is made of them at the end.

The format follows the file's name: ``.csv .jsonl .parquet .arrow``; anything else is written as CSV.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from batch_endpoints.interfaces import Filesystem
from batch_endpoints.storage.commits import Commit, CommittedFile


class OutputFilesystem(Protocol):
    """As much of a file system as an output needs."""

    def open_output(self, path: str) -> AbstractContextManager[BinaryIO]: ...


def write_parts(files: Filesystem, bundle: int, start: int, tables: Iterable[pa.Table]) -> tuple[str, ...]:
    """Store rows under names nobody else uses: one file for each run of tables with the same columns.

    Returns: their paths in the job folder; they count only when a commit says so.
    """
    paths = []
    for schema, alike in groupby((table for table in tables if table.num_rows), key=lambda table: table.schema):
        path = f"parts/{bundle:06}-{start:09}-{uuid.uuid4().hex[:12]}.arrow"
        with files.open_output(path) as file, pa.ipc.new_file(file, schema) as writer:
            for table in alike:
                writer.write_table(table)
        paths.append(path)
    return tuple(paths)


def store_files(files: Filesystem, folder: Path) -> list[CommittedFile]:
    """Move what a script wrote to its output folder into the job folder, and empty the former."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    unique = uuid.uuid4().hex[:12]
    stored = []
    for path in found:
        name = path.relative_to(folder).as_posix()
        place = f"parts/{unique}/{name}"
        with files.open_output(place) as copy, path.open("rb") as source:
            while block := source.read(1 << 20):
                copy.write(block)
        path.unlink()
        stored.append(CommittedFile(name=name, stored=place))
    return stored


def write_rows(files: Filesystem, commits: Sequence[Commit], target: OutputFilesystem, name: str) -> None:
    """Write the rows of all parts, in the order of the commits, as one file.

    Parts may differ in their columns: the output has all of them, null where a part has none. Where types differ
    they become the wider one, or text.
    """
    parts = [part for commit in commits for part in commit.parts]
    schema = _common_schema(_schema(files, part) for part in parts)
    with target.open_output(name) as sink, _writer(name)(sink, schema) as writer:
        for part in parts:
            for table in _tables(files, part):
                writer.write_table(_aligned(table, schema))


def write_files(files: Filesystem, commits: Iterable[Commit], target: OutputFilesystem) -> list[str]:
    """Put the files that the scripts wrote into the output.

    Two mini-batches may have written the same name: the second is kept under a name with a number.

    Returns: a note for each file that was renamed.
    """
    taken: set[str] = set()
    notes = []
    for commit in commits:
        for file in commit.files:
            name, number = file.name, 1
            while name in taken:
                number += 1
                path = Path(file.name)
                name = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
            if name != file.name:
                notes.append(f"two mini-batches wrote '{file.name}': one is kept as '{name}'")
            taken.add(name)
            with target.open_output(name) as copy, files.open_input(file.stored) as source:
                while block := source.read(1 << 20):
                    copy.write(block)
    return notes


def write_failed_items(files: Filesystem, commits: Iterable[Commit]) -> None:
    """``failed_items.jsonl``: one line per failed item, in plan order; no file where nothing failed."""
    lines = [item.model_dump_json() + "\n" for commit in commits for item in commit.failed]
    if lines:
        files.replace("failed_items.jsonl", "".join(lines).encode())


def _schema(files: Filesystem, part: str) -> pa.Schema:
    with files.open_input(part) as file, pa.ipc.open_file(file) as reader:
        return reader.schema


def _tables(files: Filesystem, part: str) -> Iterator[pa.Table]:
    with files.open_input(part) as file, pa.ipc.open_file(file) as reader:
        for index in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(index)])


def _common_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    fields: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name)
            fields[field.name] = field.type if known is None else _wider(known, field.type)
    return pa.schema(fields.items())


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    try:
        pair = [pa.schema([("", one)]), pa.schema([("", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def _aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type == field.type:
            columns.append(column)
        elif pa.types.is_string(field.type):
            columns.append(_text(column))
        else:
            columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def _text(column: pa.ChunkedArray) -> pa.Array:
    """Any column as text: numbers as Python writes them, nested values as JSON."""
    return pa.array([None if v is None else v if isinstance(v, str) else _json(v) for v in column.to_pylist()])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


class _TableWriter(Protocol):
    """What the writers of all formats have in common."""

    def __enter__(self) -> _TableWriter: ...
    def __exit__(self, *args: object) -> None: ...
    def write_table(self, table: pa.Table) -> None: ...


class _CsvWriter:
    """RFC 4180 with a header; nested and binary columns become text."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        flat = [pa.field(f.name, pa.string() if _needs_text(f.type) else f.type) for f in schema]
        self._schema = pa.schema(flat)
        # quotes only where they are needed: what people and other tools expect to see
        options = pyarrow.csv.WriteOptions(quoting_style="needed")
        self._writer = pyarrow.csv.CSVWriter(sink, self._schema, write_options=options) if len(flat) else None

    def __enter__(self) -> _CsvWriter:
        return self

    def __exit__(self, *args: object) -> None:
        if self._writer:
            self._writer.close()

    def write_table(self, table: pa.Table) -> None:
        columns = [_text(table[f.name]) if _needs_text(f.type) else table[f.name] for f in table.schema]
        if self._writer:
            self._writer.write_table(pa.table(columns, schema=self._schema))


def _needs_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._sink = sink

    def __enter__(self) -> _JsonLinesWriter:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write_table(self, table: pa.Table) -> None:
        self._sink.write("".join(_json(row) + "\n" for row in table.to_pylist()).encode())


def _writer(name: str) -> Callable[[BinaryIO, pa.Schema], _TableWriter]:
    makers = {
        ".jsonl": _JsonLinesWriter,
        ".parquet": pyarrow.parquet.ParquetWriter,
        ".pqt": pyarrow.parquet.ParquetWriter,
        ".arrow": pa.ipc.new_file,
        ".feather": pa.ipc.new_file,
    }
    return cast("Callable[[BinaryIO, pa.Schema], _TableWriter]", makers.get(Path(name).suffix.lower(), _CsvWriter))
