"""The plan of a job as an Arrow file: a record batch for each bundle, read back without making a million objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, repeat
from operator import attrgetter
from typing import BinaryIO, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter

from batch_endpoints.planning.job_plan import Bundle, JobPlan
from batch_endpoints.planning.lazy_sequence import LazySequence
from batch_endpoints.planning.partitions import Part
from batch_endpoints.specs import SkippedFile

T = TypeVar("T")

_PLAN = pa.schema([("bundle", pa.int32()), ("mini_batch", pa.int64()), ("files", pa.list_(pa.string()))])
_NUMBERS, _ROWS = pa.list_(pa.int64()), pa.list_(pa.list_(pa.int64()))
# a plan of parts of files has these columns besides, with a number for each of its files
_PARTS = [pa.field(name, _NUMBERS) for name in ("start", "end", "first_row", "rows")]
_GROUPS = [pa.field(name, _NUMBERS) for name in ("group", "skip")]  # where there are Arrow files
_ONLY = [pa.field("only", _ROWS)]  # of a retry of rows: those of each file

_SKIPPED = TypeAdapter(tuple[SkippedFile, ...])


def plan_bytes(plan: JobPlan) -> pa.Buffer:
    """The file of a plan."""
    of_parts = _PARTS if any(bundle.parts for bundle in plan.bundles) else []
    of_parts = [*of_parts, *(_ONLY if plan.rows else []), *(_GROUPS if plan.has_groups else [])]
    said: dict[str, str | bytes]
    said = {"root": plan.root, "columns": plan.columns, "skipped": _SKIPPED.dump_json(plan.skipped)}
    said["grouped"] = "1" if plan.grouped else ""
    schema = pa.schema([*_PLAN, *of_parts], {key: text for key, text in said.items() if text})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for bundle in plan.bundles:  # a record batch each: a million files never exist at once as Python objects
            count = len(bundle.mini_batches)
            columns = [
                pa.repeat(pa.scalar(bundle.index, pa.int32()), count),
                pa.array(range(bundle.start, bundle.start + count), pa.int64()),
                pa.array(bundle.mini_batches, pa.list_(pa.string())),
            ]
            for field in of_parts:
                value = attrgetter(field.name)
                columns.append(pa.array([[value(part) for part in parts] for parts in bundle.parts], field.type))
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue()


def read_plan(stored: pa.Buffer, retry: int) -> JobPlan:
    with pa.ipc.open_file(stored) as reader:
        metadata = reader.schema.metadata
        grouped = b"grouped" in metadata
        bundles = tuple(_bundle(reader.get_batch(at), retry, grouped) for at in range(reader.num_record_batches))
    skipped = _SKIPPED.validate_json(metadata.get(b"skipped", b"[]"))
    return JobPlan(
        metadata.get(b"root", b"").decode(), bundles, metadata.get(b"columns", b""), retry, skipped, grouped
    )


def read_columns(file: BinaryIO) -> pa.Schema | None:
    """The plan's columns of text files, without reading the rest of it; see ``JobPlan``."""
    with pa.ipc.open_file(file) as reader:
        found = reader.schema.metadata.get(b"columns")
        return None if found is None else pa.ipc.read_schema(pa.py_buffer(found))


def _bundle(batch: pa.RecordBatch, retry: int, grouped: bool) -> Bundle:
    batch = batch.replace_schema_metadata(None)  # which is of the whole plan, and would go with every bundle
    return Bundle(
        index=batch["bundle"][0].as_py(),
        start=batch["mini_batch"][0].as_py(),
        mini_batches=_StoredFiles(batch),
        parts=_StoredParts(batch) if _PARTS[0].name in batch.schema.names else (),
        retry=retry,
        grouped=grouped,
    )


class _Stored(LazySequence[T]):
    """The mini-batches of one bundle."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return int(self._batch.num_rows)


class _StoredFiles(_Stored[tuple[str, ...]]):
    """Cut by hand, which is three times as fast as ``to_pylist`` of lists."""

    def make(self, numbers: range) -> Iterator[tuple[str, ...]]:
        column = self._batch["files"].slice(numbers.start, len(numbers))
        names, ends = column.flatten().to_pylist(), column.offsets.to_pylist()
        return (tuple(names[start - ends[0] : end - ends[0]]) for start, end in pairwise(ends))


class _StoredParts(_Stored[tuple[Part, ...]]):
    def make(self, numbers: range) -> Iterator[tuple[Part, ...]]:
        batch = self._batch.slice(numbers.start, len(numbers))
        there = set(batch.schema.names)
        columns = [
            batch[name].to_pylist() if name in there else repeat(repeat(Part._field_defaults[name]))
            for name in Part._fields
        ]
        if "only" in there:
            at = Part._fields.index("only")
            columns[at] = [[tuple(rows) for rows in of_batch] for of_batch in columns[at]]
        return (tuple(map(Part, *of_batch)) for of_batch in zip(*columns, strict=False))
