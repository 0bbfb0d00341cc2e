"""Text as tables, above all CSV: where it may be cut, and the rows between two cuts."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE, Cuts, Part
from batch_endpoints.specs import ReadDelimited
from batch_endpoints.storage.column_types import (
    ColumnTypes,
    beyond_doubles,
    columns_with_missing,
    join,
    kind_of_number,
    kind_of_numbers,
    tell_missing,
    without_values,
)
from batch_endpoints.storage.readable_rows import UnreadableRow, readable_rows
from batch_endpoints.storage.text_blocks import blocks
from batch_endpoints.storage.text_records import RecordScanner, ends_in_quotes

LONGEST = 64 << 20  # bytes of a row; one that has more has most often a quote that nothing closes
_BOM = b"\xef\xbb\xbf"
_LARGEST = (1 << 31) - 1  # bytes that pyarrow's readers take at once
# what pandas takes for a missing value; pyarrow's own list lacks some of them
_MISSING = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]


# what tells of a column that it is of truth values: 1 and 0 tell that it is of numbers
_DIGITS = re.compile(r"^\s*-?\d+\s*$", re.ASCII)
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]


class TextTable:
    """One file of rows in text.

    Args:
        name: for people.
        open_file: opens it at a position, in bytes of the text, which may be compressed in the file.
        splits: a part of it can be read without what is before.
    """

    columns: tuple[str, ...] | None = None
    _quotes, _delimiter = False, ","

    def __init__(self, name: str, open_file: Callable[[int], Any], splits: bool) -> None:
        self._name, self._open, self._splits = name, open_file, splits
        with open_file(0) as file:
            self.begin = len(_BOM) if file.read(len(_BOM)) == _BOM else 0

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


_COMMAS = ReadDelimited()


class CsvTable(TextTable):
    """Comma-separated values; the first record names the columns, unless ``delimited`` says otherwise."""

    _quotes = True

    def __init__(
        self, name: str, open_file: Callable[[int], Any], splits: bool, delimited: ReadDelimited = _COMMAS
    ) -> None:
        super().__init__(name, open_file, splits)
        self._delimited, self._delimiter = delimited, delimited.delimiter
        self.begin, self.columns = self._header()

    def _header(self) -> tuple[int, tuple[str, ...]]:
        scanner, head, end = RecordScanner(quotes=True, begin=self.begin, delimiter=self._delimiter), b"", None
        for block in self._blocks(self.begin):
            head += block
            ends = scanner.ends(block)
            if len(ends):
                end = int(ends[0])
                break
            if len(head) > LONGEST:
                raise InputError(f"the header of '{self._name}' is longer than {LONGEST >> 20} MB")
        else:
            end = scanner.last()
        if end is None:
            raise InputError(f"'{self._name}' is empty: it has no header", mend="A CSV file begins with its columns.")
        try:
            text = head[: end - self.begin].decode(self._delimited.encoding).lstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"the header of '{self._name}' is not UTF-8: {error}") from None
        try:
            names = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter))
        except csv.Error as error:
            raise InputError(f"the header of '{self._name}' cannot be read: {error}") from None
        if self._delimited.header == "no_header":
            return self.begin, tuple(f"Column{number}" for number in range(1, len(names) + 1))
        return end, tuple(_distinct(names))

    def _learn(self, data: bytes, types: ColumnTypes) -> None:
        unknown = types.unknown(self.columns or ())
        if not self._delimited.infer_column_types:
            types.add(pa.schema([(name, pa.string()) for name in unknown]))
        elif unknown:
            with contextlib.suppress(pa.ArrowException, ValueError):  # who reads these rows will tell
                short: list[int] = []
                table = self._read(data, unknown, {}, short)
                lacking = (self.columns or ())[min(short, default=len(self.columns or ())) :]
                kinds = [self._kind(data, name, table[name]) for name in table.column_names]
                schema = pa.schema(list(zip(table.column_names, kinds, strict=True)))
                types.add(schema, without_values(table) | {*lacking} & {*unknown})

    def _kind(self, data: bytes, name: str, column: pa.ChunkedArray) -> pa.DataType:
        if not beyond_doubles(column):
            return kind_of_numbers(column)
        texts = self._read(data, [name], {name: pa.string()}, [])[name].drop_null().to_pylist()
        return reduce(join, {kind_of_number(int(text) if _DIGITS.match(text) else float(text)) for text in texts})

    def _parse(self, data: bytes, columns: Sequence[str] | None, types: pa.Schema) -> pa.Table:
        names = [name for name in self.columns or () if columns is None or name in columns]
        if not names:
            raise InputError(f"'{self._name}' has none of the columns {', '.join(columns or ())}")
        known = {name: types.field(name).type for name in names if name in types.names}
        wanted = {name: known.get(name, pa.string()) for name in names}
        try:
            return self._read(data, names, wanted)
        except pa.ArrowInvalid:
            whole = [name for name, kind in wanted.items() if pa.types.is_integer(kind)]
            if not whole:
                raise
            with contextlib.suppress(pa.ArrowInvalid):  # 1.0, as pandas writes them where one is missing
                table = self._read(data, names, wanted | dict.fromkeys(whole, pa.string()))
                for name in whole:
                    at = table.column_names.index(name)
                    table = table.set_column(at, name, _whole_numbers(table[name], wanted[name]))
                return table
            raise

    def _filled_up(self, record: bytes) -> bytes | None:
        text = record.strip(b"\r\n")
        try:
            fields = next(csv.reader([text.decode(errors="replace")], delimiter=self._delimiter, strict=True))
        except csv.Error:  # a quote that nothing closes
            return None
        lacking = len(self.columns or ()) - len(fields)
        return text + self._delimiter.encode() * lacking if lacking > 0 and text.strip() else None

    def _read(
        self, data: bytes, names: Sequence[str], types: dict[str, pa.DataType], short: list[int] | None = None
    ) -> pa.Table:
        if not data.strip(b"\r\n"):
            return pa.table({name: pa.array([], types.get(name, pa.null())) for name in names})
        learn = short is not None

        def skip(row: Any) -> str:
            if short is not None:
                short.append(row.actual_columns)
            return "skip"

        has_quotes = b'"' in data
        if has_quotes and ends_in_quotes(data, self._delimiter):  # the reader takes it for closed by the end
            raise ValueError("nothing closes a quote in the last row")
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(
                column_names=self.columns,
                block_size=max(len(data), 1),
                use_threads=False,
                encoding=self._delimited.encoding,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=has_quotes,
                invalid_row_handler=skip if learn else None,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=names,
                null_values=_MISSING,
                strings_can_be_null=not self._delimited.empty_as_string,
                true_values=_TRUE if learn else None,
                false_values=_FALSE if learn else None,
            ),
        )


def _whole_numbers(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Whole numbers, some of which are written as fractions.

    Raises:
        pa.ArrowInvalid: one is none, or so large that other whole numbers are the same fraction.
    """
    digits = pc.match_substring_regex(texts, _DIGITS.pattern)
    fractions = pc.if_else(digits, None, texts).cast(pa.float64())
    if (pc.max(pc.abs(fractions)).as_py() or 0) >= 1 << 53:
        raise pa.ArrowInvalid("a fraction is too large to be one whole number alone")
    return pc.coalesce(pc.if_else(digits, texts, None).cast(kind), fractions.cast(kind))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names as pandas makes them distinct: ``a``, ``a.1``; a column without one is ``Unnamed: 3``."""
    found: list[str] = []
    for at, name in enumerate(names):
        name = name or f"Unnamed: {at}"
        distinct, number = name, 0
        while distinct in found:
            number += 1
            distinct = f"{name}.{number}"
        found.append(distinct)
    return found
