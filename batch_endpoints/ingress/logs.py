"""A job that is followed: its logs and its progress as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

from starlette.concurrency import run_in_threadpool

from batch_endpoints.ingress.jobs import job_answer
from batch_endpoints.specs import BatchJob
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.logs import JobLogs, Section, chosen_logs, logs_on_disk

_POLL_SECONDS = 0.3
_KEEP_ALIVE_SECONDS = 10.0
_BATCH_BYTES = 1 << 18


async def follow(look: Callable[[], BatchJob], *, worker: str = "", errors: bool = False) -> AsyncIterator[str]:
    """Server-sent events of a job until it has ended: ``log``, ``progress`` and at last ``end``.

    Args:
        look: reads the job's record.
        worker: only logs with this in their names; each line of the others begins with the name of its log.
        errors: as of ``JobLogs``.
    """
    job = await run_in_threadpool(look)
    told: dict[str, Any] = {}
    spoke = time.monotonic()
    with ExitStack() as stack:
        logs: JobLogs | None = None
        while True:
            answer = job_answer(job)
            if answer != told:
                told, spoke = answer, time.monotonic()
                yield _event("progress", json.dumps(answer))
            # the record was read before the logs: when it says that the job has ended, its logs are complete
            if logs is None and (job.ended or open_place(job.folder).disk):  # in a store nothing can be added
                names = await run_in_threadpool(chosen_logs, job.folder, "")
                place = await run_in_threadpool(stack.enter_context, logs_on_disk(job.folder, names))
                logs = JobLogs(place, worker=worker, errors=errors)
            if logs:
                added = await run_in_threadpool(logs.added)
                while lines := await run_in_threadpool(_lines, added, not worker):
                    spoke = time.monotonic()
                    yield "".join(_event("log", line) for line in lines)
            if logs and job.ended:
                yield "".join(_event("log", line) for line in _lines(logs.rest(), not worker))
            if job.ended:
                yield _event("end", json.dumps(answer))
                return
            if time.monotonic() - spoke >= _KEEP_ALIVE_SECONDS:
                spoke = time.monotonic()
                yield ": keep-alive\n\n"
            await asyncio.sleep(_POLL_SECONDS)
            job = await run_in_threadpool(look)


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
