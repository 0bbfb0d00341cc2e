"""A worker of a Ray Data pipeline: blocks of bundles come in, and one report goes out for each bundle.

Ray runs an actor again that has ended, and what it was at, and skips as many reports as it has already. So a block
gives its reports in the order of its bundles, one for each, however often it is run; what counts is in the commits.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from weakref import WeakMethod, WeakSet

import pyarrow as pa
import ray

from batch_endpoints.engine.on_ray.cluster import alive_nodes
from batch_endpoints.engine.on_ray.crashes import Crashes
from batch_endpoints.engine.on_ray.in_order import InOrder
from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.errors import EnvironmentFailed, InitFailed, StoreUnavailable
from batch_endpoints.interfaces.runner import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.settings import PRIVATE_UMASK
from batch_endpoints.specs import JobError
from batch_endpoints.storage.files.patience import PATIENT_SECONDS, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.commits import CommitLog

AT_ONCE = 2  # blocks that a worker has: the next one is there when it is done with one
_SOON_SECONDS = 0.05  # between two blocks that are sent at once
_LEAVE_SECONDS = 1.0  # for reports to reach the driver, and before a worker comes up again in an unfit one's place
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What a worker has to say of one bundle.

    Args:
        worker: which process.
        outcome: None where the worker could not score it.
        unfit: JSON of a JobError: why this worker cannot go on, though others may.
        broken: the traceback of what is ours to mend.
    """

    bundle: int
    worker: str
    outcome: BundleOutcome | None = None
    unfit: str = ""
    broken: str = ""


@dataclass
class _Block:
    """Where a bundle comes from.

    Args:
        suspected: a worker has ended while it was at this block, and it is not known yet at which bundle.
    """

    suspected: bool


_Work = tuple[Bundle, _Block]


def to_block(bundles: Sequence[Bundle], is_first: bool) -> pa.Table:
    """Bundles as a block of Ray Data with one row.

    Args:
        is_first: none of the pipeline comes before it.
    """
    return pa.table({"bundles": pa.array([pickle.dumps((list(bundles), is_first))], pa.binary())})


def reports_of(block: pa.Table) -> Iterator[Report]:
    """The reports in a block that a worker has made."""
    return map(pickle.loads, block["report"].to_pylist())


_workers: WeakSet[ScoringWorker] = WeakSet()  # the one of this process, for ``end``; Ray lets go of it at the end


