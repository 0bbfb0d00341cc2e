"""Tables of an input: cut into mini-batches before the job, read part by part where they are scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import pyarrow as pa

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import WHOLE, Cuts, Part, PartitionSize, TableOutline, partitions
from batch_endpoints.specs import TableReading
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.patience import patiently
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.files.read_errors import BROKEN, cannot_read
from batch_endpoints.storage.inputs.fetch import fetch
from batch_endpoints.storage.tables.column_types import ColumnTypes, wanted_columns
from batch_endpoints.storage.tables.small_csv_files import read_together
from batch_endpoints.storage.tables.table_files import TableFile, is_plain_csv, open_table
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

COLUMNS = b"columns"
"""In the metadata of a table that lacks a column which is wanted: those that its file has, as JSON."""
_OF_FILE = "types of "  # in the metadata of what ``said`` returns, and then a path


def cut_tables(
    root: str,
    files: Iterable[InputFile],
    size: PartitionSize,
    types: ColumnTypes,
    scratch: Path,
    access: Access = AMBIENT,
    reading: TableReading | None = None,
) -> Iterator[list[tuple[str, Part]]]:
    """Mini-batches of tables, in the order of their paths; one file is open at a time.

    Args:
        types: learns what the columns of text files hold.
        scratch: a folder for what cannot be read in place.
        reading: how they are read, where somebody says more than their names.
    """
    ordered = sorted(files, key=lambda file: file.path)

    def outline(path: str) -> TableOutline:
        return _outline(path, types, lambda: open_table(root, path, scratch, access, size.in_rows, reading))

    return partitions((outline(file.path) for file in ordered), size)


def _outline(path: str, types: ColumnTypes, open_file: Callable[[], TableFile]) -> TableOutline:
    try:
        table = patiently(open_file)
    except InputError as error:
        return TableOutline(path, None, 0, _Unreadable(error))
    return TableOutline(path, table.columns, table.begin, _readable(table.cuts(types), path))


class _Unreadable:
    """Cuts of a file that could not even be opened."""

    def __init__(self, error: InputError) -> None:
        self._error = error

    def __iter__(self) -> Iterator[Cuts]:
        raise self._error


def _readable(cuts: Iterator[Cuts], path: str) -> Iterator[Cuts]:
    try:
        yield from cuts
    except BROKEN as error:
        raise cannot_read(path, error) from None


class PartRows(NamedTuple):
    """What a part holds.

    Args:
        rows: positions in the file of those in the table.
        unreadable: the others, with their positions in the file.
    """

    table: pa.Table
    rows: Sequence[int]
    unreadable: Sequence[UnreadableRow] = ()


class PartReader:
    """Reads parts of files; keeps the last one open, in which the next part will most often be.

    Args:
        root: what the paths are relative to.
        columns: types of columns in text files, which columns are wanted, and how files are read (see ``said``);
            None where nobody has looked.
        isolates: rows that cannot be read fail alone, and not with their part.
    """

    def __init__(
        self,
        root: str,
        columns: pa.Schema | None,
        scratch: Path,
        access: Access = AMBIENT,
        *,
        isolates: bool = False,
    ) -> None:
        self._root, self._types, self._scratch, self._access = root, columns, scratch, access
        self._isolates = isolates
        self._wanted = None if columns is None else wanted_columns(columns)
        self._reading = TableReading() if columns is None else reading_of(columns)
        if self._wanted is None and self._reading.keep:
            self._wanted = list(self._reading.keep)
        self._is_here = not root or open_place(root, access).disk is not None
        self._open: tuple[str, TableFile] | None = None

    def read(self, path: str, part: Part) -> pa.Table:
        """The rows of one part that can be read."""
        return self.read_rows(path, part).table

    def read_rows(self, path: str, part: Part, types: pa.Schema | None = None) -> PartRows:
        """The rows of one part, or those of them that are tried again.

        Args:
            types: of columns in text, instead of those that are known.

        Raises:
            InputError: they cannot be read, or are not those that the plan has counted.
        """
        found = patiently(lambda: self._read(path, part._replace(only=()), types or self._types_of(path)))
        if not part.only:
            return found
        there = {row: at for at, row in enumerate(found.rows)} if found.unreadable else None
        last = part.first_row + len(found.rows) + len(found.unreadable) - 1
        if part.only[-1] > last:
            raise InputError(
                f"'{shown(path)}' has {last - part.first_row + 1} rows behind row {part.first_row}, and no row "
                f"{part.only[-1]}",
                mend="It has changed since the job began.",
            )
        rows = part.only if there is None else [row for row in part.only if row in there]
        at = [row - part.first_row if there is None else there[row] for row in rows]
        table = found.table.take(pa.array(at, pa.int64()))
        again = set(part.only)
        return PartRows(table, rows, [bad for bad in found.unreadable if bad.row in again])

    def read_each(
        self, ranges: Sequence[tuple[str, Part]], types: pa.Schema | None = None
    ) -> Iterator[PartRows | InputError]:
        """What ``read_rows`` returns or raises for each of these, sooner where many of them are small files."""
        tables = [None] * len(ranges) if types else self._together(ranges)
        for (path, part), table in zip(ranges, tables, strict=True):
            try:
                yield self.read_rows(path, part, types) if table is None else PartRows(table, range(table.num_rows))
            except InputError as error:
                yield error

    def _together(self, ranges: Sequence[tuple[str, Part]]) -> Sequence[pa.Table | None]:
        """The tables of files that can be read together; None for all others."""
        folder = open_place(self._root, self._access).disk if self._root else None
        types, wanted = self._types, self._wanted
        known = types is not None and wanted is not None and set(wanted) <= set(types.names)
        small = known and self._reading == TableReading()
        if not (folder and small and all(part == WHOLE and is_plain_csv(path) for path, part in ranges)):
            return [None] * len(ranges)
        places = [folder / path for path, _ in ranges]
        if not all(map(self._access.opens, places)):
            return [None] * len(ranges)
        return read_together(places, wanted or [], types)

    def _types_of(self, path: str) -> pa.Schema | None:
        known = (self._types.metadata if self._types is not None else None) or {}
        own = known.get((_OF_FILE + path).encode())
        return self._types if own is None else pa.ipc.read_schema(pa.py_buffer(own))

    def _read(self, path: str, part: Part, types: pa.Schema | None) -> PartRows:
        if part == WHOLE and not self._is_here:  # once, instead of piece by piece
            copy = fetch(self._root, path, self._scratch, self._access)
            try:
                here = PartReader(self._scratch.as_uri(), self._types, self._scratch, isolates=self._isolates)
                return here.read_rows(path, part, types)
            finally:
                copy.unlink()
        if self._open is None or self._open[0] != path:
            self._open = None
            self._open = path, open_table(self._root, path, self._scratch, self._access, reading=self._reading)
        unreadable: list[UnreadableRow] = []
        try:
            table = self._open[1].read(part, self._wanted, types, unreadable if self._isolates else None)
        except BROKEN as error:
            self._open = None
            raise cannot_read(path, error) from None
        count = table.num_rows + len(unreadable)
        if part.rows not in (-1, count):
            raise InputError(
                f"'{shown(path)}' has {count} rows where {part.rows} were counted behind row {part.first_row}",
                mend="It has changed since the job began, or its lines are no rows.",
            )
        rows: Sequence[int] = range(part.first_row, part.first_row + count)
        if unreadable:
            bad = {one.row for one in unreadable}
            rows = [row for at, row in enumerate(rows) if at not in bad]
            unreadable = [one._replace(row=one.row + part.first_row) for one in unreadable]
        return PartRows(self._with_columns(self._kept(table, path)), rows, unreadable)

    def _with_columns(self, table: pa.Table) -> pa.Table:
        """The table; where it lacks a column that is wanted, with the names of those that its file has."""
        assert self._open
        there = self._open[1].columns
        if there is None or self._wanted is None or set(self._wanted) <= set(table.column_names):
            return table
        return table.replace_schema_metadata({**(table.schema.metadata or {}), COLUMNS: json.dumps(there)})

    def _kept(self, table: pa.Table, path: str) -> pa.Table:
        """The columns that are to stay."""
        keep, drop = self._reading.keep, self._reading.drop
        if keep is None and not drop:
            return table
        assert self._open
        there = self._open[1].columns
        if there is not None and (lacking := [name for name in (*(keep or ()), *drop) if name not in there]):
            raise InputError(
                f"'{shown(path)}' has no column '{lacking[0]}', which the transformations of its table name"
            )
        return table.select([n for n in table.column_names if (keep is None or n in keep) and n not in drop])


def said(
    columns: pa.Schema, reading: TableReading | None, of_files: Mapping[str, ColumnTypes] | None = None
) -> bytes:
    """What is known of the columns, with how files are read, as a plan keeps it; ``PartReader`` takes its schema.

    Args:
        of_files: files that have types of their own.
    """
    more: dict[str, bytes | str] = {"reading": reading.model_dump_json()} if reading else {}
    for path, types in (of_files or {}).items():
        if not (own := types.schema()).equals(columns, check_metadata=True):
            more[_OF_FILE + path] = own.serialize().to_pybytes()
    return cast(bytes, columns.with_metadata({**(columns.metadata or {}), **more}).serialize().to_pybytes())


def reading_of(columns: pa.Schema) -> TableReading:
    """How files are read, from what a plan says of their columns."""
    written = (columns.metadata or {}).get(b"reading")
    return TableReading.model_validate_json(written) if written else TableReading()
