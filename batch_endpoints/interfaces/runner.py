"""Bundles of mini-batches that workers run somewhere."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan


@dataclass(frozen=True)
class BundleOutcome:
    """What became of (a part of) one bundle; the rows themselves are in its parts."""

    bundle: int
    mini_batches: int
    items_succeeded: int
    items_failed: int
    rows: int
    rows_failed: int
    fatal: str = ""  # JSON of a JobError where the job must fail at once
    left: str = (
        ""  # JSON of a commit that does not count: what had failed of a mini-batch that was left because of that
    )


class RunListener(Protocol):
    """Hears what a runner has to tell besides its outcomes."""

    def worker_up(self) -> None:
        """A worker is there, perhaps the first one."""

    def note(self, note: str) -> None:
        """Something a user should know of."""


class MiniBatchRunner(Protocol):
    """Runs bundles on workers, somewhere."""

    def shape(self) -> ClusterShape: ...

    def prepare(self, workers: WorkerPlan, input_root: str, listener: RunListener | None = None) -> None:
        """Do ahead of ``run``, which will be given the same, what takes time: there is work for all workers."""

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come, in any order. Closing the generator stops the work."""

    def stop(self) -> None:
        """Let ``run`` yield nothing more and stop the work, whatever it is at; from any thread, more than once."""

    def close(self) -> None:
        """End what was prepared, if there was no ``run``."""
