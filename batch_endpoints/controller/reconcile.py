"""The reconcile loop: queued jobs are launched, lost drivers relaunched, finished jobs closed.

It compares what the records want with what Ray and the job folders say, and keeps nothing in memory that it could
not lose: killed at any moment, the next one goes on. Each step may happen twice without harm, because a launch has an
id that Ray takes once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import get_args

from batch_endpoints.controller.children import Children, ended_steps
from batch_endpoints.errors import BatchEndpointError, InputError, StoreUnavailable
from batch_endpoints.interfaces.launcher import JobLauncher, Launch
from batch_endpoints.interfaces.records import Page, RecordStore
from batch_endpoints.policies.lifecycle import may_move
from batch_endpoints.specs import TERMINAL, BatchJob, JobError, JobState, JobStatus
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

logger = logging.getLogger(__name__)

MAX_LAUNCHES = 3
PENDING_SECONDS = 300.0  # that Ray may take to start a driver; on a machine that is loaded it takes some ten
LOOK_SECONDS = 1.0  # how often Ray is asked for a driver that was alive; job folders are read at every tick
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)
_TROUBLE = (BatchEndpointError, OSError, ValueError)  # with one job's folder, or with its driver
_Watch = tuple[str, bool]
_LIVE: tuple[JobStatus, ...] = tuple(
    status for status in get_args(JobStatus) if status not in TERMINAL and status != "NotStarted"
)


class Controller:
    """Brings jobs from NotStarted to their end.

    Args:
        max_running_jobs: drivers that may run at the same time.
        max_launches: drivers that one job may use up, one behind the other, without getting on.
        clock: now, in UTC.
    """

    def __init__(
        self,
        store: RecordStore,
        launcher: JobLauncher,
        *,
        max_running_jobs: int,
        max_launches: int = MAX_LAUNCHES,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._launcher, self._clock = store, launcher, clock
        self._max_running_jobs, self._max_launches = max_running_jobs, max_launches
        self._children = Children(store, clock)
        self._seen_alive: dict[_Watch, datetime] = {}
        self._pending_since: dict[str, datetime] = {}  # by launch
        self._silent: set[str] = set()  # stores that have not answered in this tick
        self._told: dict[str, str] = {}  # the last warning about a job: not again at every tick

    def reconcile(self) -> bool:
        """Look at every open job once and do what is next for it.

        Returns: is there anything open?
        """
        self._silent.clear()
        live = self._jobs(_LIVE)
        self._forget_all_but(live)
        running = 0
        for job in live:
            running += not self._with_care(job, self._follow).ended
        waiting = self._store.jobs(
            statuses=("NotStarted",), oldest_first=True, page=Page(top=max(1, self._max_running_jobs - running))
        ).items
        for job in waiting[: max(0, self._max_running_jobs - running)]:
            self._with_care(job, self._launch)
        return bool(live or waiting)

    def _jobs(self, statuses: tuple[JobStatus, ...]) -> list[BatchJob]:
        found: list[BatchJob] = []
        page = Page(top=200)
        while True:
            listing = self._store.jobs(statuses=statuses, oldest_first=True, page=page)
            found += listing.items
            if not listing.next:
                return found
            page = Page(top=200, after=listing.next)

    def _with_care(self, job: BatchJob, act: Callable[[BatchJob], BatchJob]) -> BatchJob:
        """One job that cannot be brought on must not keep the others waiting."""
        try:
            with patience(HURRIED_SECONDS):
                done = act(job)
        except _TROUBLE as error:
            if self._told.get(job.name) != str(error):
                logger.warning("job '%s' cannot be brought on now: %s", job.name, error)
            self._told[job.name] = str(error)
            return job
        self._told.pop(job.name, None)
        return done

    @contextmanager
    def _folder(self, job: BatchJob) -> Iterator[JobFolder]:
        """A job's folder; a store that has not answered once is not asked again in the same tick.

        Raises:
            StoreUnavailable: it is in such a store.
        """
        store = _store(job.folder)
        if store in self._silent:
            raise StoreUnavailable(f"the store '{shown(store)}' does not answer")
        try:
            yield JobFolder(writable_place(job.folder), job.folder, job.spec.resumption)
        except (TimeoutError, StoreUnavailable):
            self._silent.add(store)
            raise

    def _launch(self, job: BatchJob) -> BatchJob:
        """Admit a job, or start another driver for one whose driver was lost."""

        def admit(now: BatchJob) -> BatchJob:
            if not _same(now, job) or not may_move(now.status, "Starting"):
                return now  # canceled, or admitted by another controller, a moment ago
            return now.replaced(
                status="Starting",
                launches=now.launches + 1,
                launches_before=now.launches - _in_vain(now),
                done_at_launch=now.state.progress.mini_batches_done,
                modified_at=self._clock(),
            )

        admitted = self._store.update_job(job.name, admit)
        if admitted.status == "Starting" and admitted.launches == job.launches + 1:
            logger.info("job '%s' is launched (launch %d)", job.name, admitted.launches)
            return self._start(admitted)
        return admitted

    def _start(self, job: BatchJob) -> BatchJob:
        try:
            with self._folder(job) as folder:
                folder.write_job(job.spec)
        except InputError as error:  # a place that can never hold a job folder
            return self._end(job, "Failed", None, JobError(code=error.code, message=error.what, details=error.mend))
        self._launcher.launch(job.launch_id, job.folder)
        if self._store.job(job.name).ended:  # another controller saw a canceled job without a driver, and closed it
            self._launcher.stop(job.launch_id)
        return job

    def _follow(self, job: BatchJob) -> BatchJob:
        try:
            with self._folder(job) as folder:
                return self._look_after(job, folder)
        except _TROUBLE:
            if job.status != "CancelRequested":
                raise
            # its folder is out of reach, perhaps for good: the work shall end all the same
            status = self._launcher.look(job.launch_id).status
            if status in ("pending", "running"):
                self._launcher.stop(job.launch_id)
            if status == "running":
                raise
            return self._end(job, "Canceled", job.state, None)

    def _look_after(self, job: BatchJob, folder: JobFolder) -> BatchJob:
        state = folder.state()
        if state is not None and state.ended_at:
            return self._close(job, state)
        watch = _watch(job)
        if timedelta(0) <= self._clock() - self._seen_alive.get(watch, _LONG_AGO) < timedelta(seconds=LOOK_SECONDS):
            return self._copy(job, state)
        launch = self._launcher.look(job.launch_id)
        if launch.status in ("pending", "running"):
            self._seen_alive[watch] = self._clock()
        if job.status == "CancelRequested":
            return self._cancel(job, folder, launch, state)
        if launch.status == "pending":
            return self._wait_for_driver(job, launch, state)
        if launch.status == "running":
            return self._copy(job, state)
        if launch.status == "absent":  # its cluster is gone, or a controller died between the record and the launch
            return self._launch_again(self._copy(job, state))
        state = folder.state()  # the driver may have written its report just before it ended
        if state is not None and state.ended_at:
            return self._close(job, state)
        if launch.status == "stopped":
            return self._end(job, "Canceled", state, JobError(code="Stopped", message="stopped through Ray Jobs"))
        # what the lost driver said last is taken over now: later it would pass for its successor's word
        return self._relaunch(self._copy(job, state), launch, state)

    def _launch_again(self, job: BatchJob) -> BatchJob:
        """The launch that is in the record already; it uses up no other one."""

        def restart(now: BatchJob) -> BatchJob:
            if now.status == "Starting" or not _same(now, job) or not may_move(now.status, "Starting"):
                return now
            return now.replaced(status="Starting", modified_at=self._clock())

        starting = self._store.update_job(job.name, restart)
        if starting.status == "Starting" and starting.launches == job.launches:
            return self._start(starting)
        return starting

    def _relaunch(self, job: BatchJob, launch: Launch, state: JobState | None) -> BatchJob:
        why = launch.message.splitlines()[-1] if launch.message else "it left no message"
        used_up = _in_vain(job)
        if used_up < self._max_launches:
            logger.warning("job '%s' lost its driver (launch %d): %s", job.name, job.launches, why)
            return self._launch(job)
        error = JobError(
            code="DriverLost",
            message=f"the job's driver was lost {used_up} times; the last time: {why}",
            details=launch.message,
        )
        return self._end(job, "Failed", state, error)

    def _wait_for_driver(self, job: BatchJob, launch: Launch, state: JobState | None) -> BatchJob:
        """End a job whose driver does not start: a driver reserves nothing, so there is room for it at once."""
        since = self._pending_since.setdefault(job.launch_id, self._clock())
        waited = (self._clock() - since).total_seconds()
        if waited < PENDING_SECONDS:
            return self._copy(job, state)
        self._launcher.stop(job.launch_id)
        error = JobError(
            code="DriverNotStarted",
            message=f"Ray has not started the job's driver within {waited:.0f} s, though it needs no free CPU",
            details=launch.message,
        )
        return self._end(job, "Failed", state, error)

    def _cancel(self, job: BatchJob, folder: JobFolder, launch: Launch, state: JobState | None) -> BatchJob:
        folder.ask_to_cancel()  # a driver that starts all the same ends by that
        if launch.status in ("pending", "running"):
            self._launcher.stop(job.launch_id)  # one that runs gets a signal and writes its report
        if launch.status == "running":
            return job
        return self._end(job, "Canceled", state, None)

    def _close(self, job: BatchJob, state: JobState) -> BatchJob:
        logger.info("job '%s' has ended: %s", job.name, state.status)
        self._children.follow(job, state)
        return self._store.update_job(
            job.name,
            lambda now: (
                now
                if now.ended or not _same_run(now, job) or not may_move(now.status, state.status)
                else now.replaced(status=state.status, state=state, modified_at=self._clock())
            ),
        )

    def _end(self, job: BatchJob, status: JobStatus, state: JobState | None, error: JobError | None) -> BatchJob:
        """Close a job whose driver cannot do it any more, also for those who see its folder alone."""
        last = state or JobState(status=status, resumption=job.spec.resumption)
        now = self._clock()
        ended = {"status": status, "ended_at": now, "error": error, "steps": ended_steps(last, status, now)}
        last = last.model_copy(update=ended)
        try:
            with self._folder(job) as folder:
                folder.write_state(last)
        except _TROUBLE as trouble:
            logger.warning("the folder of job '%s' cannot be told of its end: %s", job.name, trouble)
        return self._close(job, last)

    def _copy(self, job: BatchJob, state: JobState | None) -> BatchJob:
        """Take over what the driver tells."""
        if state is None or state == job.state:
            return job
        self._children.follow(job, state)

        def take(now: BatchJob) -> BatchJob:
            if not _same_run(now, job):
                return now
            status = state.status if may_move(now.status, state.status) else now.status
            return now.replaced(status=status, state=state, modified_at=self._clock())

        return self._store.update_job(job.name, take)

    def _forget_all_but(self, live: list[BatchJob]) -> None:
        watches, names = {_watch(job) for job in live}, {job.name for job in live}
        launches = {job.launch_id for job in live}
        self._pending_since = {launch: when for launch, when in self._pending_since.items() if launch in launches}
        self._seen_alive = {watch: when for watch, when in self._seen_alive.items() if watch in watches}
        self._told = {name: what for name, what in self._told.items() if name in names}
        self._children.forget_all_but(names)


def _in_vain(job: BatchJob) -> int:
    """Launches since the job has last got on: in a week many drivers may be lost, each of which has done its part."""
    return 0 if job.state.progress.mini_batches_done > job.done_at_launch else job.launches - job.launches_before


def _same(now: BatchJob, job: BatchJob) -> bool:
    return now.status == job.status and now.launches == job.launches


def _same_run(now: BatchJob, job: BatchJob) -> bool:
    """Was it neither resumed nor told to try again since? What another run of it has told is history."""
    return now.spec.resumption == job.spec.resumption


def _watch(job: BatchJob) -> _Watch:
    """What was looked at: a cancel asked for in between deserves a look at once."""
    return job.launch_id, job.status == "CancelRequested"


def _store(uri: str) -> str:
    """Scheme and bucket of a job folder."""
    return "/".join(uri.split("/")[:3])
