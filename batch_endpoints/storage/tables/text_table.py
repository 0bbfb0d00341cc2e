"""Text as tables, whatever its format: where it may be cut, and the rows between two cuts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE, Cuts, Part
from batch_endpoints.storage.tables.column_types import ColumnTypes, columns_with_missing, tell_missing
from batch_endpoints.storage.tables.text_records import RecordScanner, blocks
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow, readable_rows

LONGEST = 64 << 20  # bytes of a row; one that has more has most often a quote that nothing closes
_BOM = b"\xef\xbb\xbf"
_LARGEST = (1 << 31) - 1  # bytes that pyarrow's readers take at once


class TextTable:
    """One file of rows in text.

    Args:
        name: for people.
        open_file: opens it at a position, in bytes of the text, which may be compressed in the file.
        splits: a part of it can be read without what is before.
    """

    schema: pa.Schema | None = None  # text has no types
    _quotes, _delimiter = False, ","

    def __init__(self, name: str, open_file: Callable[[int], Any], splits: bool) -> None:
        self._name, self._open, self._splits = name, open_file, splits
        with open_file(0) as file:
            self.begin = len(_BOM) if file.read(len(_BOM)) == _BOM else 0

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Those that it names; None where each row does so."""
        return None

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]:
        """Where it may be cut; ``types`` learns what the rows on the way look like."""
        whole: Cuts | None = None
        for cuts in self._records(self.begin, 0, None if types is None or types.complete else types):
            whole = Cuts(cuts.ends[-1:], cuts.rows[-1:])
            if self._splits:
                yield cuts
        if whole and not self._splits:
            yield whole

    def _records(self, start: int, first: int, types: ColumnTypes | None) -> Iterator[Cuts]:
        """The ends of all records from one on.

        Args:
            first: its position among the rows.
        """
        rows, at, last = first, start, start
        kept: list[bytes] = []  # of the record at hand, for ``types``
        scanner = RecordScanner(quotes=self._quotes, begin=start, delimiter=self._delimiter)
        for block in self._blocks(start):
            ends = scanner.ends(block)
            rest = block
            if len(ends):
                if types is not None:
                    size = int(ends[-1]) - at
                    self._learn(b"".join([*kept, block[:size]]), types)
                    kept, rest = [], block[size:]
                last = int(ends[-1])
                yield Cuts(ends, range(rows + 1, rows + len(ends) + 1))
                rows += len(ends)
            if types is not None:
                kept.append(rest)
            at += len(block)
            if at - last > LONGEST:
                raise self._too_long(rows, scanner.open_quote)
        if (end := scanner.last()) is not None:
            if types is not None:
                self._learn(b"".join(kept), types)
            yield Cuts([end], [rows + 1])

    def _too_long(self, row: int, open_quote: int | None) -> InputError:
        what = f"row {row} of '{self._name}' is longer than {LONGEST >> 20} MB"
        if open_quote is None:
            return InputError(what, mend="A row ends with its line.")
        return InputError(f"{what}: nothing closes the quote at byte {open_quote}", mend="Close it, or double it.")

    def read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        types: pa.Schema | None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> pa.Table:
        """The rows of a part.

        Args:
            columns: None for all; those that the file lacks are left out.
            types: None where nobody has looked at the file. A whole file is looked at for what they lack.
            unreadable: gets the rows that cannot be read; None where these fail the part.
        """
        if types is None or part == WHOLE:
            found = ColumnTypes({field.name: field.type for field in types or ()}, columns)
            if not found.complete:
                for _ in self.cuts(found):
                    pass
            types = found.schema()
        start = max(part.start, self.begin)
        if part.end < 0 and part.start:  # what could not be cut: why, before all of it is read
            for _ in self._records(start, part.first_row, None):
                pass
        with self._open(start) as file:
            data = file.read() if part.end < 0 else file.read(part.end - start)
        if len(data) > _LARGEST:
            mend = "Give a smaller mini_batch_size." if self._splits else "Split it, or decompress it to have it cut."
            raise InputError(f"{len(data)} bytes of '{self._name}' are too many at once", mend=mend)
        try:
            table = self._parse(data, columns, types)
            failed = part.rows not in (-1, table.num_rows)
        except (pa.ArrowException, ValueError) as error:
            if unreadable is None:
                raise InputError(f"'{self._name}' cannot be read: {error}") from None
            failed = True
        if failed and unreadable is not None:
            table, bad = self._row_by_row(data, columns, types)
            unreadable += bad
        return tell_missing(table.replace_schema_metadata({"text": "1"}), columns_with_missing(types))

    def _row_by_row(
        self, data: bytes, columns: Sequence[str] | None, types: pa.Schema
    ) -> tuple[pa.Table, list[UnreadableRow]]:
        scanner = RecordScanner(quotes=self._quotes, delimiter=self._delimiter)
        ends = scanner.ends(data).tolist()
        if (last := scanner.last()) is not None:
            ends.append(last)
        return readable_rows(data, ends, lambda rows: self._parse(rows, columns, types), self._filled_up)

    def _blocks(self, start: int) -> Iterator[bytes]:
        with self._open(start) as file:
            yield from blocks(file)

    def _learn(self, data: bytes, types: ColumnTypes) -> None:
        raise NotImplementedError

    def _parse(self, data: bytes, columns: Sequence[str] | None, types: pa.Schema) -> pa.Table:
        """Raises ArrowException or ValueError."""
        raise NotImplementedError

    def _filled_up(self, record: bytes) -> bytes | None:
        """The record with what it lacks at its end, where a reader may take that as missing."""
        return None
