"""JSON lines as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.json

from batch_endpoints.storage import json_values
from batch_endpoints.storage.column_types import (
    ColumnTypes,
    beyond_doubles,
    kind_of_numbers,
    without_values,
)
from batch_endpoints.storage.text_tables import TextTable


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
        except (pa.ArrowException, ValueError):
            schema, missing = json_values.infer(data)
        fields = [schema.field(name) for name in types.unknown(schema.names)]
        if types.found:  # by rows that may lack what is new here, as these may lack what was there
            missing |= {*types.found} ^ {field.name for field in fields}
        types.add(pa.schema(fields), missing)

    def _parse(self, data: bytes, columns: Sequence[str] | None, types: pa.Schema) -> pa.Table:
        schema = pa.schema([field for field in types if columns is None or field.name in columns])
        try:
            return self._read(data, schema, "error" if columns is None else "ignore")
        except (pa.ArrowException, ValueError):
            return json_values.read(data, schema, ignore_others=columns is not None)

    def _read(self, data: bytes, schema: pa.Schema | None, unexpected: str) -> pa.Table:
        if not data.strip():
            return (schema or pa.schema([])).empty_table()
        if not data.isascii():  # which the reader takes as it is
            pa.array([data], pa.large_binary()).cast(pa.large_string())
        return pyarrow.json.read_json(
            pa.BufferReader(data),
            read_options=pyarrow.json.ReadOptions(block_size=max(len(data), 1), use_threads=False),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=unexpected
            ),
        )
