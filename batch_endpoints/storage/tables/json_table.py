"""JSON lines as tables; value by value where Arrow's reader refuses them, as it does fields of several kinds."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.json

from batch_endpoints.storage.tables.column_types import (
    ColumnTypes,
    beyond_doubles,
    join,
    kind_of_number,
    kind_of_numbers,
    without_values,
)
from batch_endpoints.storage.tables.text_table import TextTable

_PLAIN: dict[type, pa.DataType] = {
    type(None): pa.null(),
    bool: pa.bool_(),
    str: pa.string(),
}
_DEEPEST = 32  # levels of lists and objects
_NULL_FIRST = re.compile(rb"\s*null")
_TOO_DEEP = "it is nested too deeply"
_EXACT = 1 << 53  # up to here a float is the whole number that was written


class JsonLinesTable(TextTable):
    """One JSON object a line; fields that a row lacks are null."""

    def _learn(self, data: bytes, types: ColumnTypes) -> None:
        if types.complete:
            return
        try:
            table = self._read(data, None, "infer")
            if any(map(beyond_doubles, table.columns)):  # and Arrow may have rounded what was written
                raise ValueError
            kinds = map(kind_of_numbers, table.columns)
            schema = pa.schema(list(zip(table.column_names, kinds, strict=True)))
            missing = without_values(table)
        except (pa.ArrowException, ValueError, RecursionError):
            schema, missing = infer_types(data)
        fields = [_text_if_deep(schema.field(name)) for name in types.unknown(schema.names)]
        if types.found:  # by rows that may lack what is new here, as these may lack what was there
            missing |= {*types.found} ^ {field.name for field in fields}
        types.add(pa.schema(fields), missing)

    def _parse(self, data: bytes, columns: Sequence[str] | None, types: pa.Schema) -> pa.Table:
        schema = pa.schema([field for field in types if columns is None or field.name in columns])
        try:
            return self._read(data, schema, "error" if columns is None else "ignore")
        except (pa.ArrowException, ValueError):
            return read_values(data, schema, ignore_others=columns is not None)

    def _read(self, data: bytes, schema: pa.Schema | None, unexpected: str) -> pa.Table:
        if not data.strip():
            return (schema or pa.schema([])).empty_table()
        if (
            _NULL_FIRST.match(data) or b"\nnull" in data
        ):  # Arrow takes it for a row, and crashes where it is the first
            raise ValueError("null is no JSON object")
        if not data.isascii():  # which the reader takes as it is
            pa.array([data], pa.large_binary()).cast(pa.large_string())
        return pyarrow.json.read_json(
            pa.BufferReader(data),
            read_options=pyarrow.json.ReadOptions(block_size=max(len(data), 1), use_threads=False),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=unexpected
            ),
        )


def _text_if_deep(field: pa.Field) -> pa.Field:
    """The field; of text where its values are nested deeper than Arrow sends them from one process to another."""
    level = [field.type]
    for _ in range(_DEEPEST):
        level = [kind.field(at).type for kind in level for at in range(kind.num_fields)]
        if not level:
            return field
    return field.with_type(pa.string())


def infer_types(data: bytes) -> tuple[pa.Schema, set[str]]:
    """The types that hold all values of these lines, and the fields that some of them lack.

    A line that is no object tells nothing.
    """
    kinds: dict[str, set[pa.DataType]] = defaultdict(set)
    there: Counter[str] = Counter()
    lines = 0
    for line in _lines(data):
        try:
            record = _record(line)
            found = {name: _kind(value) for name, value in record.items()}
        except (ValueError, RecursionError):  # who reads this row will tell
            continue
        lines += 1
        for name, kind in found.items():
            kinds[name].add(kind)
            there[name] += record[name] is not None
    schema = pa.schema([(name, reduce(join, found)) for name, found in kinds.items()])
    return schema, {name for name in kinds if there[name] < lines}


def read_values(data: bytes, schema: pa.Schema, *, ignore_others: bool) -> pa.Table:
    """The rows of these lines.

    Args:
        ignore_others: leave out fields that the schema lacks.

    Raises:
        ValueError: a line is no object, or a value is none of its field.
    """
    records = [_record(line) for line in _lines(data)]
    if not ignore_others:
        for record in records:
            _refuse_others(record, schema.names)
    columns = []
    for field in schema:
        try:
            values = [_as(record.get(field.name), field.type, ignore_others) for record in records]
            columns.append(pa.array(values, field.type))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"field {field.name}: {error}") from None
        except RecursionError:
            raise ValueError(f"field {field.name}: {_TOO_DEEP}") from None
    return pa.table(columns, schema=schema) if columns else pa.table({})


def _lines(data: bytes) -> Iterator[bytes]:
    return (line for line in data.splitlines() if line.strip(b" \t"))


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(record, dict):
        raise ValueError(f"{_short(record)} is no JSON object")
    return record


def _kind(value: Any) -> pa.DataType:
    if isinstance(value, dict):
        return pa.struct([(name, _kind(inner)) for name, inner in value.items()])
    if isinstance(value, list):
        return pa.list_(reduce(join, map(_kind, value), pa.null()))
    if type(value) in (int, float):
        return kind_of_number(value)
    return _PLAIN[type(value)]


def _as(value: Any, kind: pa.DataType, ignore_others: bool) -> Any:
    """A value as Arrow takes it for a type."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if pa.types.is_floating(kind) and number:
        return float(value)
    if pa.types.is_integer(kind) and number and (isinstance(value, int) or _is_whole(value)):
        return int(value)
    if pa.types.is_boolean(kind) and isinstance(value, bool):
        return value
    if pa.types.is_list(kind) and isinstance(value, list):
        return [_as(one, kind.value_type, ignore_others) for one in value]
    if pa.types.is_struct(kind) and isinstance(value, dict):
        if not ignore_others:
            _refuse_others(value, [field.name for field in kind])
        return {field.name: _as(value.get(field.name), field.type, ignore_others) for field in kind}
    raise ValueError(f"{_short(value)} is no {kind}")


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) <= _EXACT


def _refuse_others(record: dict[str, Any], names: list[str]) -> None:
    for name in record:
        if name not in names:
            raise ValueError(f"unexpected field {name}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
