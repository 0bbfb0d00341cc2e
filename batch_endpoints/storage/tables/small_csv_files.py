"""Small CSV files with one header, parsed as one text: a parser costs more for each call than for a hundred rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from batch_endpoints.errors import InputError
from batch_endpoints.planning.partitions import WHOLE
from batch_endpoints.storage.tables.csv_table import CsvTable

_SMALL_BYTES = 256 << 10
_TOGETHER_BYTES = 16 << 20
_BOM = b"\xef\xbb\xbf"


class _PlainText(NamedTuple):
    """A text in which every line is a record.

    Args:
        body: without the line break at its end.
        batch: those of one number are parsed together.
    """

    header: bytes
    body: bytes
    rows: int
    batch: int


def read_together(places: Sequence[Path], wanted: Sequence[str], types: pa.Schema) -> list[pa.Table | None]:
    """The rows of each file; None for those that have to be read alone, with whatever is wrong with them.

    Args:
        wanted: the columns that are read.
        types: of all of these: a file must say nothing about the others.
    """
    found: list[pa.Table | None] = [None] * len(places)
    texts = enumerate(_plain_texts(places))
    for _, alike in groupby(texts, key=lambda one: one[1] and (one[1].header, one[1].batch)):
        numbers, group = zip(*alike, strict=True)
        for number, table in zip(numbers, _parsed(group, wanted, types), strict=True):
            found[number] = table
    return found


def _parsed(texts: Sequence[_PlainText | None], wanted: Sequence[str], types: pa.Schema) -> Iterator[pa.Table | None]:
    plain = [text for text in texts if text]
    nothing = [None] * len(texts)
    if len(plain) < 2:
        return iter(nothing)
    data = b"\n".join([plain[0].header, *(text.body for text in plain if text.rows)])

    def opened(at: int) -> io.BytesIO:
        file = io.BytesIO(data)
        file.seek(at)
        return file

    try:
        file = CsvTable("", opened, splits=True)
        if (
            file.layout.written
        ):  # one file may have a separator at the end of its lines, and another one names of rows
            return iter(nothing)
        table = file.read(WHOLE, wanted, types)
    except InputError:
        return iter(nothing)
    if table.num_rows != sum(text.rows for text in plain):
        return iter(nothing)
    return _slices(table, [text.rows for text in plain])


def _slices(table: pa.Table, rows: Sequence[int]) -> Iterator[pa.Table]:
    at = 0
    for count in rows:
        yield table.slice(at, count)
        at += count


def _plain_texts(places: Sequence[Path]) -> Iterator[_PlainText | None]:
    batch = room = 0
    for place in places:
        text = _plain(place)
        if text is None:
            yield None
            continue
        if len(text.body) > room:
            batch, room = batch + 1, _TOGETHER_BYTES
        room -= len(text.body)
        yield text._replace(batch=batch)


def _plain(place: Path) -> _PlainText | None:
    try:
        with place.open("rb") as file:
            data = file.read(_SMALL_BYTES + 1)
    except OSError:
        return None
    if len(data) > _SMALL_BYTES:
        return None
    data = data.removeprefix(_BOM).replace(b"\r\n", b"\n")
    header, _, body = data.partition(b"\n")
    if not header or b'"' in data or b"\r" in data or body.startswith(b"\n") or b"\n\n" in body:
        return None
    body = body.removesuffix(b"\n")
    return _PlainText(header, body, body.count(b"\n") + 1 if body else 0, 0)
