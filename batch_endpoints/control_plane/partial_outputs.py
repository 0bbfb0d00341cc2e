"""What a job has committed, for those who do not wait for its end, or where it ended early.

It is put together when somebody asks: a driver that is told to end has no time for it, and one that is lost none at
all. It stays in the job folder, apart from the job's output, until the next one asks.
"""

from __future__ import annotations

from dataclasses import replace

from batch_endpoints.errors import Conflict, NotFound
from batch_endpoints.specs import BatchJob, ScoringJob
from batch_endpoints.storage.files.access import AMBIENT
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.rounds import read_rounds
from batch_endpoints.storage.outputs.named_output import NamedOutput, named_output


def write_partial_output(job: BatchJob, name: str) -> str:
    """Write what is committed by now, as the whole output would have it; returns its URI.

    Raises:
        Conflict: nothing is committed, or all of it is written already.
        NotFound: no such output.
    """
    output = _partial(job, name)
    if job.status == "Completed":
        raise Conflict(f"job '{job.name}' is Completed, so its output is whole", mend="Leave out --partial.")
    folder = JobFolder(writable_place(job.folder), job.folder)
    rounds = read_rounds(folder)
    if not any(rounds):
        raise Conflict(f"job '{job.name}' is {job.status} and has committed nothing yet")
    return output.write(folder.files, rounds).output.path


def partial_output(job: BatchJob, name: str) -> str:
    """Where ``write_partial_output`` has left it, if it was ever called.

    Raises:
        NotFound: no such output.
    """
    return _partial(job, name).folder


def _partial(job: BatchJob, name: str) -> NamedOutput:
    if not isinstance(job.spec, ScoringJob):
        raise Conflict(
            f"job '{job.name}' is a {job.spec.type}, whose outputs are there when its steps have ended",
            mend="`batch-endpoints job list --parent-job-name` lists its steps, which have outputs of their own.",
        )
    whole = named_output(job.spec, job.folder)
    if name != whole.name:
        raise NotFound(f"job '{job.name}' has no output '{name}'", mend=f"It has: {whole.name}.")
    return replace(whole, folder=f"{job.folder}/partial-outputs/{name}", access=AMBIENT, shared=False)
