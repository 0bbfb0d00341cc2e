"""What the driver tells of its job while it runs: status, counts, rate, ETA; written at most once a second.

Workers commit inside a bundle as they go; ``follow_commits`` reads that, so that counts move before a bundle is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import chain, islice
from typing import Literal

from batch_endpoints.planning.blocks import guided_blocks
from batch_endpoints.planning.job_plan import Bundle, JobPlan
from batch_endpoints.specs import (
    JobError,
    JobOutput,
    JobState,
    JobStatus,
    Progress,
    RenamedFile,
    RenamedFiles,
    SkippedFile,
)
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, patience
from batch_endpoints.storage.job.commits import CommitLog, Totals, totals
from batch_endpoints.storage.job.job_folder import JobFolder

WRITE_SECONDS = 1.0
LOOK_SECONDS = 2.0
MOST_NOTES = 20
MOST_RENAMED = 100  # in the report
Stage = Literal["environment", "list", "first_mini_batch", "scoring", "finalizing"]
"""What a driver spends its time on, one behind the other; see ``JobState.seconds``."""
logger = logging.getLogger(__name__)


class ProgressKeeper:
    """The job's state, and its copy in the job folder. Any thread may call it.

    Args:
        asked_at: when this run of the job was asked for; None where nobody knows.
    """

    def __init__(self, folder: JobFolder, asked_at: datetime | None = None) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        before = folder.state()
        now = _now()
        began = before.started_at if before else None
        queued = {"queue": round(max(0.0, (now - asked_at).total_seconds()), 3)} if asked_at else {}
        # what an earlier driver of this job has spent and said stays
        self.state = JobState(
            status="Preparing",
            resumption=folder.resumption,
            started_at=began or now,
            seconds=before.seconds if before else queued,
            notes=before.notes if before else (),
        )
        self._by_bundle: dict[int, Totals] = {}
        self._done = Totals()
        self._stage: Stage = "environment"
        self._stage_began = self._written = time.monotonic()
        self._told = True
        self._items_before = 0
        self._first: tuple[float, int] | None = None  # when the first results of this driver came, and the items then
        self._write()

    def enter(self, stage: Stage) -> None:
        """The job is at something else from now on; what it tells of its status stays."""
        with self._lock:
            self._close_stage()
            self._stage = stage

    def finalize(self) -> None:
        """All is scored, and what is left is to write the output."""
        with self._lock:
            self.enter("finalizing")
            self._show("Finalizing")

    def runs_on(self, versions: Mapping[str, str]) -> None:
        """Versions of what does the work; those that are known already stay."""
        with self._lock:
            self._change(versions={**self.state.versions, **versions})

    def note(self, note: str) -> None:
        """Something a user should know of."""
        with self._lock:
            known = self.state.notes
            if note in known or len(known) > MOST_NOTES:
                return
            logger.warning("%s", note)
            self._change(notes=(*known, note if len(known) < MOST_NOTES else "there is more to note, left out here"))
            self._told = False
            self.tell()

    def leave_out(self, skipped: Sequence[SkippedFile]) -> None:
        """What the listing has left out of the input."""
        with self._lock:
            self._change(progress=self.state.progress.model_copy(update={"items_skipped": len(skipped)}))
            if skipped:
                self.note(
                    f"{len(skipped)} entries of the input are skipped; the first, '{skipped[0].file}': "
                    f"{skipped[0].reason}; skipped.jsonl in the job folder has all"
                )

    def rename(self, renamed: Sequence[RenamedFile]) -> None:
        """Files that scripts wrote and that the output has under other names."""
        if not renamed:
            return
        with self._lock:
            first = renamed[0]
            self._change(renamed_files=RenamedFiles(count=len(renamed), first=tuple(renamed[:MOST_RENAMED])))
            self.note(
                f"files of scripts under other names: {len(renamed)}; the first, '{first.file}', is kept as "
                f"'{first.kept_as}': {first.reason}; renamed_files.jsonl in the job folder has all"
            )

    def describe_columns(self, columns: Mapping[str, str] | None) -> None:
        """The output's columns, with their types."""
        with self._lock:
            self._change(columns=columns)

    def begin_run(
        self,
        mini_batches: int,
        items: int,
        committed: Mapping[int, Totals],
        before: Totals,
        waits_for: Literal["nodes", "workers"] = "workers",
    ) -> None:
        """The plan is known, and what of it an earlier driver has done; the job is Running with the first worker.

        Args:
            mini_batches, items: of the whole job.
            committed: of each bundle.
            before: what is done in no bundle of this plan: by a retry, what had not failed.
            waits_for: what has to come before the first worker can.
        """
        with self._lock:
            self._by_bundle = dict(committed)
            self._done = _sum(before, *committed.values())
            self._first = None
            skipped = self.state.progress.items_skipped
            self._change(progress=Progress(mini_batches=mini_batches, items=items, items_skipped=skipped))
            self._count()
            self._items_before = self._items_done
            self.enter("first_mini_batch")
            if self.state.status == "Preparing":  # not so in a second round
                self._show("Provisioning" if waits_for == "nodes" else "Queued")
            else:
                self._write()  # workers must not take the failures of the round before for those of this one

    def worker_up(self) -> None:
        with self._lock:
            if self.state.status in ("Provisioning", "Queued"):
                self._show("Running")

    def bundle(self, index: int, so_far: Totals) -> None:
        """What counts of a bundle by now. Whoever knows less than was known before changes nothing."""
        with self._lock:
            known = self._by_bundle.get(index, Totals())
            if so_far.mini_batches <= known.mini_batches:
                return
            if self._stage == "first_mini_batch":
                self.enter("scoring")
            self._by_bundle[index] = so_far
            self._done = Totals(*(all + new - old for all, new, old in zip(self._done, so_far, known, strict=True)))
            self._count()
            self._told = False
            self.tell()

    def done(self, bundle: Bundle) -> bool:
        """Is all of a bundle known to be committed?"""
        with self._lock:
            return self._by_bundle.get(bundle.index, Totals()).mini_batches == len(bundle.mini_batches)

    def tell(self) -> None:
        """Write what is not written yet, unless something was written a moment ago."""
        with self._lock:
            if not self._told and time.monotonic() - self._written >= WRITE_SECONDS:
                self._write()

    def end(
        self,
        status: JobStatus,
        counted: Totals,
        *,
        error: JobError | None = None,
        plan: JobPlan | None = None,
        outputs: Mapping[str, JobOutput] | None = None,
        accounts: Mapping[str, object] | None = None,
    ) -> None:
        """The last word.

        Args:
            counted: the sum of all commits; workers may have committed more than was told here.
            plan: of the whole job, of which nothing was told here where it ends before it runs again.
            accounts: what only a report says; see ``engine/driver/accounts.py``.
        """
        with self._lock:
            self._close_stage()
            self._change(ended_at=_now())
            if error:
                logger.error("%s\n%s", error.message, error.details)
            self._done = counted
            if plan:
                of_plan = {"mini_batches": plan.mini_batches, "items": plan.items, "items_skipped": len(plan.skipped)}
                self._change(progress=self.state.progress.model_copy(update=of_plan))
            self._count()
            self._change(status=status, error=error, outputs=dict(outputs or {}), **accounts or {})
            self._change(progress=self.state.progress.model_copy(update={"eta_seconds": None}))
            self._write()

    @property
    def failures(self) -> int:
        """What counts towards ``error_threshold`` by now."""
        return self._done.failures

    @property
    def _items_done(self) -> int:
        return self._done.items_succeeded + self._done.items_failed

    def _count(self) -> None:
        done = self._done
        update: dict[str, object] = {
            "mini_batches_done": done.mini_batches,
            "items_succeeded": done.items_succeeded,
            "items_failed": done.items_failed,
            "rows": done.rows,
            "rows_failed": done.rows_failed,
        }
        if self.state.status == "Running" and not self.state.ended_at:
            update |= self._pace()
        self._change(progress=self.state.progress.model_copy(update=update))

    def _pace(self) -> dict[str, object]:
        """Rate and time left, counted from the first result on: workers that only start say nothing of either."""
        now = time.monotonic()
        if self._first is None:
            if self._items_done > self._items_before:
                self._first = (now, self._items_done)
            return {}
        began, items = self._first
        if now <= began or self._items_done <= items:
            return {}
        rate = (self._items_done - items) / (now - began)
        left = (self.state.progress.items - self._items_done) / rate
        return {"items_per_second": round(rate, 3), "eta_seconds": round(left, 1)}

    def _close_stage(self) -> None:
        now = time.monotonic()
        spent = self.state.seconds.get(self._stage, 0.0) + now - self._stage_began
        self._change(seconds={**self.state.seconds, self._stage: round(spent, 3)})
        self._stage_began = now

    def _show(self, status: JobStatus) -> None:
        logger.info("%s", status)
        self._change(status=status)
        self._write()

    def _change(self, **values: object) -> None:
        self.state = self.state.model_copy(update=values)

    def _write(self) -> None:
        self._folder.write_state(self.state)
        self._written, self._told = time.monotonic(), True


