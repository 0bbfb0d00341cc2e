"""A job that is followed: its logs and its progress as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from starlette.concurrency import run_in_threadpool

from batch_endpoints.ingress.job_feeds import JobFeeds, Round
from batch_endpoints.specs import BatchJob
from batch_endpoints.storage.job.logs import JobLogs, Section

_KEEP_ALIVE_SECONDS = 10.0
_BATCH_BYTES = 1 << 18


async def follow(
    feeds: JobFeeds, job: BatchJob, look: Callable[[], BatchJob], *, worker: str = "", errors: bool = False
) -> AsyncIterator[str]:
    """Server-sent events of a job until it has ended: ``log``, ``progress`` and at last ``end``.

    Args:
        feeds: whose readers are shared with all others that follow the job.
        job: as it was a moment ago.
        look: reads the job's record.
        worker: only logs with this in their names; each line of the others begins with the name of its log.
        errors: as of ``JobLogs``.
    """
    progress = ""
    last: Round | None = None
    logs: JobLogs | None = None  # at the end of ``last``; None where that round was not read by this follower
    with feeds.joined(job, look, worker=worker, errors=errors) as feed:
        while not (last and last.final):
            moved = feed.moved()
            found = feed.after(last)
            if feed.progress != progress:
                progress = feed.progress
                yield _event("progress", progress)
            if not found:
                if not await _set_in_time(moved):
                    yield ": keep-alive\n\n"
                continue
            if last and found.sections is not None and found.number == last.number + 1:
                sections, logs = iter(found.sections), None
            else:
                logs = logs or feed.logs(last)
                sections = await run_in_threadpool(logs.added, found.sizes)
            while lines := await run_in_threadpool(_lines, sections, not worker):
                yield "".join(_event("log", line) for line in lines)
            if logs and found.final:
                yield "".join(_event("log", line) for line in _lines(logs.rest(), not worker))
            last = found
        yield _event("end", progress)


async def _set_in_time(moved: asyncio.Event) -> bool:
    """Was it set before the client has to hear that the server is still there?"""
    try:
        await asyncio.wait_for(moved.wait(), _KEEP_ALIVE_SECONDS)
    except TimeoutError:
        return False
    return True


def _lines(sections: Iterator[Section], labelled: bool) -> list[str]:
    """The next lines, as many as one answer should carry; none where there are no more."""
    lines: list[str] = []
    size = 0
    for section in sections:
        text = section.labelled() if labelled else section.text
        lines += text.removesuffix(b"\n").decode(errors="backslashreplace").split("\n")
        size += len(text)
        if size >= _BATCH_BYTES:
            break
    return lines


def _event(name: str, data: str) -> str:
    # splitlines knows more line breaks than the format does, but clients may know them all
    return f"event: {name}\ndata: {' '.join(data.splitlines())}\n\n"
