"""What the driver tells of its job while it runs: status, counts, rate, ETA; written at most once a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from batch_endpoints.interfaces import BundleOutcome
from batch_endpoints.specs import JobError, JobOutput, JobState, JobStatus, Progress
from batch_endpoints.storage.commits import Totals
from batch_endpoints.storage.job_folder import JobFolder

WRITE_SECONDS = 1.0
logger = logging.getLogger(__name__)


class ProgressKeeper:
    """The job's state, and its copy in the job folder."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        before = folder.state()
        began = before.started_at if before else None
        # what an earlier driver of this job has spent and said stays
        self.state = JobState(
            status="Preparing",
            started_at=began or _now(),
            seconds=before.seconds if before else {},
            notes=before.notes if before else (),
        )
        self._by_bundle: dict[int, Totals] = {}
        self._stage_began = self._written = time.monotonic()
        self._items_before = 0
        self._write()

    def stage(self, status: JobStatus) -> None:
        """The job enters its next stage."""
        self._close_stage()
        logger.info("%s", status)
        self._change(status=status)
        self._write()

    def note(self, note: str) -> None:
        """Something a user should know of."""
        if note not in self.state.notes:
            logger.warning("%s", note)
            self._change(notes=(*self.state.notes, note))

    def begin_run(self, mini_batches: int, items: int, committed: Mapping[int, Totals]) -> None:
        """The plan is known, and what of it an earlier driver has done."""
        self._by_bundle = dict(committed)
        self._change(progress=Progress(mini_batches=mini_batches, items=items))
        self._count()
        self._items_before = self._items_done
        self.stage("Running")

    def outcome(self, outcome: BundleOutcome) -> None:
        """A bundle is done, or as far as it got."""
        self._by_bundle[outcome.bundle] = Totals(
            outcome.mini_batches, outcome.items_succeeded, outcome.items_failed, outcome.rows
        )
        self._count()
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self._write()

    def end(
        self, status: JobStatus, *, error: JobError | None = None, outputs: Mapping[str, JobOutput] | None = None
    ) -> None:
        """The last word."""
        self._close_stage()
        if error:
            logger.error("%s\n%s", error.message, error.details)
        self._change(status=status, error=error, outputs=dict(outputs or {}), ended_at=_now())
        self._change(progress=self.state.progress.model_copy(update={"eta_seconds": None}))
        self._write()

    @property
    def _items_done(self) -> int:
        return self.state.progress.items_succeeded + self.state.progress.items_failed

    def _count(self) -> None:
        done = _sum(self._by_bundle.values())
        progress = self.state.progress.model_copy(
            update={
                "mini_batches_done": done.mini_batches,
                "items_succeeded": done.items_succeeded,
                "items_failed": done.items_failed,
                "rows": done.rows,
            }
        )
        self._change(progress=progress)
        seconds = time.monotonic() - self._stage_began
        new = self._items_done - self._items_before
        if self.state.status == "Running" and seconds > 0 and new:
            rate = new / seconds
            left = (progress.items - self._items_done) / rate
            self._change(
                progress=progress.model_copy(
                    update={"items_per_second": round(rate, 3), "eta_seconds": round(left, 1)}
                )
            )

    def _close_stage(self) -> None:
        now = time.monotonic()
        name = self.state.status.lower()
        spent = self.state.seconds.get(name, 0.0) + now - self._stage_began
        self._change(seconds={**self.state.seconds, name: round(spent, 3)})
        self._stage_began = now

    def _change(self, **values: object) -> None:
        self.state = self.state.model_copy(update=values)

    def _write(self) -> None:
        self._folder.write_state(self.state)
        self._written = time.monotonic()


def _sum(parts: Iterable[Totals]) -> Totals:
    columns = list(zip(*parts, strict=True))
    return Totals(*(sum(column) for column in columns)) if columns else Totals()


def _now() -> datetime:
    return datetime.now(timezone.utc)
