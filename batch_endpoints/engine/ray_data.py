"""Bundles on a Ray cluster: one block per bundle, mapped over an autoscaling pool of scoring actors.

Only descriptors go in and outcomes come out; data is read and written where it is scored. One operator alone cannot
starve another of CPUs.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa
import ray

from batch_endpoints.engine.bundle import BundleScorer
from batch_endpoints.engine.local import LocalRunner
from batch_endpoints.interfaces import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.partitions import Part
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan

# Bundles that an actor has, one of which it scores. Ray Data looks for finished ones every 0.1 s: with two, an actor
# whose bundles take no longer waits for half of that each time; more than three would pile up behind a slow one.
_IN_FLIGHT = 3
_BUNDLE = pa.schema(
    [
        ("index", pa.int64()),
        ("start", pa.int64()),
        ("mini_batches", pa.list_(pa.list_(pa.string()))),
        ("parts", pa.list_(pa.list_(pa.list_(pa.int64())))),
        ("retry", pa.int64()),
    ]
)


class RayDataRunner:
    """Runs bundles on the cluster that this driver belongs to."""

    def __init__(self, folder_uri: str) -> None:
        self._folder_uri = folder_uri
        ray.init(logging_level=logging.WARNING, log_to_driver=False, ignore_reinit_error=True)
        self._nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]

    def shape(self) -> ClusterShape:
        """The nodes that are up."""
        return ClusterShape(tuple(float(node["Resources"].get("CPU", 0)) for node in self._nodes))

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come; closing the iterator ends the actors, and their hosts with them."""
        if len(self._nodes) == 1 and sum(len(bundle.mini_batches) for bundle in bundles) == 1:
            # one call of run(), and nowhere else to make it: a pool of actors would only take longer to start
            yield from LocalRunner(self._folder_uri).run(bundles, workers, input_root)
            return
        import ray.data  # takes two seconds, which a driver may not need

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        # a block is done when its bundle is, which may take hours, and so may the wait for a CPU: both are fine
        context.execution_no_progress_timeout_s = -1
        blocks = [pa.Table.from_pylist([vars(bundle)], schema=_BUNDLE) for bundle in bundles]
        size = min(workers.count, len(bundles))
        outcomes = ray.data.from_blocks(blocks).map_batches(
            _ScoringActor,
            fn_constructor_args=(self._folder_uri, input_root),
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=workers.cpus,
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=_IN_FLIGHT
            ),
        )
        for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in table.to_pylist():
                yield BundleOutcome(**row)


class _ScoringActor:
    """What Ray Data calls on each worker."""

    def __init__(self, folder_uri: str, input_root: str) -> None:
        self._scorer = BundleScorer(folder_uri, input_root)

    def __call__(self, block: pa.Table) -> pa.Table:
        outcomes: list[dict[str, Any]] = []
        for row in block.to_pylist():
            parts = tuple(tuple(Part(*part) for part in of_batch) for of_batch in row["parts"])
            mini_batches = tuple(tuple(files) for files in row["mini_batches"])
            bundle = Bundle(row["index"], row["start"], mini_batches, parts, row["retry"])
            outcomes.append(vars(self._scorer.run(bundle)))
        return pa.Table.from_pylist(outcomes)

    def __del__(self) -> None:
        if hasattr(self, "_scorer"):
            self._scorer.close()