class ScoringWorker:
    """One process on some node of the cluster. Ray calls it from ``AT_ONCE`` threads.

    Args:
        folder_uri: the job folder.
        input_root: what the plan's paths are relative to.
        run: see ``Crashes``.
    """

    def __init__(self, folder_uri: str, input_root: str, run: str) -> None:
        os.umask(PRIVATE_UMASK)  # on a cluster of the user's it is whatever that was started with
        _workers.add(self)
        context = ray.get_runtime_context()
        self._files = writable_place(folder_uri)
        self._name = uuid4().hex
        self._crashes = Crashes(self._files, run, self._name, context.get_node_id(), alive_nodes)
        self._scorer = BundleScorer(folder_uri, input_root)
        # the first calls of one that has ended and came up again are those that it was at
        self._suspected = AT_ONCE if context.was_current_actor_reconstructed else 0
        self._changing = threading.Lock()
        self._came = threading.Condition()
        self._earliest: int | None = None  # the first bundle of all blocks that have come
        self._unfit = ""  # see Report
        method = WeakMethod(self._report)  # Ray lets go of this worker at the end, and it closes then

        def report(work: _Work, next_may_begin: Callable[[], _Work | None]) -> Report:
            score = method()
            assert score
            return score(work, next_may_begin)

        self._reports = InOrder(report)

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """Args: block: see ``to_block``. Yields a block for each of its bundles; see ``reports_of``."""
        if self._unfit:
            threading.Event().wait()  # until this process ends; the one in its place gets the block
        bundles: list[Bundle]
        bundles, is_first = pickle.loads(block["bundles"][0].as_py())
        with self._came:
            origin = _Block(suspected=self._suspected > 0)
            self._suspected -= origin.suspected
            index = bundles[0].index
            alone = self._earliest is None
            self._earliest = index if self._earliest is None else min(index, self._earliest)
            if alone and not is_first:  # Ray sends two at once, and keeps no order
                self._came.wait_for(lambda: self._earliest != index, _SOON_SECONDS)
            reports = [self._reports.submit((bundle, origin)) for bundle in bundles]
            self._came.notify_all()
        for report in reports:
            yield pa.table({"report": pa.array([pickle.dumps(report.result())], pa.binary())})

    def close(self) -> None:
        """End the host, and remove what is on this machine's disk."""
        self._scorer.close()

    def stop(self) -> None:
        """End what is being scored, and close; from any thread."""
        self._scorer.stop()
        self._scorer.close()

    def __del__(self) -> None:
        """Ray has no more work for it."""
        if hasattr(self, "_scorer"):
            self.close()

    def _report(
        self, work: tuple[Bundle, _Block], next_may_begin: Callable[[], tuple[Bundle, _Block] | None]
    ) -> Report:
        """Score a bundle; does not return where this process is about to be ended."""
        bundle, block = work
        if self._unfit:
            return Report(bundle.index, self._name, unfit=self._unfit)

        def following() -> MiniBatch | None:
            """Asked when it is this bundle's turn: the next one waits for its own from now on."""
            after = next_may_begin()
            return after[0].mini_batch(after[0].start) if after else None

        try:
            with patience(PATIENT_SECONDS):
                if block.suspected and not self._is_done(bundle):
                    block.suspected = False  # bundles are scored in their order: at this one the worker has ended
                    outcome = self._run_with_care(bundle)
                else:
                    outcome = self._scorer.run(bundle, following)
                if outcome.fatal and self._others_could(JobError.model_validate_json(outcome.fatal)):
                    return self._leave(bundle, outcome.fatal)
        except WorkerStopped:
            if not self._unfit:
                threading.Event().wait()  # a report would pass for the bundle's end
            return Report(bundle.index, self._name, unfit=self._unfit)
        except (OSError, StoreUnavailable) as error:
            told = JobError(code=StoreUnavailable.code, message=str(error))
            if isinstance(error, StoreUnavailable):
                told = JobError(code=error.code, message=error.what, details=error.mend)
            return self._leave(bundle, told.model_dump_json())
        except Exception:
            return Report(bundle.index, self._name, broken=traceback.format_exc())
        return Report(bundle.index, self._name, outcome)

    def _others_could(self, error: JobError) -> bool:
        """Is it this worker alone that cannot load code or interpreter? So it is where something is committed."""
        return error.code in (InitFailed.code, EnvironmentFailed.code) and bool(self._files.names("commits"))

    def _run_with_care(self, bundle: Bundle) -> BundleOutcome:
        """Score a bundle that a worker has ended at: one mini-batch at a time, each of which is marked before."""
        self._crashes.fail_what_crashes(bundle)
        with self._crashes.marking(bundle) as mark:
            return self._scorer.run(bundle, before_each=mark)

    def _is_done(self, bundle: Bundle) -> bool:
        chain = CommitLog(self._files, bundle.retry).chain(bundle)
        return bool(chain) and chain[-1].end == bundle.end

    def _leave(self, bundle: Bundle, why: str) -> Report:
        """Score nothing more, and end this process a little later; Ray starts another one in its place.

        What is left of its blocks is reported as not scored: of a block that Ray runs again it takes no report that
        it has already, so that the driver would not learn of a second worker that is unfit.
        """
        with self._changing:
            first, self._unfit = not self._unfit, self._unfit or why
        if first:
            threading.Thread(target=self._end_soon, daemon=True).start()
        return Report(bundle.index, self._name, unfit=self._unfit)

    def _end_soon(self) -> None:
        self.stop()
        time.sleep(_LEAVE_SECONDS)
        _end_this_process()


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # an exit that is asked for would be for good


def end(actor: Any) -> None:
    """Let the worker of this process stop at once and leave nothing on the disk; Ray runs this in the actor."""
    for worker in list(_workers):
        worker.stop()
