"""Bundles on this machine, without Ray: for trying a deployment, for tests, and where there is no cluster."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator, Sequence

from batch_endpoints.engine.bundle import BundleScorer
from batch_endpoints.interfaces import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan


class LocalRunner:
    """A thread per worker; the work itself is in each worker's host process."""

    def __init__(self, folder_uri: str) -> None:
        self._folder_uri = folder_uri

    def shape(self) -> ClusterShape:
        """This machine, as a cluster of one node."""
        return ClusterShape((float(os.cpu_count() or 1),))

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come; closing the iterator ends the hosts and the mini-batches they are at."""
        waiting: queue.SimpleQueue[Bundle] = queue.SimpleQueue()
        for bundle in bundles:
            waiting.put(bundle)
        done: queue.SimpleQueue[BundleOutcome | BaseException] = queue.SimpleQueue()
        stop = threading.Event()
        scorers: list[BundleScorer] = []

        def work() -> None:
            try:
                with BundleScorer(self._folder_uri, input_root) as scorer:
                    scorers.append(scorer)
                    while not stop.is_set():
                        done.put(scorer.run(waiting.get_nowait()))
            except queue.Empty:
                pass
            except BaseException as error:
                done.put(error)

        threads = [threading.Thread(target=work, name=f"worker-{n}") for n in range(min(workers.count, len(bundles)))]
        for thread in threads:
            thread.start()
        try:
            for _ in bundles:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        finally:
            stop.set()
            for scorer in scorers:
                scorer.stop()
            for thread in threads:
                thread.join()
