"""Bundles through a Ray Data pipeline: blocks of descriptors go in, a report of each bundle comes out.

Only descriptors and reports pass through it; data is read and written where it is scored. Ray places the workers,
starts lost ones again with what they were at, and has its autoscaler bring nodes. What it drops nevertheless, the
commits show, and it is run again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from uuid import uuid4

from batch_endpoints.engine.on_ray import cluster, internals, worker
from batch_endpoints.engine.on_ray.start_turn import StartTurn, turns_at_once
from batch_endpoints.engine.on_ray.watch import MEND, Watch
from batch_endpoints.engine.on_ray.worker import Report
from batch_endpoints.errors import EnvironmentFailed, InitFailed, StoreUnavailable, WorkersLost
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.interfaces.runner import BundleOutcome, RunListener
from batch_endpoints.planning.blocks import blocks_at_once, guided_blocks
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import WorkerPlan
from batch_endpoints.settings import Settings
from batch_endpoints.specs import JobError
from batch_endpoints.storage.job.commits import CommitLog, totals

import ray.data  # isort: skip  # after the settings that it reads at import
from ray.exceptions import RayError  # isort: skip

logger = logging.getLogger(__name__)

_MOST_UNFIT = 3  # workers that cannot load, read or write what others can, in a row; or as many as the job has
_MOST_IN_VAIN = 3  # runs that bring nothing, one behind the other
_CLOSE_SECONDS = 4.0  # with what Ray takes to kill a worker, less than the 5 s in which a canceled job has to end


class ScoringPipeline:
    """Scores bundles of one job.

    Args:
        name: what Ray's dashboard shows of the job.
        files: the job folder.
        folder_uri: its URI.
        input_root: what the plan's paths are relative to.
    """

    def __init__(
        self,
        name: str,
        files: WritablePlace,
        folder_uri: str,
        input_root: str,
        workers: WorkerPlan,
        listener: RunListener | None,
    ) -> None:
        self._name, self._files, self._workers, self._listener = name, files, workers, listener
        self._arguments = (folder_uri, input_root, uuid4().hex)
        # what comes: a report, why there are no more, or None for the end; a signal ends this wait at once
        self._coming: SimpleQueue[Report | Exception | None] = SimpleQueue()
        self._stopped = False
        self._unfit: set[str] = set()  # workers in a row
        self._noted: set[bool] = set()  # see Watch

    def outcomes(self, bundles: Sequence[Bundle]) -> Generator[BundleOutcome, None, None]:
        """Run what is left, until nothing is.

        Raises:
            StoreUnavailable: one worker behind the other cannot read or write.
            WorkersLost: again and again, before they are up, or before they have done anything.
        """
        left, in_vain, known = list(bundles), 0, -1
        while left and not self._stopped:
            unfit, done = len(self._unfit), set()
            for outcome in self._run(left):
                done.add(outcome.bundle)
                yield outcome
            left = [bundle for bundle in left if bundle.index not in done]
            if self._stopped or not left:
                return
            now = self._mini_batches(left)
            in_vain = 0 if done or now > known or len(self._unfit) > unfit else in_vain + 1
            known = now
            if in_vain == _MOST_IN_VAIN:
                what = f"{in_vain} runs, one behind the other, have brought nothing of {len(left)} bundles"
                raise WorkersLost(what, mend=MEND)

    def stop(self) -> None:
        """Let ``outcomes`` end now; from any thread."""
        self._stopped = True
        self._coming.put(None)

    def _mini_batches(self, bundles: Sequence[Bundle]) -> int:
        """How many are committed of these bundles."""
        return sum(totals(CommitLog(self._files, one.retry).chain(one)).mini_batches for one in bundles)

    def _run(self, bundles: Sequence[Bundle]) -> Iterator[BundleOutcome]:
        """One execution: outcomes as they come, perhaps not of all bundles."""
        left = {bundle.index for bundle in bundles}
        self._coming = SimpleQueue()
        if self._stopped:  # before there was this queue
            return
        workers = replace(self._workers, count=min(self._workers.count, len(bundles)))
        dataset = self._dataset(bundles, workers.count)
        turn = StartTurn(Settings.read().cache / "start-turns", turns_at_once(cluster.cpus(), workers.count))
        if not workers.to_come and cluster.has_room(workers):  # otherwise they start when there is, whenever that is
            turn.take(given_up=lambda: self._stopped)
        execution = internals.Execution(dataset)
        watch = Watch(execution, self._workers, self._listener, self._noted, turn)
        try:
            threading.Thread(target=self._read, args=(execution, self._coming), daemon=True).start()
            while left and (report := self._next_report(watch)):
                if outcome := self._outcome_of(report):
                    left.discard(report.bundle)
                    yield outcome
        finally:
            turn.end()
            execution.end(worker.end, _CLOSE_SECONDS)

    def _dataset(self, bundles: Sequence[Bundle], count: int) -> ray.data.Dataset:
        set_up_ray_data()
        blocks = [worker.to_block(some, not n) for n, some in enumerate(guided_blocks(bundles, count))]
        dataset: ray.data.Dataset = ray.data.from_blocks(blocks).map_batches(
            worker.ScoringWorker,
            batch_size=1,  # a block; Ray Data wants a number where there are GPUs
            batch_format="pyarrow",
            # a pool that may grow does not where several jobs run: Ray Data shares the cluster out by whole CPUs
            compute=ray.data.ActorPoolStrategy(
                min_size=count,
                initial_size=count,
                max_size=count,
                max_tasks_in_flight_per_actor=blocks_at_once(len(bundles), count, worker.AT_ONCE),
                max_concurrent_calls_per_actor=worker.AT_ONCE + 1,  # one is left for the word that ends it
                enable_true_multi_threading=True,
            ),
            fn_constructor_args=self._arguments,
            num_cpus=self._workers.cpus,
            num_gpus=self._workers.gpus or None,
            memory=self._workers.memory or None,
            label_selector=dict(self._workers.label_selector) or None,
        )
        dataset.set_name(self._name)
        return dataset

    def _read(self, execution: internals.Execution, coming: SimpleQueue[Report | Exception | None]) -> None:
        try:
            for block in execution.blocks():
                for report in worker.reports_of(block):
                    coming.put(report)
            coming.put(None)
        except Exception as error:
            coming.put(error)

    def _next_report(self, watch: Watch) -> Report | None:
        """Waits for it, and looks at the workers meanwhile; None at the end."""
        while True:
            watch.look()
            try:
                coming = self._coming.get(timeout=watch.seconds)
            except Empty:
                continue
            if isinstance(coming, RayError):
                why = str(coming).strip().splitlines()[-1]
                what = f"the workers ended, one behind the other, before they were up: {why}"
                raise WorkersLost(what, mend=MEND) from coming
            if isinstance(coming, Exception):
                raise coming
            if coming:
                watch.one_is_up()
            return coming

    def _outcome_of(self, report: Report) -> BundleOutcome | None:
        """What a report says of its bundle; None where another worker has to score it."""
        if report.broken:
            raise RuntimeError(f"a worker broke at bundle {report.bundle}:\n{report.broken}")
        if report.outcome:
            self._unfit.clear()
            return report.outcome
        error = JobError.model_validate_json(report.unfit)
        if report.worker not in self._unfit:
            self._unfit.add(report.worker)
            logger.warning("a worker cannot go on, and is replaced: %s", error.message)
        if len(self._unfit) < max(_MOST_UNFIT, self._workers.count):
            return None
        if error.code in (InitFailed.code, EnvironmentFailed.code):
            return BundleOutcome(report.bundle, 0, 0, 0, 0, 0, fatal=report.unfit)
        raise StoreUnavailable(error.message, mend=error.details)


def set_up_ray_data() -> None:
    """Settings for all pipelines of this process."""
    context = ray.data.DataContext.get_current()
    internals.set_private_settings(context)
    context.target_max_block_size = 1  # each report leaves a worker at once
    context.max_errored_blocks = -1  # what is dropped the commits find
    context.execution_no_progress_timeout_s = -1  # a bundle takes as long as it takes
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # that there are no progress bars
