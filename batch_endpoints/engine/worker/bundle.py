"""One bundle on one worker: fetch each mini-batch, score it, commit what is done every few seconds."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from batch_endpoints.engine.worker.commit_timer import InTime
from batch_endpoints.engine.worker.finished import Finished, left_in_the_middle
from batch_endpoints.engine.worker.mini_batch_scorer import MiniBatchScorer
from batch_endpoints.engine.worker.outcome import Outcome
from batch_endpoints.engine.worker.turns import Turns
from batch_endpoints.engine.worker.unforeseen import Unforeseen, failed_whole, unforeseen
from batch_endpoints.engine.worker.when_to_stop import TooManyFailed, WhenToStop
from batch_endpoints.engine.worker.worker_log_copy import StoredLog
from batch_endpoints.errors import BatchEndpointError, ScoringError, StoreUnavailable
from batch_endpoints.interfaces.runner import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.specs import JobError, OutputFormat, ScoringJob
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, PATIENT_SECONDS, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.commits import Commit, CommitLog, CommittedFile, totals
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.named_output import parts_format
from batch_endpoints.storage.outputs.rows import write_parts

COMMIT_SECONDS = 10.0  # a worker that is lost loses no more than this, or one mini-batch


class BundleScorer:
    """Scores bundles of one job; lives as long as its worker.

    Args:
        folder_uri: the job folder.
        input_root: what the plan's paths are relative to.
    """

    def __init__(self, folder_uri: str, input_root: str) -> None:
        self._files = writable_place(folder_uri)
        self._folder_uri, self._input_root = folder_uri, input_root
        self._scratch = Path(tempfile.mkdtemp(prefix="batch-endpoints-"))
        self._name = f"{socket.gethostname()}-{os.getpid()}-{self._scratch.name[-8:]}"
        self._log = StoredLog(self._files, self._scratch, f"worker-{self._name}")
        self._code: MiniBatchScorer | None = None
        self._turns = Turns(self._name)
        self._left = ""  # see BundleOutcome
        self._stopped = threading.Event()

    def run(
        self,
        bundle: Bundle,
        following: Callable[[], MiniBatch | None] = lambda: None,
        *,
        before_each: Callable[[int], object] | None = None,
    ) -> BundleOutcome:
        """Score what is not committed yet of a bundle; from two threads, the one scores while the other commits.

        Args:
            following: asked, when it is this bundle's turn, for what will probably come next, to be fetched while its
                last mini-batch is scored.
            before_each: called with the number of each mini-batch before it is scored; each is committed at once
                then, and nothing else is fetched or scored until it is.

        Returns: what the whole bundle amounts to, with what others have committed; less than all of it where
            the job is to stop, ``fatal`` where it cannot go on.

        Raises:
            WorkerStopped: ``stop`` was called.
            StoreUnavailable: this worker cannot read or write; what is not committed is left to others, and so is
                all that it is given later.
        """
        try:
            with patience(PATIENT_SECONDS, ended=self._stopped):
                return self._run(bundle, following, before_each)
        except (OSError, StoreUnavailable) as error:
            if self._stopped.is_set():
                raise WorkerStopped from None
            self._turns.end(error)

    def _run(
        self,
        bundle: Bundle,
        following: Callable[[], MiniBatch | None],
        before_each: Callable[[int], object] | None,
    ) -> BundleOutcome:
        commits = CommitLog(self._files, bundle.retry)
        chain = commits.chain(bundle)

        def add(commit: Commit) -> Commit:
            chain.append(commits.add(commit))
            return chain[-1]

        def left() -> range:
            at = chain[-1].end if chain else bundle.start
            return range(at, bundle.end)

        try:
            if left():
                with self._turns.next():
                    if before_each:
                        self._score_one_by_one(bundle, left, before_each, add)
                        commit_last = None
                    else:
                        commit_last = self._score_all(bundle, left, following(), add)
                if commit_last:
                    commit_last()
                self._log.store()
        except StoreUnavailable:
            raise
        except BatchEndpointError as error:  # nothing that another worker could do better
            fatal = JobError(code=error.code, message=error.what, details=error.mend)
            return BundleOutcome(bundle.index, *totals(chain), fatal=fatal.model_dump_json(), left=self._left)
        except WorkerStopped:  # in the middle of a mini-batch, of which nothing counts
            if self._stopped.is_set():
                raise
        return BundleOutcome(bundle.index, *totals(chain))

    def stop(self) -> None:
        """End what is being scored; from any thread. Nothing can be scored any more."""
        self._stopped.set()
        if self._code:
            self._code.stop()

    def close(self) -> None:
        """End the host and remove what is on this machine's disk."""
        in_a_hurry = self._stopped.is_set()
        if self._code and not in_a_hurry:
            with self._turns.last():
                self._code.shut_down()
        self.stop()  # in the middle of a mini-batch this is no failure of it
        with self._turns.last():
            if self._code:
                self._code.close()
        with patience(0 if in_a_hurry else HURRIED_SECONDS):
            self._log.store(closing=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _score_all(
        self, bundle: Bundle, left: Callable[[], range], behind: MiniBatch | None, add: Callable[[Commit], Commit]
    ) -> Callable[[], object]:
        """Score what is left, unless the job is to stop; returns what commits the last of it."""
        while (numbers := left()) and not self._when_to_stop.told:
            end, commit = self._score_some(bundle, numbers, behind, add)
            if end == bundle.end:
                return commit
            commit()
            self._log.store()
        return lambda: None

    def _score_one_by_one(
        self,
        bundle: Bundle,
        left: Callable[[], range],
        before_each: Callable[[int], object],
        add: Callable[[Commit], Commit],
    ) -> None:
        """Score what is left, unless the job is to stop."""
        while (numbers := left()) and not self._when_to_stop.told:
            at = numbers.start
            before_each(at)
            alone = replace(
                bundle,
                start=at,
                mini_batches=[bundle.mini_batches[at - bundle.start]],
                parts=[bundle.parts[at - bundle.start]] if bundle.parts else (),
            )
            self._score_some(alone, range(at, at + 1), None, add)[1]()

    def _score_some(
        self, bundle: Bundle, numbers: range, behind: MiniBatch | None, add: Callable[[Commit], Commit]
    ) -> tuple[int, Callable[[], object]]:
        """Score mini-batches for a few seconds, or until something fails.

        Returns: the number behind the last of them, and what commits them.
        """
        start, end = numbers.start, numbers.stop
        code, settings = self._own_code(), self._job.deployment.settings
        try:
            with unforeseen():
                code.get_ready(bool(bundle.parts))
        except Unforeseen as error:  # it would be the same at each mini-batch
            why = error.failure().error
            raise ScoringError(why.headline, mend=why.stack) from error
        until = time.monotonic() + COMMIT_SECONDS
        finished = Finished(bundle, start, settings)

        def store_finished(some: Finished) -> Commit:
            with unforeseen():
                parts = write_parts(self._files, bundle.index, some.start, some.tables, self._parts_format)
                return add(some.commit(parts, self._name))

        def commit() -> Commit:
            try:
                return store_finished(finished)
            except Unforeseen:  # at one of them: the others count
                for one in finished.each():
                    try:
                        last = store_finished(one)
                    except Unforeseen as error:
                        alone = Finished(bundle, one.start, settings)
                        outcome = failed_whole(bundle.mini_batch(one.start), error, self._log.file)
                        alone.add(outcome, 0.0, (), ())
                        last = store_finished(alone)
                    if last.end != one.end:  # another worker was faster
                        break
                return last

        with closing(InTime(commit)) as in_time:
            while finished.end < end and (
                finished.end == start or (time.monotonic() < until and not self._when_to_stop.told)
            ):
                at, mini_batch = finished.end, bundle.mini_batch(finished.end)
                if at > start:
                    in_time.begin(until - time.monotonic())
                following = bundle.mini_batch(at + 1) if at + 1 < bundle.end else behind
                written, notes = list[CommittedFile](), list[str]()
                outcome = Outcome(again={item: part.only for item, part in mini_batch.ranges() if part.only})
                store = partial(code.store_written, written, notes)
                before_try = self._when_to_stop.before_try(store, outcome, bundle.retry)
                began = time.monotonic()
                try:
                    with unforeseen(TooManyFailed):
                        with in_time:
                            code.score(mini_batch, following, outcome, before_try)
                            seconds = time.monotonic() - began
                        store()
                except Unforeseen as error:
                    outcome, seconds = failed_whole(mini_batch, error, self._log.file), time.monotonic() - began
                    written, notes = [], []
                    code.begin_anew()
                except (WorkerStopped, StoreUnavailable, TooManyFailed) as error:
                    if at > start and not in_time.done and not self._stopped.is_set():
                        commit()  # what is finished counts
                    if isinstance(error, TooManyFailed):
                        left = left_in_the_middle(bundle, at, outcome, settings.keep_failed_inputs)
                        self._left = left.model_dump_json()
                        reasons = [one.reason for one in left.failed] + [one.reason for one in left.failed_rows]
                        raise ScoringError(reasons[0], mend=str(error)) from None
                    raise
                if in_time.done:
                    if in_time.done.end != at:  # another worker was faster, and has this mini-batch as well
                        return start, lambda: None
                    finished = Finished(bundle, at, settings)
                finished.add(outcome, seconds, written, notes)
                if outcome.failed or outcome.rows or bundle.retry:
                    break  # what is won later, or here, comes after the rows of one mini-batch: storage/job/rounds.py
        return finished.end, commit

    @cached_property
    def _parts_format(self) -> OutputFormat | None:
        return parts_format(self._job, self._folder_uri)

    @cached_property
    def _job(self) -> ScoringJob:
        return JobFolder(self._files, self._folder_uri).scoring_job()

    @cached_property
    def _when_to_stop(self) -> WhenToStop:
        return WhenToStop(JobFolder(self._files, self._folder_uri, self._job.resumption), self._job)

    def _own_code(self) -> MiniBatchScorer:
        if self._code is None:
            folder = JobFolder(self._files, self._folder_uri)
            self._code = MiniBatchScorer(folder, self._job, self._input_root, self._scratch, self._log.file)
            if self._stopped.is_set():  # while it came into being
                self._code.stop()
        return self._code
