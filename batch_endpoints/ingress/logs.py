"""Logs of a job, as one text or followed while they grow."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from batch_endpoints.ingress.jobs import job_answer
from batch_endpoints.specs import BatchJob
from batch_endpoints.storage.filesystem import local_path, open_filesystem

_POLL_SECONDS = 0.3
_KEEP_ALIVE_SECONDS = 10.0
_PIECE_BYTES = 1 << 18


def log_files(folder: str) -> list[Path]:
    """The log files of a job: the driver's first, then the workers' by number; none before it has started."""
    top = local_path(folder)
    logs = top / "logs" if top else None
    if logs is None or not logs.is_dir():
        return []
    return sorted((path for path in logs.iterdir() if path.is_file()), key=_reading_order)


def whole_logs(folder: str) -> Iterator[bytes]:
    """All logs as one text, each file with a heading."""
    if local_path(folder) is None:
        yield from _stored_logs(folder)
        return
    for path in log_files(folder):
        yield f"==> {path.name} <==\n".encode()
        last = b"\n"
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
                last = piece[-1:]
        yield b"\n" if last == b"\n" else b"\n\n"


def _stored_logs(folder: str) -> Iterator[bytes]:
    """Logs of a job folder in a store: a driver's is there when it has ended, a worker's with each commit."""
    files = open_filesystem(folder)
    for path in sorted(map(Path, files.names("logs")), key=_reading_order):
        yield f"==> {path.name} <==\n".encode()
        with files.open_input(f"logs/{path}") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
        yield b"\n\n"


class Tail:
    """Reads what has been added to the logs of a job since the last time; in a store nothing can be added."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}
        self._rests: dict[Path, bytes] = {}
        self._shown: Path | None = None

    def read(self) -> list[str] | None:
        """The next lines, with a heading where the file changes; None where nothing has been added."""
        lines: list[str] = []
        added = False
        for path in log_files(self._folder):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                piece = file.read(_PIECE_BYTES)
            if not piece:
                continue
            added = True
            self._offsets[path] = self._offsets.get(path, 0) + len(piece)
            *whole, rest = (self._rests.get(path, b"") + piece).split(b"\n")
            if len(rest) > _PIECE_BYTES:
                whole, rest = [*whole, rest], b""
            self._rests[path] = rest
            lines += self._headed(path, whole)
        return lines if added else None

    def rest(self) -> list[str]:
        """What stands behind the last line break of each file: the job has ended, no more will come."""
        rests = [(path, rest) for path, rest in self._rests.items() if rest]
        self._rests.clear()
        return [line for path, rest in rests for line in self._headed(path, [rest])]

    def _headed(self, path: Path, whole: list[bytes]) -> list[str]:
        if not whole:
            return []
        heading = [] if path == self._shown else [f"==> {path.name} <=="]
        self._shown = path
        return heading + [line.decode(errors="replace") for line in whole]


async def follow(look: Callable[[], BatchJob]) -> AsyncIterator[str]:
    """Server-sent events of a job until it has ended: ``log``, ``progress`` and at last ``end``.

    Args:
        look: reads the job's record.
    """
    job = await run_in_threadpool(look)
    tail = Tail(job.folder)
    told: dict[str, Any] = {}
    spoke = time.monotonic()
    while True:
        answer = job_answer(job)
        if answer != told:
            told, spoke = answer, time.monotonic()
            yield _event("progress", json.dumps(answer))
        # the record was read before the logs: when it says that the job has ended, its logs are complete
        while (lines := await run_in_threadpool(tail.read)) is not None:
            spoke = time.monotonic()
            yield "".join(_event("log", line) for line in lines)
            if not job.ended:
                break
        if job.ended:
            yield "".join(_event("log", line) for line in tail.rest())
            if local_path(job.folder) is None:
                stored = await run_in_threadpool(lambda folder: b"".join(_stored_logs(folder)), job.folder)
                yield "".join(_event("log", line) for line in stored.decode(errors="replace").split("\n"))
            yield _event("end", json.dumps(answer))
            return
        if time.monotonic() - spoke >= _KEEP_ALIVE_SECONDS:
            spoke = time.monotonic()
            yield ": keep-alive\n\n"
        if lines is None:
            await asyncio.sleep(_POLL_SECONDS)
        job = await run_in_threadpool(look)


def _event(name: str, data: str) -> str:
    # splitlines knows more line breaks than the format does, but clients may know them all
    return f"event: {name}\ndata: {' '.join(data.splitlines())}\n\n"


def _reading_order(path: Path) -> tuple[bool, list[tuple[int, str]]]:
    """The driver first; worker-2 before worker-10."""
    parts = re.split(r"(\d+)", path.name)
    return path.name != "driver.log", [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
