"""What runs somewhere: bundles of mini-batches on workers, and the attempts of command steps."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import ClusterShape, WorkerPlan
from batch_endpoints.specs import JobError
from batch_endpoints.specs.step_record import StepRecord


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
        """Do ahead of ``run``, which will be given the same, what takes time: there are several mini-batches; may be
        called twice."""

    def run(
        self, bundles: Sequence[Bundle], workers: WorkerPlan, input_root: str, listener: RunListener | None = None
    ) -> Generator[BundleOutcome, None, None]:
        """Outcomes as they come, in any order. Closing the generator stops the work."""

    def stop(self) -> None:
        """Let ``run`` yield nothing more and stop the work, whatever it is at; from any thread, more than once."""

    def close(self) -> None:
        """End what was prepared, if there was no ``run``."""


@dataclass(frozen=True)
class AttemptOutcome:
    """What became of one attempt of a command step: one of the three.

    Args:
        record: the attempt that counts; another one where that was faster.
        error: why this one failed.
        stopped: it was ended by ``CommandRunner.stop``.
    """

    record: StepRecord | None = None
    error: JobError | None = None
    stopped: bool = False


class CommandRunner(Protocol):
    """Runs attempts of command steps, somewhere."""

    def run(self, folder_uri: str, attempt: int) -> AttemptOutcome:
        """Run one attempt to its end; called from a thread for each step.

        Args:
            folder_uri: the step's folder, with its job.json.
            attempt: its number, from 1.

        Raises:
            StepLost: its node or its worker was lost, so that it has to begin again.
            StoreUnavailable: something can be neither read nor written for now.
        """

    def stop(self) -> None:
        """End every attempt that runs, and begin none any more; from any thread. Each ``run`` returns then."""

    def close(self) -> None:
        """Let go of what it holds."""
