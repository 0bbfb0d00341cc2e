"""The job folder: the whole truth about one job, so that any cluster can run or resume it.

job.json            what was asked, resolved and frozen (a person may write job.yml instead)
plan.arrow          the mini-batches and their bundles, written once
partitions/         rows of tables by their partition keys, where a step has some; the plan names those that count
commits/  parts/    what counts, and what it points to
retries/<number>/   plan.arrow and commits/ of another try for what has failed; see storage/job/rounds.py
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
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from batch_endpoints.errors import InputError, SpecError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.planning.job_plan import JobPlan
from batch_endpoints.specs import JOB, AnyJob, JobSpec, JobState, ScoringJob, check
from batch_endpoints.storage.job.commits import CommitLog, of_retry
from batch_endpoints.storage.job.plan_file import plan_bytes, read_columns, read_plan

logger = logging.getLogger(__name__)
PARTITIONS = "partitions"


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

    def job(self) -> AnyJob:
        """Raises SpecError where the folder holds no job."""
        where = f"{self.uri}/job.json"
        try:
            return check(JOB, json.loads(self.files.read("job.json")), where=where)
        except ValueError as error:
            raise SpecError(f"{where}: not valid JSON: {error}") from None
        except FileNotFoundError:
            raise SpecError(
                f"'{self.uri}' is not a job folder: it has no job.json",
                mend="Name a folder that the server made, or write a job.yml into it (see examples/ray-job).",
            ) from None

    def scoring_job(self) -> ScoringJob:
        """As ``job``; raises SpecError too where the job is of another kind."""
        job = self.job()
        if not isinstance(job, ScoringJob):
            raise SpecError(f"'{self.uri}' is the folder of a {job.type} job, where a scoring job's is expected")
        return job

    def commits(self, retry: int = 0) -> CommitLog:
        """What is committed of the plan, or of that of a retry."""
        return self._commits.setdefault(retry, CommitLog(self.files, retry))

    def write_plan(self, plan: JobPlan) -> JobPlan:
        """Store the plan unless there is one; returns the one that counts."""
        written = plan_bytes(plan)
        if self.files.put_if_absent(f"{of_retry(plan.retry)}plan.arrow", written.to_pybytes()):
            self._plans[plan.retry] = read_plan(written, plan.retry)
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
                return read_plan(pa.py_buffer(file.read()), retry)
        except FileNotFoundError:
            return None

    def plan_columns(self) -> pa.Schema | None:
        """What the stored plan says of the columns of text files, without reading the rest of it; see ``JobPlan``."""
        with self.files.open_input("plan.arrow") as file:
            return read_columns(file)

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
