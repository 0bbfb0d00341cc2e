"""When a worker is to begin nothing more: somebody says so in the job folder, or too much of the job has failed."""

from __future__ import annotations

import time
from collections.abc import Callable

from batch_endpoints.engine.worker.outcome import Outcome
from batch_endpoints.policies.error_threshold import over_threshold
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.job.job_folder import JobFolder

LOOK_SECONDS = 1.0  # how often a worker looks for it
CHECK_SECONDS = 10.0  # of one mini-batch, before its failures are counted while it goes on


class TooManyFailed(Exception):
    """The job cannot succeed any more, whatever becomes of the rest of this mini-batch."""


class WhenToStop:
    """Looks into the job folder now and then.

    Args:
        folder: of the job's latest run.
    """

    def __init__(self, folder: JobFolder, job: ScoringJob) -> None:
        self._folder, self._job = folder, job
        self._told, self._looked = False, -LOOK_SECONDS
        self._failed_by_all = 0  # of the job, by its driver's last word

    @property
    def told(self) -> bool:
        """Is there a mark, by the driver or by somebody who cancels the job?"""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._told = self._folder.stop_asked
            if self._job.deployment.settings.error_threshold >= 0 and (state := self._folder.state()):
                self._failed_by_all = state.progress.items_failed + state.progress.rows_failed
        return self._told

    def before_try(self, store: Callable[[], None], outcome: Outcome, retry: int) -> Callable[[int], None]:
        """What is called before each try of a mini-batch, which may take many, with how many of its rows have failed.

        It ends a mini-batch that would go on for long though nobody needs it any more.

        Args:
            store: stores what the try before has written: what a later one writes, or leaves behind when it fails, is
                its own.
            outcome: what has come of the mini-batch by then.
            retry: of which plan it is.

        Raises:
            WorkerStopped: the job is to stop.
            TooManyFailed: with what others have committed, these are more failures than the job may have.
        """
        began = time.monotonic()

        def look(failed_rows: int) -> None:
            store()
            if self.told:
                raise WorkerStopped
            if time.monotonic() - began > CHECK_SECONDS:
                self.check(outcome.failures + failed_rows, retry)

        return look

    def check(self, failures: int, retry: int) -> None:
        """Raises TooManyFailed where these, with what others have committed, are more than the job may have.

        Args:
            failures: of the mini-batch at hand by now.
            retry: of which plan it is: what fails in all but the last one is tried again.
        """
        allowed, before = self._job.deployment.settings.error_threshold, self._failed_by_all
        if failures and retry == self._job.retries and over_threshold(before + failures, allowed):
            others = f" and {before} before" if before else ""
            raise TooManyFailed(
                f"{failures} rows of one mini-batch failed{others}, more than error_threshold ({allowed}) allows; "
                "its other rows were not tried."
            )
