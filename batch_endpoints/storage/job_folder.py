"""The job folder: the whole truth about one job, so that any cluster can run or resume it.

job.json            what was asked, resolved and frozen (a person may write job.yml instead)
plan.arrow          the mini-batches and their bundles, written once
commits/  parts/    what counts, and what it points to
retries/<number>/   plan.arrow and commits/ of another try for what has failed; see storage/rounds.py
progress.json       the driver's last word, replaced at most once a second
report.json  failed_items.jsonl  skipped.jsonl  renamed_files.jsonl     the end
cancel  stop        marks: somebody asked for the end; workers shall begin nothing more (cancel-1 once resumed)
output-begun        a mark: what is at the output's place may be this job's own
names-before.json   what others had there before, where scripts have written files; one in retries/<number>/ besides
output-taken        unless this names another job's folder: that has begun to write there since
logs/               driver.log, and one file per worker
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import pairwise, repeat
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import Bundle, JobPlan
from batch_endpoints.planning.made import Made
from batch_endpoints.planning.partitions import Part
from batch_endpoints.specs import JobSpec, JobState, SkippedFile, check
from batch_endpoints.storage.commits import CommitLog, of_retry

T = TypeVar("T")
logger = logging.getLogger(__name__)

_PLAN = pa.schema([("bundle", pa.int32()), ("mini_batch", pa.int64()), ("files", pa.list_(pa.string()))])
_NUMBERS, _ROWS = pa.list_(pa.int64()), pa.list_(pa.list_(pa.int64()))
# a plan of parts of files has these columns besides, with a number for each of its files
_PARTS = [pa.field(name, _NUMBERS) for name in ("start", "end", "first_row", "rows")]
_GROUPS = [pa.field(name, _NUMBERS) for name in ("group", "skip")]  # where there are Arrow files
_ONLY = [pa.field("only", _ROWS)]  # of a retry of rows: those of each file

_SKIPPED = TypeAdapter(tuple[SkippedFile, ...])


class JobFolder:
    """Reads and writes what driver, workers and controller tell each other.

    Args:
        resumption: how often the job was resumed: marks and reports of its earlier runs are history.
    """

    def __init__(self, files: WritablePlace, uri: str, resumption: int = 0) -> None:
        self.files, self.uri, self.resumption = files, uri.rstrip("/"), resumption
        self._commits: dict[int, CommitLog] = {}
        self._plans: dict[int, JobPlan] = {}

    def run_of(self, job: JobSpec) -> JobFolder:
        """The same folder, for the job's latest run."""
        return JobFolder(self.files, self.uri, job.resumption)

    def write_job(self, job: JobSpec) -> None:
        """Freeze what is asked; a second call changes nothing, unless the job was resumed."""
        frozen = job.model_dump_json(indent=2, exclude_none=True).encode()
        if job.resumption:
            self.files.replace("job.json", frozen)
        else:
            self.files.put_if_absent("job.json", frozen)

    def check_exclusive(self) -> None:
        """Does the store keep its promise that what is there is not put again? A disk does.

        Raises:
            InputError: it does not, so that commits of two workers would replace each other.
        """
        if self.files.disk:
            return
        if self.files.put_if_absent("job.json", self.files.read("job.json")):  # the same content: no harm is done
            raise InputError(
                f"job folders cannot live in the store of '{self.uri}': it replaces a file that is to be written "
                "only if it is absent (If-None-Match)",
                mend="Update the store's software, or let BATCH_ENDPOINTS_ROOT name another store or a shared disk.",
            )

    def job(self) -> JobSpec:
        """Raises SpecError where the folder holds no job."""
        where = f"{self.uri}/job.json"
        try:
            return check(JobSpec, json.loads(self.files.read("job.json")), where=where)
        except ValueError as error:
            raise SpecError(f"{where}: not valid JSON: {error}") from None
        except FileNotFoundError:
            raise SpecError(
                f"'{self.uri}' is not a job folder: it has no job.json",
                mend="Name a folder that the server made, or write a job.yml into it (see examples/ray-job).",
            ) from None

    def commits(self, retry: int = 0) -> CommitLog:
        """What is committed of the plan, or of that of a retry."""
        return self._commits.setdefault(retry, CommitLog(self.files, retry))

    def write_plan(self, plan: JobPlan) -> JobPlan:
        """Store the plan unless there is one; returns the one that counts."""
        of_parts = _PARTS if any(bundle.parts for bundle in plan.bundles) else []
        of_parts = [*of_parts, *(_ONLY if plan.rows else []), *(_GROUPS if plan.has_groups else [])]
        said = {"root": plan.root, "columns": plan.columns, "skipped": _SKIPPED.dump_json(plan.skipped)}
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
        written = sink.getvalue()
        if self.files.put_if_absent(f"{of_retry(plan.retry)}plan.arrow", written.to_pybytes()):
            self._plans[plan.retry] = _read_plan(written, plan.retry)
        stored = self.plan(plan.retry)
        return plan if stored is None else stored

    def plan(self, retry: int = 0) -> JobPlan | None:
        """The stored plan of all of the input, or of a retry; None before it is written. It never changes, so it is
        read once."""
        if retry not in self._plans and (stored := self._stored_plan(retry)) is not None:
            self._plans[retry] = stored
        return self._plans.get(retry)

    def _stored_plan(self, retry: int) -> JobPlan | None:
        try:
            with self.files.open_input(f"{of_retry(retry)}plan.arrow") as file:
                return _read_plan(pa.py_buffer(file.read()), retry)
        except FileNotFoundError:
            return None

    def plan_columns(self) -> pa.Schema | None:
        """What the stored plan says of the columns of text files, without reading the rest of it; see ``JobPlan``."""
        with self.files.open_input("plan.arrow") as file, pa.ipc.open_file(file) as reader:
            found = reader.schema.metadata.get(b"columns")
            return None if found is None else pa.ipc.read_schema(pa.py_buffer(found))

    def write_state(self, state: JobState) -> None:
        """Tell how far the job is; its last state is the report."""
        name = "report.json" if state.ended_at else "progress.json"
        self.files.replace(name, state.model_dump_json(indent=2).encode())

    def state(self) -> JobState | None:
        """The driver's last word; None before its first."""
        for name in ("report.json", "progress.json"):
            try:
                state = JobState.model_validate_json(self.files.read(name))
            except FileNotFoundError:
                continue
            except ValidationError as error:  # as good as not written: the next driver writes another one
                logger.warning("%s/%s says nothing that can be understood: %s", self.uri, name, error)
                continue
            if state.resumption == self.resumption:
                return state
        return None

    def ask_to_cancel(self) -> None:
        self._mark("cancel")

    @property
    def cancel_asked(self) -> bool:
        return self._marked("cancel")

    def ask_to_stop(self) -> None:
        """The driver wants no more mini-batches begun."""
        self._mark("stop")

    @property
    def stop_asked(self) -> bool:
        """Should workers end before their next mini-batch, because of the driver or of a cancel?"""
        return self._marked("stop") or self.cancel_asked

    def begin_output(self) -> None:
        """To be told before anything of the job is at its output's place; it holds for later runs too."""
        self.files.put_if_absent("output-begun", b"")
        if self.output_taken_by:
            self.lose_output(to="")

    def lose_output(self, to: str) -> None:
        """Somebody else begins to write at the output's place.

        Args:
            to: URI of that job's folder.
        """
        self.files.replace("output-taken", to.encode())

    @property
    def output_taken_by(self) -> str:
        """URI of the folder of the job that has begun to write there since; "" for none."""
        try:
            return self.files.read("output-taken").decode()
        except FileNotFoundError:
            return ""

    @property
    def holds_output(self) -> bool:
        """May what is at the output's place be this job's own?"""
        return self.files.exists("output-begun") and not self.output_taken_by

    def _mark(self, name: str) -> None:
        self.files.put_if_absent(self._of_this_run(name), b"")

    def _marked(self, name: str) -> bool:
        return self.files.exists(self._of_this_run(name))

    def _of_this_run(self, name: str) -> str:
        return f"{name}-{self.resumption}" if self.resumption else name


def upload_log(files: WritablePlace, log: Path) -> None:
    """Store a log that was written on this machine, or replace what was stored of it before."""
    with files.open_output(f"logs/{log.name}") as copy, log.open("rb") as source:
        while block := source.read(1 << 20):
            copy.write(block)


def _read_plan(stored: pa.Buffer, retry: int) -> JobPlan:
    with pa.ipc.open_file(stored) as reader:
        metadata = reader.schema.metadata
        bundles = tuple(_bundle(reader.get_batch(at), retry) for at in range(reader.num_record_batches))
    skipped = _SKIPPED.validate_json(metadata.get(b"skipped", b"[]"))
    return JobPlan(metadata.get(b"root", b"").decode(), bundles, metadata.get(b"columns", b""), retry, skipped)


def _bundle(batch: pa.RecordBatch, retry: int) -> Bundle:
    batch = batch.replace_schema_metadata(None)  # which is of the whole plan, and would go with every bundle
    return Bundle(
        index=batch["bundle"][0].as_py(),
        start=batch["mini_batch"][0].as_py(),
        mini_batches=_StoredFiles(batch),
        parts=_StoredParts(batch) if _PARTS[0].name in batch.schema.names else (),
        retry=retry,
    )


class _Stored(Made[T]):
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
