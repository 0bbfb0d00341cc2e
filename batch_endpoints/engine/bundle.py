"""One bundle on one worker: fetch each mini-batch, score it, commit what is done every few seconds."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from batch_endpoints.engine.deployed_code import mini_batch_format, scoring_contract
from batch_endpoints.engine.failures import failed_items, failed_rows
from batch_endpoints.engine.interpreter import job_interpreter
from batch_endpoints.engine.mini_batch_inputs import MiniBatchFiles, PartReaderAhead
from batch_endpoints.engine.poison_rows import Failure, Outcome
from batch_endpoints.engine.tables import better_as_files, refuse_paths, score_tables
from batch_endpoints.environments.interpreters import Interpreter
from batch_endpoints.errors import BatchEndpointError, ScoringError
from batch_endpoints.interfaces import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.policies.error_threshold import over_threshold
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.worker import ScoringContract, ScoringWorker, WorkerStopped
from batch_endpoints.settings import Settings
from batch_endpoints.specs import JobError, JobSpec, ModelDeploymentSettings, OutputFormat
from batch_endpoints.storage.access import AMBIENT, Access
from batch_endpoints.storage.commits import Commit, CommitLog, CommittedFile, FailedItem, FailedRow, totals
from batch_endpoints.storage.filesystem import local_path, open_filesystem
from batch_endpoints.storage.job_folder import JobFolder, upload_log
from batch_endpoints.storage.named_outputs import named_output
from batch_endpoints.storage.outputs import store_files, write_parts

logger = logging.getLogger(__name__)

COMMIT_SECONDS = 10.0  # a worker that is lost loses no more than this, or one mini-batch
_SHORT_LOG_BYTES = 1 << 20
_LOOK_SECONDS = 1.0  # how often a worker looks for it


class BundleScorer:
    """Scores bundles of one job; lives as long as its worker.

    Args:
        folder_uri: the job folder.
        input_root: what the plan's paths are relative to.
    """

    def __init__(self, folder_uri: str, input_root: str) -> None:
        self._files = open_filesystem(folder_uri)
        self._folder_uri, self._input_root = folder_uri, input_root
        self._scratch = Path(tempfile.mkdtemp(prefix="batch-endpoints-"))
        self._name = f"{socket.gethostname()}-{os.getpid()}-{self._scratch.name[-8:]}"
        self._interpreter: Interpreter | None = None
        self._log = _log_file(folder_uri, self._scratch, self._name)
        self._log_stored = (0, 0.0)  # bytes, and when
        self._access: Access = AMBIENT
        self._ready: tuple[ScoringContract, ScoringWorker] | None = None
        self._settings = ModelDeploymentSettings()
        self._reader: PartReaderAhead | None = None
        self._fetcher: MiniBatchFiles | None = None
        self._following: MiniBatch | None = None
        self._fatal: BatchEndpointError | None = None
        self._stopped, self._told, self._looked = False, False, -_LOOK_SECONDS

    def run(self, bundle: Bundle, following: MiniBatch | None = None, *, one_by_one: bool = False) -> BundleOutcome:
        """Score what is not committed yet of a bundle.

        Args:
            following: what will probably come behind it, to be fetched while its last mini-batch is scored.
            one_by_one: commit each mini-batch at once.

        Returns: what the whole bundle amounts to, with what others have committed; less than all of it where
            the job is to stop, ``fatal`` where it cannot go on.

        Raises:
            WorkerStopped: ``stop`` was called.
        """
        self._following = following
        commits = CommitLog(self._files, bundle.retry)
        chain = commits.chain(bundle)
        try:
            while (at := chain[-1].end if chain else bundle.start) < bundle.end and not self._told_to_stop():
                if self._fatal:  # another try would end like the first one
                    raise self._fatal
                chain.append(commits.add(self._score_some(bundle, at, at + 1 if one_by_one else bundle.end)))
                self._upload_log()
        except BatchEndpointError as error:  # nothing that another worker could do better
            self._fatal = error
            fatal = JobError(code=error.code, message=error.what, details=error.mend)
            return BundleOutcome(bundle.index, *totals(chain), fatal=fatal.model_dump_json())
        except WorkerStopped:  # in the middle of a mini-batch, of which nothing counts
            if self._stopped:
                raise
        return BundleOutcome(bundle.index, *totals(chain))

    def stop(self) -> None:
        """End what is being scored; from any thread. Nothing can be scored any more."""
        self._stopped = True
        self._stop_if_asked()

    def close(self) -> None:
        """End the host and remove what is on this machine's disk."""
        self.stop()  # in the middle of a mini-batch this is no failure of it
        if self._ready:
            self._ready[1].close()
        if self._interpreter:
            self._interpreter.close()
        self._upload_log(closing=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> BundleScorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _score_some(self, bundle: Bundle, start: int, end: int) -> Commit:
        """Score from ``start`` on for a few seconds, to where something fails; returns what can be committed."""
        contract, worker = self._get_ready(bool(bundle.parts))
        until = time.monotonic() + COMMIT_SECONDS
        tables: list[pa.Table] = []
        failed: list[FailedItem] = []
        told: set[str] = set()  # reasons whose stack is in the commit
        rows_failed: list[FailedRow] = []
        files: list[CommittedFile] = []
        items_given, at = 0, start
        tries, seconds, rows_read = 0, 0.0, None
        while at < end and (at == start or (time.monotonic() < until and not self._told_to_stop())):
            mini_batch = bundle.mini_batch(at)
            following = bundle.mini_batch(at + 1) if at + 1 < bundle.end else self._following
            written: list[CommittedFile] = []
            began = time.monotonic()
            try:
                outcome = self._score(
                    worker, mini_batch, following, self._between_tries(contract.output_folder, written)
                )
            except WorkerStopped:
                if self._stopped or at == start:
                    raise
                break
            seconds, tries = seconds + time.monotonic() - began, tries + max(outcome.attempts, 1)
            if outcome.rows_read is not None:
                rows_read = (rows_read or 0) + outcome.rows_read
            if self._settings.output_action == "append_row":
                tables += outcome.in_order(mini_batch.files)
            failed += failed_items(outcome, mini_batch, told)
            rows_failed += failed_rows(outcome, mini_batch, self._settings.keep_failed_inputs)
            files += [*written, *store_files(self._files, contract.output_folder)]
            items_given += len(bundle.items(at))
            at += 1
            if outcome.failed or outcome.rows or bundle.retry:
                break  # what is won later, or here, belongs behind the rows of one mini-batch: see storage/rounds.py
        return Commit(
            bundle=bundle.index,
            start=start,
            end=at,
            parts=write_parts(self._files, bundle.index, start, tables, self._parts_format),
            rows=sum(table.num_rows for table in tables),
            rows_read=rows_read,
            attempts=tries,
            seconds=round(seconds, 3),
            items_succeeded=items_given - len(failed),
            failed=tuple(failed),
            failed_rows=tuple(rows_failed),
            files=tuple(files),
            worker=self._name,
        )

    def _upload_log(self, *, closing: bool = False) -> None:
        """Bring what the code printed to a job folder that is remote; on a disk it is there already.

        A store cannot append, so a long log goes there as a whole every few seconds.
        """
        if local_path(self._folder_uri) or not self._log.exists():
            return
        size, now = self._log.stat().st_size, time.monotonic()
        stored, when = self._log_stored
        if size == stored or (size > _SHORT_LOG_BYTES and now - when < COMMIT_SECONDS and not closing):
            return
        try:
            upload_log(self._files, self._log)
            self._log_stored = size, now
        except OSError as error:  # no reason to lose a worker
            logger.warning("the log of worker '%s' cannot be stored now: %s", self._name, error)

    @cached_property
    def _parts_format(self) -> OutputFormat:
        return named_output(self._job, self._folder_uri).parts_format

    @cached_property
    def _job(self) -> JobSpec:
        return JobFolder(self._files, self._folder_uri).job()

    def _get_ready(self, in_parts: bool) -> tuple[ScoringContract, ScoringWorker]:
        """Bring code and model to this machine, once."""
        if self._ready is None:
            job = self._job
            self._settings = job.deployment.settings
            self._access = job.credentials
            settings = Settings.read()
            self._interpreter = job_interpreter(job, settings.cache)  # kept while this worker lives
            contract = scoring_contract(job, self._interpreter.path, self._scratch, self._log)
            contract = replace(
                contract, mini_batch_format=mini_batch_format(job, in_parts), memory_share=settings.memory_share
            )
            self._ready = contract, ScoringWorker(contract)
            self._stop_if_asked()
        return self._ready

    def _stop_if_asked(self) -> None:
        """Also what came into being while ``stop`` was called."""
        if not self._stopped:
            return
        if self._ready:
            self._ready[1].stop()
        for inputs in (self._reader, self._fetcher):
            if inputs:
                inputs.stop()

    def _tables(self) -> PartReaderAhead:
        """What reads the parts of the stored plan."""
        if self._reader is None:
            columns = JobFolder(self._files, self._folder_uri).plan_columns()
            isolates = self._job.deployment.isolates_rows
            scratch = self._scratch / "tables"
            self._reader = PartReaderAhead(self._input_root, columns, scratch, self._access, isolates=isolates)
            self._stop_if_asked()
        return self._reader

    def _paths(self) -> MiniBatchFiles:
        """What brings whole files."""
        if self._fetcher is None:
            self._fetcher = MiniBatchFiles(self._input_root, self._scratch / "input", self._access)
            self._stop_if_asked()
        return self._fetcher

    def _told_to_stop(self) -> bool:
        """Is there a mark in the job folder, by the driver or by somebody who cancels the job?"""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._told = JobFolder(self._files, self._folder_uri, self._job.resumption).stop_asked
        return self._told

    def _between_tries(self, output: Path, written: list[CommittedFile]) -> Callable[[Sequence[Failure]], None]:
        """What is called before each try of a mini-batch, which may take many.

        It stores what the one before has written: what a later one writes, or leaves behind when it fails, is its
        own. And it ends a mini-batch that would go on for long though nobody needs it any more.

        Args:
            written: gets what is stored.

        Raises:
            WorkerStopped: the job is to stop.
            ScoringError: these rows alone are more failures than the job may have.
        """
        began, allowed = time.monotonic(), self._settings.error_threshold

        def look(failures: Sequence[Failure]) -> None:
            written.extend(store_files(self._files, output))
            if self._told_to_stop():
                raise WorkerStopped
            if over_threshold(len(failures), allowed) and time.monotonic() - began > COMMIT_SECONDS:
                raise ScoringError(
                    failures[0].error.headline,
                    mend=f"{len(failures)} rows of one mini-batch failed, more than error_threshold ({allowed}) "
                    "allows; its other rows were not tried.",
                )

        return look

    def _score(
        self,
        worker: ScoringWorker,
        mini_batch: MiniBatch,
        following: MiniBatch | None,
        before_try: Callable[[Sequence[Failure]], None],
    ) -> Outcome:
        if worker.takes_tables():
            reader, deployment = self._tables(), self._job.deployment
            reader.begin(mini_batch, following)
            outcome = score_tables(worker, reader, mini_batch.ranges(), deployment, before_try)
            for file in better_as_files(outcome, mini_batch.ranges(), deployment):
                before_try(())
                self._score_files(worker, MiniBatch(mini_batch.number, [file]), None, outcome)
            return outcome
        refuse_paths(self._settings, bool(mini_batch.parts))
        return self._score_files(worker, mini_batch, following, Outcome())

    def _score_files(
        self, worker: ScoringWorker, mini_batch: MiniBatch, following: MiniBatch | None, outcome: Outcome
    ) -> Outcome:
        """Score whole files by their paths."""
        with self._paths().of(mini_batch, following) as (paths, errors):
            for item in mini_batch.files:
                outcome.failed.pop(item, None)
            outcome.failed |= {item: Failure(UserError("", str(error))) for item, error in errors.items()}
            if paths:
                scored, attempts = worker.score(list(paths.values()), list(paths))
                outcome.attempts += attempts
                outcome.tables += [] if scored.table is None else [(mini_batch.files[0], 0, scored.table)]
                outcome.failed |= {item: Failure(why, attempts) for item, why in scored.failed.items()}
        return outcome


def _log_file(folder_uri: str, scratch: Path, name: str) -> Path:
    return (local_path(folder_uri) or scratch) / "logs" / f"worker-{name}.log"
