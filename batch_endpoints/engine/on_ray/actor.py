"""A worker on a Ray cluster."""

from __future__ import annotations

import os

import ray

from batch_endpoints.engine.lean_arrow import leave_out_pandas
from batch_endpoints.engine.on_ray.placement import gpus_of_nodes
from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.engine.worker.turns import NotBegun
from batch_endpoints.interfaces.runner import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle, MiniBatch
from batch_endpoints.settings import PRIVATE_UMASK

CONCURRENCY = {"run": 2, "word": 1}
"""How many calls of each group an actor is at; ``BundleScorer`` scores one bundle and commits the other."""


class ScoringActor:
    """A worker: one process on some node of the cluster."""

    def __init__(self, folder_uri: str, input_root: str) -> None:
        os.umask(PRIVATE_UMASK)  # on a cluster of the user's it is whatever that was started with
        leave_out_pandas()
        self._scorer = BundleScorer(folder_uri, input_root)

    def ready(self) -> str:
        """Answers when the actor is up: with the id of its node."""
        return ray.get_runtime_context().get_node_id()

    def load(self) -> None:
        """Load the code ahead of the first bundle; on a node with GPUs the code is told which one it sees before."""
        if not gpus_of_nodes().get(self.ready()):
            self._scorer.load()

    @ray.method(concurrency_group="run")
    def run(
        self, bundle: Bundle, following: MiniBatch | None, one_by_one: bool, gpu: str | None
    ) -> BundleOutcome | None:
        """As ``BundleScorer.run``; None where the bundle was asked back before it began."""
        self._scorer.visible_gpu = gpu  # the same in each call
        try:
            return self._scorer.run(bundle, following, one_by_one=one_by_one)
        except NotBegun:
            return None

    @ray.method(concurrency_group="word")
    def ask_back(self, bundle: int) -> None:
        """Let another worker have a bundle that this one has not begun; ``run`` answers."""
        self._scorer.ask_back(bundle)

    @ray.method(concurrency_group="word")
    def stop(self) -> None:
        """End what ``run`` is at; this call does not wait for it."""
        self._scorer.stop()

    def close(self) -> None:
        self._scorer.close()
