"""What a job tells of itself besides its outputs: the report, the failed items, the logs."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from batch_endpoints.errors import Conflict, NotFound
from batch_endpoints.specs import BatchJob, JobState
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.outputs.downloads import open_output_file

_REPORTS = ("report.json", "failed_items.jsonl", "skipped.jsonl", "renamed_files.jsonl")


def report(job: BatchJob) -> JobState:
    """What became of a job: the content of ``report.json``, or the controller's word where no driver could write it.

    Raises:
        Conflict: it has not ended.
    """
    if not job.ended:
        raise Conflict(
            f"job '{job.name}' is {job.status}, so there is no report", mend="It comes with the job's end."
        )
    return job.state


def artifacts(job: BatchJob) -> list[str]:
    """The files that are there, relative to the job's folder."""
    return [path for of in ("", *(f"steps/{step}/" for step in job.state.steps)) for path in _in_folder(job, of)]


def _in_folder(job: BatchJob, below: str) -> list[str]:
    """Of the job itself, or of one step of a pipeline: those in its folder.

    Args:
        below: that folder, with a slash; "" is the job's.
    """
    files = writable_place(job.folder)
    reports = [f"{below}{name}" for name in _REPORTS if files.exists(f"{below}{name}")]
    return reports + [f"{below}logs/{log}" for log in files.names(f"{below}logs")]


def open_artifact(job: BatchJob, path: str) -> Path | BinaryIO:
    """One of them: its place on this machine, or a stream of its bytes.

    Raises:
        NotFound: there is none with this path; the rest of the folder is nobody's business.
    """
    step = next((step for step in job.state.steps if path.startswith(f"steps/{step}/")), "")
    if path not in _in_folder(job, f"steps/{step}/" if step else ""):
        known = artifacts(job)
        has = f"It has: {', '.join(known[:20])}." if known else "It has none yet."
        raise NotFound(f"job '{job.name}' has no artifact '{path}'", mend=has)
    return open_output_file(job.folder, path)
