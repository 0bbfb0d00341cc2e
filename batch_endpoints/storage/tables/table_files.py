"""Files that are tables, by their names, and how each is opened."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow as pa

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import Cuts, Part
from batch_endpoints.specs import ReadDelimited, TableReading
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.object_streams import PIECE_BYTES
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.files.read_errors import BROKEN, cannot_read
from batch_endpoints.storage.inputs.fetch import fetch, own_root
from batch_endpoints.storage.tables.arrow.table import ArrowTable
from batch_endpoints.storage.tables.column_types import ColumnTypes
from batch_endpoints.storage.tables.csv_table import CsvTable
from batch_endpoints.storage.tables.json_table import JsonLinesTable
from batch_endpoints.storage.tables.parquet_table import ParquetTable
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

_TEXT = (".csv", ".jsonl", ".ndjson")
_PARQUET, _ARROW = (".parquet", ".pqt"), (".arrow", ".feather", ".ipc")
_SAID = {"delimited": ".csv", "parquet": ".parquet", "json_lines": ".jsonl"}
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".br": "brotli"}


class TableFile(Protocol):
    """What all formats have in common; see ``TextTable``."""

    begin: int
    schema: pa.Schema | None

    @property
    def columns(self) -> tuple[str, ...] | None: ...

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]: ...

    def read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        types: pa.Schema | None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> pa.Table: ...


def is_table(path: str) -> bool:
    """Does its name say that a file holds a table?"""
    return _kind(path)[0] in {*_TEXT, *_PARQUET, *_ARROW}


def is_text(path: str) -> bool:
    """… in text, whose columns have types only when somebody has looked?"""
    return _kind(path)[0] in _TEXT


def is_arrow(path: str) -> bool:
    """… in a format of Arrow's own, where only a look at all of it tells which columns lack a value?"""
    return _kind(path)[0] in _ARROW


def is_compressed(path: str) -> bool:
    """… within a compressed file, which is read from its beginning?"""
    return _kind(path)[1] is not None


def is_plain_csv(path: str) -> bool:
    return _kind(path) == (".csv", None)


def open_table(
    root: str,
    path: str,
    scratch: Path,
    access: Access = AMBIENT,
    in_rows: bool = False,
    reading: TableReading | None = None,
) -> TableFile:
    """Open one file of an input, by the ending of its name unless ``reading`` says what it is.

    Raises:
        InputError: it cannot be read, or its name says that it is no table.
    """
    kind, compression = _kind(path)
    if reading and reading.format:
        kind = _SAID[reading.format]
    try:
        if kind in _TEXT:

            def text(at: int) -> Any:
                return _text(root, path, scratch, access, at, compression)

            if kind == ".csv":
                return CsvTable(shown(path), text, not compression, reading.delimited if reading else ReadDelimited())
            return JsonLinesTable(shown(path), text, not compression)
        if kind in (*_PARQUET, *_ARROW):
            reader = _reader(root, path, scratch, access)
            source = _source(reader, compression)
            far = None if compression or isinstance(reader, Path) else reader
            return ParquetTable(source, in_rows, far) if kind in _PARQUET else ArrowTable(source, in_rows)
    except BROKEN as error:
        raise cannot_read(path, error) from None
    raise InputError(
        f"'{shown(path)}' is no table: those are {' '.join((*_TEXT, *_PARQUET, *_ARROW))}",
        mend="For other files give mini_batch_size as a number of files.",
    )


def _kind(path: str) -> tuple[str, str | None]:
    """The ending that names the format, and the compression around it."""
    name = PurePosixPath(path.lower())
    compression = _COMPRESSED.get(name.suffix)
    return (PurePosixPath(name.stem).suffix if compression else name.suffix), compression


def _source(reader: Any, compression: str | None) -> Any:
    """A file for Arrow's readers, which jump about in it."""
    if compression:
        return pa.BufferReader(pa.CompressedInputStream(_stream(reader), compression).read())
    return pa.memory_map(str(reader)) if isinstance(reader, Path) else pa.PythonFile(reader, mode="r")


def _text(root: str, path: str, scratch: Path, access: Access, at: int, compression: str | None) -> Any:
    reader = _reader(root, path, scratch, access)
    if not compression:
        source: Any = pa.OSFile(str(reader)) if isinstance(reader, Path) else reader
        source.seek(at)
        return source
    source = pa.CompressedInputStream(_stream(reader), compression)
    while at:  # compressed files are read from their beginning
        at -= len(source.read(min(at, 1 << 20))) or at
    return source


def _reader(root: str, path: str, scratch: Path, access: Access) -> Any:
    """A file where it is, or the path of what is on this disk: it was there, or had to be copied."""
    root, path, scratch = own_root(root, path, scratch)
    place = open_place(root, access)
    copy = scratch / path
    if not place.disk and copy.exists():
        return copy
    reader = place.open_ranges(path)
    return fetch(root, path, scratch, access) if reader is None else reader


def _stream(reader: Any) -> Any:
    """… that is read from its begin to its end."""
    if isinstance(reader, Path):
        return pa.OSFile(str(reader))
    return pa.PythonFile(io.BufferedReader(reader, PIECE_BYTES), mode="r")
