"""CSV as tables: its header, what stands for a missing value, and types that keep every number exact."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import Cuts, Part
from batch_endpoints.specs import ReadDelimited
from batch_endpoints.storage.tables import text_table
from batch_endpoints.storage.tables.column_names import columns_there
from batch_endpoints.storage.tables.column_types import (
    ColumnTypes,
    beyond_doubles,
    join,
    kind_of_number,
    kind_of_numbers,
    layout_of,
    without_values,
)
from batch_endpoints.storage.tables.csv_layout import FieldsBehind, Layout, found_layout, read_layout
from batch_endpoints.storage.tables.text_records import RecordScanner, ends_in_quotes
from batch_endpoints.storage.tables.text_table import TextTable
from batch_endpoints.storage.tables.unreadable_rows import UnreadableRow

# what pandas takes for a missing value; pyarrow's own list lacks some of them
_MISSING = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
]


# what tells of a column that it is of truth values: 1 and 0 tell that it is of numbers
_DIGITS = re.compile(r"^\s*[+-]?\d+\s*$", re.ASCII)
_HEX = (b"0x", b"0X")
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
_COMMAS = ReadDelimited()


class CsvTable(TextTable):
    """Comma-separated values; the first record names the columns, unless ``delimited`` says otherwise."""

    _quotes = True

    def __init__(
        self, name: str, open_file: Callable[[int], Any], splits: bool, delimited: ReadDelimited = _COMMAS
    ) -> None:
        super().__init__(name, open_file, splits)
        self._delimited, self._delimiter = delimited, delimited.delimiter
        self._layout: Layout | None = None
        self._header, self._first_record = self._beginning()
        if delimited.header == "no_header":
            self._header = [f"Column{number}" for number in range(1, len(self._header) + 1)]
            self._layout = Layout(tuple(self._header))

    @property
    def layout(self) -> Layout:
        """Which fields of its lines are columns; all lines are looked at where the first ones leave that open."""
        if self._layout is None:
            self._layout = found_layout(self._header, self._first_record, self._look_behind)
        return self._layout

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    def cuts(self, types: ColumnTypes | None) -> Iterator[Cuts]:
        if types is not None and (written := self.layout.written):
            types.layouts[self._name] = written
        return super().cuts(types)

    def read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        types: pa.Schema | None,
        unreadable: list[UnreadableRow] | None = None,
    ) -> pa.Table:
        if self._layout is None and (written := layout_of(types, self._name)):
            self._layout = read_layout(self._header, written)
        return super().read(part, columns, types, unreadable)

    def _beginning(self) -> tuple[list[str], int]:
        """The names in the header, and how many fields the record behind it has; ``begin`` moves there."""
        scanner, head, ends = (
            RecordScanner(quotes=True, begin=self.begin, delimiter=self._delimiter),
            b"",
            list[int](),
        )
        for block in self._blocks(self.begin):
            head += block
            ends += scanner.ends(block)[: 2 - len(ends)].tolist()
            if len(ends) == 2 or (ends and len(head) > text_table.LONGEST):
                break
            if len(head) > text_table.LONGEST:
                raise InputError(f"the header of '{self._name}' is longer than {text_table.LONGEST >> 20} MB")
        else:
            if (last := scanner.last()) is not None:
                ends.append(last)
        if not ends:
            raise InputError(f"'{self._name}' is empty: it has no header", mend="A CSV file begins with its columns.")
        begin, end = self.begin, int(ends[0])
        try:
            text = head[: end - begin].decode(self._delimited.encoding).lstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"the header of '{self._name}' is not UTF-8: {error}") from None
        try:
            names = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter))
        except csv.Error as error:
            raise InputError(f"the header of '{self._name}' cannot be read: {error}") from None
        if self._delimited.header == "no_header":
            return names, len(names)
        self.begin = end
        record = head[end - begin : int(ends[1]) - begin] if len(ends) > 1 else b""
        return names, self._count_fields(record) or len(names)

    def _count_fields(self, record: bytes) -> int:
        """0 where a quote is not closed."""
        text = record.strip(b"\r\n").decode(errors="replace")
        try:
            return len(next(csv.reader([text], delimiter=self._delimiter, strict=True), ()))
        except csv.Error:
            return 0

    def _look_behind(self, place: int, width: int) -> FieldsBehind:
        """Look at all records for fields behind those that have names; see ``found_layout``."""
        names = [str(number) for number in range(width)]
        types, others = dict.fromkeys(names[place:], pa.string()), list[int]()
        rows, text, rest = 0, False, b""
        scanner, at = RecordScanner(quotes=True, begin=self.begin, delimiter=self._delimiter), self.begin
        for block in chain(self._blocks(self.begin), [None]):
            records, rest = rest + (block or b""), b""
            if block is not None:
                ends = scanner.ends(block)
                size = int(ends[-1]) - at if len(ends) else 0
                records, rest, at = records[:size], records[size:], at + size
            with contextlib.suppress(pa.ArrowException, ValueError):  # who reads these rows will tell
                table = self._read(records, names[place:], types, others, names)
                rows += table.num_rows
                text = text or any(pc.any(pc.not_equal(column, "")).as_py() for column in table.columns)
        return FieldsBehind(text, rows > len(others))

    def _learn(self, data: bytes, types: ColumnTypes) -> None:
        unknown = types.unknown(self.columns or ())
        if not self._delimited.infer_column_types:
            types.add(pa.schema([(name, pa.string()) for name in unknown]))
        elif unknown:
            with contextlib.suppress(pa.ArrowException, ValueError):  # who reads these rows will tell
                short: list[int] = []
                table = self._read(data, unknown, {}, short)
                lacking = (self.columns or ())[min(short, default=len(self.columns or ())) :]
                hex_there = any(prefix in data for prefix in _HEX)
                kinds = [self._kind(data, name, table[name], hex_there) for name in table.column_names]
                schema = pa.schema(list(zip(table.column_names, kinds, strict=True)))
                types.add(schema, without_values(table) | {*lacking} & {*unknown})

    def _kind(self, data: bytes, name: str, column: pa.ChunkedArray, hex_there: bool) -> pa.DataType:
        if hex_there and pa.types.is_integer(column.type):  # Arrow reads 0x1F as a number, and so changes its text
            texts = self._read(data, [name], {name: pa.string()}, [])[name]
            if pc.any(pc.match_substring_regex(texts, "[xX]")).as_py():
                return pa.string()
        if not beyond_doubles(column):
            return kind_of_numbers(column)
        texts = self._read(data, [name], {name: pa.string()}, [])[name].drop_null().to_pylist()
        return reduce(join, {kind_of_number(int(text) if _DIGITS.match(text) else float(text)) for text in texts})

    def _parse(self, data: bytes, columns: Sequence[str] | None, types: pa.Schema) -> pa.Table:
        names = [name for name in self.columns or () if columns is None or name in columns]
        if not names:
            there = columns_there(self.columns or ())
            raise InputError(f"'{self._name}' has none of the columns {', '.join(columns or ())}; {there}")
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
        lacking = len(self.layout.fields) - (self._count_fields(record) or len(self.layout.fields))
        if self.layout.before or lacking <= 0 or not text.strip():
            return None
        return text + self._delimiter.encode() * lacking

    def _read(
        self,
        data: bytes,
        names: Sequence[str],
        types: dict[str, pa.DataType],
        short: list[int] | None = None,
        fields: Sequence[str] = (),
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
                column_names=fields or self.layout.fields,
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
                strings_can_be_null=not (fields or self._delimited.empty_as_string),
                true_values=_TRUE if learn else None,
                false_values=_FALSE if learn else None,
            ),
        )


def _whole_numbers(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Whole numbers, some of which are written as fractions.

    Raises:
        pa.ArrowInvalid: one is none, or so large that other whole numbers are the same fraction.
    """
    texts = pc.replace_substring_regex(texts, r"^\s*\+", "")
    digits = pc.match_substring_regex(texts, _DIGITS.pattern)
    fractions = pc.if_else(digits, None, texts).cast(pa.float64())
    if (pc.max(pc.abs(fractions)).as_py() or 0) >= 1 << 53:
        raise pa.ArrowInvalid("a fraction is too large to be one whole number alone")
    return pc.coalesce(pc.if_else(digits, texts, None).cast(kind), fractions.cast(kind))
