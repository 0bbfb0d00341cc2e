"""Bundles on this machine, without Ray: for trying a deployment, for tests, and where there is no cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from queue import SimpleQueue

from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.interfaces.runner import BundleOutcome, RunListener
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.planning.resources import ClusterShape, Node, WorkerPlan
from batch_endpoints.policies.work_queue import WorkQueue


class LocalRunner:
    """A thread per worker; the work itself is in each worker's host process."""

    def __init__(self, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        self._done: SimpleQueue[BundleOutcome | BaseException | None] = SimpleQueue()

    def shape(self) -> ClusterShape:
        """This machine, as a cluster of one node."""
        return ClusterShape((Node(float(os.cpu_count() or 1)),), kinds=None, alone=True)

    def prepare(self, workers: WorkerPlan, input_root: str, listener: RunListener | None = None) -> None:
        """Here a worker is there at once."""

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come; closing the iterator ends the hosts and the mini-batches they are at."""
        waiting: WorkQueue[int, Bundle] = WorkQueue(bundles)
        taking = threading.Lock()
        done = self._done
        stop = threading.Event()
        scorers: list[BundleScorer] = []

        def work(worker: int) -> None:
            try:
                with closing(BundleScorer(self._folder_uri, input_root)) as scorer:
                    scorers.append(scorer)
                    while not stop.is_set():
                        with taking:
                            if not waiting:
                                return
                            bundle, kept = waiting.take(worker)
                        done.put(scorer.run(bundle, partial(_first_of, kept)))
            except BaseException as error:
                done.put(error)

        count = min(workers.count, len(bundles))
        threads = [threading.Thread(target=work, args=(n,), name=f"worker-{n}") for n in range(count)]
        for thread in threads:
            thread.start()
        if listener:
            listener.worker_up()
        try:
            for _ in bundles:
                if (outcome := done.get()) is None:
                    return
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
            for thread in threads:  # each lets its script shut down
                thread.join()
        finally:
            stop.set()
            for scorer in scorers:
                scorer.stop()
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        self._done.put(None)

    def close(self) -> None:
        """Nothing was prepared."""


def _first_of(bundle: Bundle | None) -> MiniBatch | None:
    return bundle.mini_batch(bundle.start) if bundle else None
