"""One job, from its folder to its output: prepare, plan, run, finalize.

The driver opens no database. All it knows it reads from the job folder, and all it has to say it writes there; a
driver that is lost at any moment is followed by another one that goes on from the commits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing

from batch_endpoints.engine.progress import ProgressKeeper
from batch_endpoints.environments.interpreters import find_interpreter
from batch_endpoints.errors import BatchEndpointError, InputError
from batch_endpoints.interfaces import MiniBatchRunner
from batch_endpoints.planning.job_plan import JobPlan, plan_job, remaining
from batch_endpoints.planning.resources import WorkerPlan, plan_workers
from batch_endpoints.policies.error_threshold import nothing_succeeded, over_threshold
from batch_endpoints.specs import DATA_TYPES, Environment, JobError, JobInput, JobSpec, JobState
from batch_endpoints.storage.commits import Commit, CommitLog, totals
from batch_endpoints.storage.inputs import list_files
from batch_endpoints.storage.job_folder import JobFolder
from batch_endpoints.storage.named_outputs import NamedOutput, named_output
from batch_endpoints.storage.outputs import write_failed_items

logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """This process was told to end."""


class _Failed(Exception):
    """The job fails, for a reason that lies in its data or code."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


def run_job(folder: JobFolder, make_runner: Callable[[str], MiniBatchRunner]) -> JobState:
    """Run one job, or what is left of it.

    Args:
        folder: the job's folder, with a ``job.json``.
        make_runner: called with the folder's URI.

    Returns: the job's last state, which is also in ``report.json``.

    Raises:
        Stopped: the process was told to end though nobody canceled the job; another driver may go on.
    """
    job = folder.job()
    before = folder.state()
    if before is not None and before.ended_at:
        logger.info("job '%s' has ended before: %s", job.name, before.status)
        return before
    logger.info("job '%s' begins", job.name)
    keeper = ProgressKeeper(folder)
    try:
        output = _run(job, folder, make_runner, keeper, begun=before is not None)
        keeper.end("Completed", outputs={output.name: output.write(folder.files, _committed(folder), keeper.note)})
    except _Failed as failed:
        keeper.end("Failed", error=failed.error)
    except BatchEndpointError as error:
        details = "\n".join(part for part in (error.where, error.mend) if part)
        keeper.end("Failed", error=JobError(code=error.code, message=error.what, details=details))
    except Stopped:
        if not folder.cancel_asked:
            raise
        keeper.end("Canceled")
    logger.info("job '%s' has ended: %s", job.name, keeper.state.status)
    return keeper.state


def _run(
    job: JobSpec,
    folder: JobFolder,
    make_runner: Callable[[str], MiniBatchRunner],
    keeper: ProgressKeeper,
    *,
    begun: bool,
) -> NamedOutput:
    """Prepare and score; returns where the output is to be written."""
    settings = job.deployment.settings
    output = named_output(job, folder.uri)
    if not begun and not job.overwrite:
        output.check_free()
    environment = job.deployment.environment
    for note in find_interpreter(environment if isinstance(environment, Environment) else None).notes:
        keeper.note(note)
    runner = make_runner(folder.uri)
    workers = plan_workers(
        job.deployment.resources.instance_count, settings.max_concurrency_per_instance, runner.shape()
    )
    for note in workers.notes:
        keeper.note(note)
    plan = folder.plan()
    if plan is None:  # a resumed job never lists again: its input may have changed
        root, files = list_files(_data_input(job).path)
        plan = folder.write_plan(plan_job(root, files, settings.mini_batch_size, workers.count))

    commits = CommitLog(folder.files)
    _score(plan, commits, runner, workers, keeper, settings.error_threshold)

    keeper.stage("Finalizing")
    committed = _committed(folder)
    write_failed_items(folder.files, committed)
    done = totals(committed)
    if over_threshold(done.items_failed, settings.error_threshold):
        allowed = settings.error_threshold
        raise _Failed(
            _why(committed, f"{done.items_failed} items failed, more than error_threshold ({allowed}) allows")
        )
    if nothing_succeeded(done.items_succeeded, done.items_failed):
        raise _Failed(_why(committed, "There is no succeeded mini batch item returned from run()"))
    return output


def _score(
    plan: JobPlan,
    commits: CommitLog,
    runner: MiniBatchRunner,
    workers: WorkerPlan,
    keeper: ProgressKeeper,
    error_threshold: int,
) -> None:
    """Run what is not committed yet; stops early where the job cannot succeed any more."""
    chains = commits.chains(plan)
    keeper.begin_run(plan.mini_batches, plan.items, {index: totals(chain) for index, chain in chains.items()})
    left = remaining(plan, {index: chain[-1].end for index, chain in chains.items() if chain})
    if not left:
        return
    with closing(runner.run(left, workers, plan.root)) as outcomes:
        for outcome in outcomes:
            keeper.outcome(outcome)
            if outcome.fatal:
                raise _Failed(JobError.model_validate_json(outcome.fatal))
            if over_threshold(keeper.state.progress.items_failed, error_threshold):
                return


def _data_input(job: JobSpec) -> JobInput:
    data = [given for given in job.inputs.values() if given.type in DATA_TYPES]
    if len(data) != 1:
        raise InputError(f"a model deployment takes one data input, and job '{job.name}' has {len(data)}")
    return data[0]


def _committed(folder: JobFolder) -> list[Commit]:
    """All commits of the job, in plan order."""
    plan = folder.plan()
    chains = CommitLog(folder.files).chains(plan) if plan else {}
    return [commit for chain in chains.values() for commit in chain]


def _why(committed: Sequence[Commit], what: str) -> JobError:
    """The first failure as the headline, with how often it was seen."""
    failed = [item for commit in committed for item in commit.failed]
    first = failed[0]
    seen = len({item.mini_batch for item in failed if item.reason == first.reason})
    batches = sum(commit.end - commit.start for commit in committed)
    return JobError(
        code="ScoringFailed",
        message=f"{first.reason} (seen in {seen} of {batches} mini-batches)",
        details=f"{what}.\nThe first failed item is '{first.file}'; failed_items.jsonl in the job folder has all.",
    )
