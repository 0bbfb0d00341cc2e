"""Bundles on the Ray cluster that a driver belongs to."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import Any

import ray

from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.engine.on_ray.placement import Placement, gpus_of_nodes
from batch_endpoints.engine.on_ray.pool import Pool
from batch_endpoints.interfaces.runner import BundleOutcome, RunListener
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan


class RayPoolRunner:
    """Runs bundles on the cluster that this driver belongs to."""

    def __init__(self, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        ray.init(logging_level=logging.WARNING, log_to_driver=False, ignore_reinit_error=True)
        self._nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
        self._prepared: Pool | None = None
        self._running: Pool | LocalRunner | None = None

    def shape(self) -> ClusterShape:
        """The nodes that are up."""
        return ClusterShape(tuple(float(node["Resources"].get("CPU", 0)) for node in self._nodes))

    def prepare(self, workers: WorkerPlan, input_root: str, listener: RunListener | None = None) -> None:
        """Start the actors, and let them load the code."""
        self._prepared = self._new_pool(workers, input_root, listener)
        self._prepared.prepare()

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come; closing the iterator ends the actors, and their hosts with them.

        Raises:
            WorkersLost: again and again, before they are up.
            StoreUnavailable: one worker behind the other cannot read or write.
        """
        if len(self._nodes) == 1 and sum(len(bundle.mini_batches) for bundle in bundles) == 1:
            # one call of run(), and nowhere else to make it: a pool of actors would only take longer to start
            self._running = LocalRunner(self._folder_uri, gpus_of_nodes()[self._nodes[0]["NodeID"]])
            yield from self._running.run(bundles, workers, input_root, listener)
            return
        self._running = pool = self._prepared or self._new_pool(workers, input_root, listener)
        self._prepared = None
        try:
            yield from pool.outcomes(bundles)
        finally:
            pool.close()

    def stop(self) -> None:
        if self._running:
            self._running.stop()

    def close(self) -> None:
        if self._prepared:
            self._prepared.close()
            self._prepared = None

    def _new_pool(self, workers: WorkerPlan, input_root: str, listener: RunListener | None) -> Pool:
        return Pool(workers, Placement(workers, len(self._nodes)), self._folder_uri, input_root, listener)
