"""Bundles on the Ray cluster that a driver belongs to."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import ray

from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.on_ray import cluster
from batch_endpoints.interfaces.runner import BundleOutcome, RunListener
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

if TYPE_CHECKING:
    from batch_endpoints.engine.on_ray.scoring import ScoringPipeline

_PIPELINE = "batch_endpoints.engine.on_ray.scoring"  # imports Ray Data, which takes a second


def connect() -> None:
    """Join the cluster that this driver was started on; nothing happens where it has."""
    ray.init(logging_level=logging.WARNING, log_to_driver=False, ignore_reinit_error=True)


class RayRunner:
    """Runs bundles on the cluster that this driver belongs to."""

    def __init__(self, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        connect()
        self._running: ScoringPipeline | LocalRunner | None = None
        self._importing = threading.Thread(target=importlib.import_module, args=(_PIPELINE,), daemon=True)

    def shape(self) -> ClusterShape:
        """The nodes that are up, and those that an autoscaler may bring."""
        return cluster.shape()

    def prepare(self, workers: WorkerPlan, input_root: str, listener: RunListener | None = None) -> None:
        """Import Ray Data while the rest of the input, or the environment, is looked into."""
        if not self._importing.ident:
            self._importing.start()

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come; closing the iterator ends the workers, and their hosts with them.

        Raises:
            WorkersLost: again and again, before they are up.
            StoreUnavailable: one worker behind the other cannot read or write.
        """
        one = sum(len(bundle.mini_batches) for bundle in bundles) == 1
        if one and len(self.shape().nodes) == 1 and not (workers.stated or workers.gpus):
            # one call of run(), and nowhere else to make it: a pipeline would only take longer to start
            self._running = local = LocalRunner(self._folder_uri)
            yield from local.run(bundles, workers, input_root, listener)
            return
        self._running = pipeline = self._pipeline(workers, input_root, listener)
        yield from pipeline.outcomes(bundles)

    def _pipeline(self, workers: WorkerPlan, input_root: str, listener: RunListener | None) -> ScoringPipeline:
        if self._importing.ident:
            self._importing.join()
        from batch_endpoints.engine.on_ray.scoring import ScoringPipeline

        files = writable_place(self._folder_uri)
        job = JobFolder(files, self._folder_uri).scoring_job()
        # Ray makes a file of that name
        name = ".".join(filter(None, (job.endpoint_name, job.deployment.name, job.name)))
        return ScoringPipeline(name, files, self._folder_uri, input_root, workers, listener)

    def stop(self) -> None:
        if self._running:
            self._running.stop()

    def close(self) -> None:
        """Nothing was prepared that has to end."""
