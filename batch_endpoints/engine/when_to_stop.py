"""When a worker is to begin nothing more: somebody says so in the job folder, or too much of the job has failed."""

from __future__ import annotations

import time

from batch_endpoints.policies.error_threshold import over_threshold
from batch_endpoints.specs import JobSpec
from batch_endpoints.storage.job_folder import JobFolder

LOOK_SECONDS = 1.0  # how often a worker looks for it


class TooManyFailed(Exception):
    """The job cannot succeed any more, whatever becomes of the rest of this mini-batch."""


class WhenToStop:
    """Looks into the job folder now and then.

    Args:
        folder: of the job's latest run.
    """

    def __init__(self, folder: JobFolder, job: JobSpec) -> None:
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