@contextmanager
def follow_commits(
    keeper: ProgressKeeper,
    commits: CommitLog,
    bundles: Sequence[Bundle],
    workers: int,
    then: Callable[[], None],
) -> Iterator[None]:
    """While the block runs, tell every few seconds what is committed of bundles that are not done.

    Args:
        bundles: in the order in which they are begun, by blocks of ``guided_blocks`` or one by one.
        workers: how many score them; each has two bundles or blocks at most.
        then: called behind each look, in the thread that looks.
    """
    ended = threading.Event()
    blocks = guided_blocks(bundles, max(1, min(workers, len(bundles))))
    ends: dict[int, tuple[int, Totals]] = {}

    def look() -> None:
        left = [[bundle for bundle in block if not keeper.done(bundle)] for block in blocks]
        first = islice(chain.from_iterable(left), 2 * workers)
        first_of_blocks = islice((block[0] for block in left if block), 2 * workers)
        for bundle in {bundle.index: bundle for bundle in chain(first, first_of_blocks)}.values():
            end, known = ends.get(bundle.index, (bundle.start, Totals()))
            while commit := commits.at(bundle.index, end):
                end, known = commit.end, _sum(known, totals([commit]))
            ends[bundle.index] = end, known
            keeper.bundle(bundle.index, known)
        keeper.tell()
        then()

    def watch() -> None:
        with patience(HURRIED_SECONDS, ended):
            while not ended.wait(LOOK_SECONDS):
                try:
                    look()
                except OSError as error:  # the outcome of the bundle will tell
                    logger.warning("commits cannot be read now: %s", error)

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sum(*parts: Totals) -> Totals:
    return Totals(*(sum(column) for column in zip(*parts, strict=True))) if parts else Totals()


def _now() -> datetime:
    return datetime.now(timezone.utc)
