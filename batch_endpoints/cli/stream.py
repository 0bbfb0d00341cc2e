"""Following a job: a live bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from batch_endpoints.cli.durations import duration
from batch_endpoints.cli.grammar import Failed
from batch_endpoints.cli.graph import changes, tree
from batch_endpoints.cli.terminal import echo
from batch_endpoints.errors import JobFailed
from batch_endpoints.terminal_text import visible

if TYPE_CHECKING:
    from batch_endpoints.client import Job, JobEvent

SECONDS_BETWEEN_LINES = 5.0


def follow(job: Job, *, err: bool = False, quiet: bool = False) -> None:
    """Show a job's log and progress until it ends, then how it ended.

    Args:
        job: the job; up to date afterwards.
        err: write to stderr, because stdout is for the answer.
        quiet: show only how it ended.

    Raises:
        Failed: it did not complete, which it says with all that is known of why, or the person who watched it
            pressed Ctrl-C.
    """
    with watching(job):
        if quiet:
            with suppress(JobFailed):
                job.wait()
        elif (sys.stderr if err else sys.stdout).isatty():
            _live(job, err)
        else:
            plain(job, lambda line: echo(line, err=err))
    text = "\n".join(ending(job.document))
    if job.status != "Completed":
        raise Failed(f"job {job.name} ended as {text}")
    echo(text, err=err)


@contextmanager
def watching(job: Job) -> Iterator[None]:
    """Ctrl-C ends the watching, and says that the job goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Failed(
            f"stopped watching; job {job.name} goes on\n"
            f"Watch it again: batch-endpoints job stream -n {job.name}\n"
            f"End it:         batch-endpoints job cancel -n {job.name}"
        ) from None


def plain(job: Job, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
    """Lines of the log as they come, and how far the job is: at each new status, else every few seconds.

    How it ended is told before the last lines of the log, and left to the caller to say behind them.
    """
    told, status, when = "", "", -SECONDS_BETWEEN_LINES
    steps: dict[str, Any] = {}
    for event in job.stream():
        if event.kind == "log":
            write(event.line)
            continue
        for line in changes(steps, known := event.job.document.get("steps") or {}):
            write(line)
        steps = known
        if event.job.ended:
            continue
        line = progress_line(event.job.document)
        now = clock()
        if line != told and (event.job.status != status or now - when >= SECONDS_BETWEEN_LINES):
            told, status, when = line, event.job.status, now
            write(line)


def progress_line(document: dict[str, Any]) -> str:
    """``Running: 40 of 100 items, 2 failed, 12.5 items/s, about 5 s left``."""
    progress = document["progress"]
    parts = []
    if progress.get("items"):
        parts.append(f"{_done(progress)} of {progress['items']} items")
        if progress["items_failed"]:
            parts.append(f"{progress['items_failed']} failed")
        if progress.get("rows_failed"):
            parts.append(_rows_failed(progress))
        if progress["items_per_second"]:
            parts.append(f"{progress['items_per_second']:.3g} items/s")
        if progress.get("eta_seconds") and document["status"] == "Running":
            parts.append(f"about {duration(progress['eta_seconds'])} left")
    return ": ".join(filter(None, (document["status"], ", ".join(parts))))


def ending(document: dict[str, Any]) -> list[str]:
    """How a job ended, why it failed, and where its outputs are, in a few lines."""
    progress = document["progress"]
    counts = (
        f": {progress['items_succeeded']} of {progress['items']} items scored, {progress['items_failed']} failed, "
        f"{progress['rows']} rows" + (f", {_rows_failed(progress)}" if progress.get("rows_failed") else "")
        if progress.get("items")
        else ""
    )
    lines = [f"{document['status']}{counts}", *tree(document.get("steps") or {})]
    if error := document.get("error"):  # which says more than the notes do
        return lines + [part for key in ("message", "details") for part in (error.get(key) or "").splitlines()]
    lines += [f"note: {note}" for note in document["notes"]]
    if document["status"] == "Completed":
        lines += [f"{name}: {output['path']}" for name, output in document["outputs"].items() if output.get("path")]
    return lines


def _live(job: Job, err: bool) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.text import Text

    console = Console(stderr=err)
    columns = (SpinnerColumn(), TextColumn("{task.fields[status]}", markup=False), BarColumn())
    bar = Progress(*columns, TextColumn("{task.fields[told]}", markup=False), console=console)
    task = bar.add_task("", total=None, status=visible(job.status), told="")

    def shown() -> Group:
        lines = [visible(line) for line in tree(job.document.get("steps") or {})]
        return Group(*([Text("\n".join(lines))] if lines else []), bar)

    def show(event: JobEvent) -> None:
        document = event.job.document
        _, _, told = progress_line(document).partition(": ")
        progress = document["progress"]
        total = progress.get("items") or None
        status = visible(event.job.status)
        bar.update(task, total=total, completed=_done(progress), status=status, told=visible(told))

    with Live(console=console, transient=True, get_renderable=shown, refresh_per_second=8):
        for event in job.stream():
            if event.kind == "log":
                console.print(Text(visible(event.line)), soft_wrap=True)
            else:
                show(event)


def _rows_failed(progress: dict[str, Any]) -> str:
    return f"{progress['rows_failed']} row{'s' * (progress['rows_failed'] != 1)} failed"


def _done(progress: dict[str, Any]) -> int:
    return int(progress.get("items_succeeded", 0)) + int(progress.get("items_failed", 0))
