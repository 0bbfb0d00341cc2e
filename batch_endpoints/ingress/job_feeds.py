"""One reader for each job that is followed: whoever follows it gets what that one has read."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from batch_endpoints.ingress.job_answer import job_answer
from batch_endpoints.specs import BatchJob
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.job.logs import JobLogs, Reached, Section, chosen_logs, logs_on_disk

POLL_SECONDS = 0.3
KEPT_BYTES = 1 << 18  # of one round
_KEPT_ROUNDS = 4


async def _pause() -> None:
    await asyncio.sleep(POLL_SECONDS)


@dataclass(eq=False)
class Round:
    """What one look at the logs has found.

    Args:
        number: from 1.
        sizes: bytes of each log that it goes to; a last line that has no end is left for the next round.
        final: the job had ended before: no round comes after, and lines without an end are part of it.
        sections: what it has found, where that is kept; None where each follower has to read it.
        reached: where the next round begins.
    """

    number: int
    sizes: dict[str, int]
    final: bool
    sections: tuple[Section, ...] | None = None
    reached: dict[str, Reached] = field(default_factory=dict)


class JobFeed:
    """The record and the logs of one job, read again and again until the job has ended.

    The last rounds are kept, if they are small. A follower that is new or slow reads the logs itself up to the latest
    round and goes on from there: it holds up no other, and nothing is kept for it.

    Args:
        look: reads the job's record.
        worker: only logs with this in their names.
        errors: as of ``JobLogs``.
        pause: waits between two looks.
    """

    def __init__(
        self, look: Callable[[], BatchJob], worker: str, errors: bool, pause: Callable[[], Awaitable[None]]
    ) -> None:
        self._look, self._pause = look, pause
        self._worker, self._errors = worker, errors
        self._rounds: deque[Round] = deque(maxlen=_KEPT_ROUNDS)
        self._place = Path()
        self._moved = asyncio.Event()
        self._error: BaseException | None = None
        self.progress = ""  # the record as JSON; empty until it has been read
        self.over = False  # the job has ended, or could not be read
        self.followers = 0
        self._reading = asyncio.create_task(self._read())

    def moved(self) -> asyncio.Event:
        """Is set at the next change of ``progress`` or :meth:`after`; ask for it before you look at them."""
        return self._moved

    def after(self, last: Round | None) -> Round | None:
        """The round that a follower needs next; None where there is none yet.

        Args:
            last: the round it has come to.

        Returns:
            the next one if its sections are kept, otherwise the latest one, which may have sections too: a follower
            that has missed what is between reads up to that one's sizes.

        Raises:
            Exception: what the record or the logs could not be read for.
        """
        if self._error:
            raise self._error
        if not self._rounds or self._rounds[-1] is last:
            return None
        following = (
            one for one in self._rounds if last and one.number == last.number + 1 and one.sections is not None
        )
        return next(following, self._rounds[-1])

    def logs(self, last: Round | None) -> JobLogs:
        """A reader of a follower's own, from the end of a round that was kept, or from the beginning."""
        reached = last.reached if last else {}
        return JobLogs(self._place, worker=self._worker, errors=self._errors, reached=reached)

    def stop(self) -> None:
        self._reading.cancel()

    async def _read(self) -> None:
        try:
            with ExitStack() as stack:
                await self._read_until_ended(stack)
                await asyncio.Event().wait()  # the logs stay where they are until the last follower has gone
        except Exception as error:
            self._error, self.over = error, True
            self._wake()

    async def _read_until_ended(self, stack: ExitStack) -> None:
        logs: JobLogs | None = None
        while True:
            job = await run_in_threadpool(self._look)
            self.over = job.ended
            self.progress = json.dumps(job_answer(job))
            self._wake()
            # the record was read before the logs: when it says that the job has ended, its logs are complete
            if logs is None and (job.ended or open_place(job.folder).disk):  # in a store nothing can be added
                names = await run_in_threadpool(chosen_logs, job.folder, "", tuple(job.state.steps))
                self._place = await run_in_threadpool(stack.enter_context, logs_on_disk(job.folder, names))
                logs = self.logs(None)
            if logs:
                await self._look_at(logs, final=job.ended)
            if job.ended:
                return
            await self._pause()

    async def _look_at(self, logs: JobLogs, *, final: bool) -> None:
        sizes = await run_in_threadpool(logs.sizes)
        last = self._rounds[-1] if self._rounds else None
        if last and last.sizes == sizes and not final:
            return
        found = Round(last.number + 1 if last else 1, sizes, final)
        if last is None:  # all that there is so far: each follower reads that itself, and begins at once
            self._publish(found)
        if last or not final:
            found.sections = await run_in_threadpool(_taken, logs, found, bool(last))
            found.reached = logs.reached()
        if last:
            self._publish(found)

    def _publish(self, found: Round) -> None:
        self._rounds.append(found)
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class JobFeeds:
    """The feeds that are followed now, one for each job and choice of logs.

    Args:
        pause: waits between two looks at a job.
    """

    def __init__(self, pause: Callable[[], Awaitable[None]] = _pause) -> None:
        self._pause = pause
        self._feeds: dict[tuple[str, str, bool], JobFeed] = {}

    @contextmanager
    def joined(self, job: BatchJob, look: Callable[[], BatchJob], *, worker: str, errors: bool) -> Iterator[JobFeed]:
        """The feed of a job while the block runs; it ends with its last follower."""
        key = f"{job.name} {job.folder}", worker, errors
        feed = self._feeds.get(key)
        if feed is None or feed.over:  # a job that has ended may have been resumed since
            feed = self._feeds[key] = JobFeed(look, worker, errors, self._pause)
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                feed.stop()
                if self._feeds.get(key) is feed:
                    del self._feeds[key]


def _taken(logs: JobLogs, found: Round, keep: bool) -> tuple[Section, ...] | None:
    """Read a round to its end; its sections, where they are to be kept and not too long."""
    kept: list[Section] = []
    size = 0
    for section in logs.added(found.sizes):
        size += len(section.text)
        keep = keep and size <= KEPT_BYTES
        if keep:
            kept.append(section)
    if found.final:
        kept += logs.rest()
    return tuple(kept) if keep else None
