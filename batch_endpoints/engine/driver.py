"""One job, from its folder to its output: prepare, plan, run, finalize.

The driver opens no database. All it knows it reads from the job folder, and all it has to say it writes there; a
driver that is lost at any moment is followed by another one that goes on from the commits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from itertools import chain

from batch_endpoints.engine.accounts import accounts, unaccounted
from batch_endpoints.engine.headline import counted, job_error, named
from batch_endpoints.engine.interpreter import job_interpreter
from batch_endpoints.engine.progress import ProgressKeeper, follow_commits
from batch_endpoints.engine.tables import plan_mini_batches
from batch_endpoints.engine.versions import driver_versions, host_versions
from batch_endpoints.errors import BatchEndpointError, InputError
from batch_endpoints.interfaces import MiniBatchRunner
from batch_endpoints.planning.job_plan import JobPlan, plan_retry, remaining
from batch_endpoints.planning.resources import WorkerPlan, plan_workers
from batch_endpoints.policies.error_threshold import nothing_succeeded, over_threshold
from batch_endpoints.settings import Settings
from batch_endpoints.specs import DATA_TYPES, JobError, JobInput, JobOutput, JobSpec, JobState, JobStatus
from batch_endpoints.specs.log_lines import stamp
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.access import Access
from batch_endpoints.storage.commits import Commit, Totals, totals
from batch_endpoints.storage.inputs import list_files
from batch_endpoints.storage.job_folder import JobFolder
from batch_endpoints.storage.mltable import list_mltable, read_mltable
from batch_endpoints.storage.named_outputs import NamedOutput, named_output
from batch_endpoints.storage.output_claims import claim, release, take_over
from batch_endpoints.storage.outputs import write_failed_items, write_renamed, write_skipped
from batch_endpoints.storage.patience import HURRIED_SECONDS, PATIENT_SECONDS, patience
from batch_endpoints.storage.rounds import failed_in, read_rounds, still_failed, total

STOP_SECONDS = 3.0  # for a mini-batch to end by itself when too much has failed
logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """This process was told to end."""


class _Failed(Exception):
    """The job fails, for a reason that lies in its data or code."""

    def __init__(self, error: JobError, left: Commit | None = None) -> None:
        super().__init__(error.message)
        self.error, self.left = error, left  # see BundleOutcome


def run_job(folder: JobFolder, make_runner: Callable[[str], MiniBatchRunner]) -> JobState:
    """Run one job, or what is left of it.

    Args:
        folder: the job's folder, with a ``job.json``.
        make_runner: called with the folder's URI.

    Returns: the job's last state, which is also in ``report.json``.

    Raises:
        Stopped: the process was told to end though nobody canceled the job; another driver may go on.
    """
    with patience(PATIENT_SECONDS):
        return _run_to_its_end(folder, make_runner)


def _run_to_its_end(folder: JobFolder, make_runner: Callable[[str], MiniBatchRunner]) -> JobState:
    job = folder.job()
    folder = folder.run_of(job)
    before = folder.state()
    if before is not None and before.ended_at:
        logger.info("job '%s' has ended before: %s", job.name, before.status)
        return before
    logger.info("job '%s' begins", job.name)
    keeper = ProgressKeeper(folder, asked_at=None if job.resumption else job.created_at)
    keeper.runs_on(driver_versions())
    if before is not None:
        keeper.note(f"its driver ended in the middle; another one went on at {stamp(datetime.now(timezone.utc))}")
    try:
        output = _run(job, folder, make_runner, keeper)
        _end(folder, keeper, "Completed", outputs={output.name: _write_output(job, output, folder, keeper)})
    except _Failed as failed:
        _end(folder, keeper, "Failed", error=failed.error, left=failed.left)
    except BatchEndpointError as error:
        details = "\n".join(part for part in (error.where, error.mend) if part)
        _end(folder, keeper, "Failed", error=JobError(code=error.code, message=error.what, details=details))
    except Stopped:
        with patience(HURRIED_SECONDS):  # whoever has told this process to end will not wait for long
            if not folder.cancel_asked:
                raise
            _end(folder, keeper, "Canceled")
    with patience(HURRIED_SECONDS):
        if keeper.state.status == "Completed" or not folder.holds_output:
            release(job, folder)
    logger.info("job '%s' has ended: %s", job.name, keeper.state.status)
    return keeper.state


def _run(
    job: JobSpec, folder: JobFolder, make_runner: Callable[[str], MiniBatchRunner], keeper: ProgressKeeper
) -> NamedOutput:
    """Prepare and score; returns where the output is to be written."""
    if folder.cancel_asked:
        raise Stopped
    settings = job.deployment.settings
    output = named_output(job, folder.uri)
    plan = folder.plan()
    if plan is None:
        folder.check_exclusive()
    with _writing(output):
        claim(output, folder)
        if not (job.overwrite or folder.holds_output):
            output.check_free(folder.output_taken_by)
    runner = make_runner(folder.uri)
    workers = plan_workers(
        job.deployment.resources.instance_count, settings.max_concurrency_per_instance, runner.shape()
    )
    for note in workers.notes:
        keeper.note(note)
    if plan is None:  # a resumed job never lists again: its input may have changed
        keeper.enter("list")
        plan = folder.write_plan(_new_plan(job, workers))
        keeper.enter("environment")
    write_skipped(folder.files, plan.skipped)
    keeper.leave_out(plan.skipped)

    # before any worker asks: one that cannot be built fails the job once, and at once
    interpreter = job_interpreter(job, Settings.read().cache)
    by_mlflow = job.deployment.code_configuration is None or job.model.type == "mlflow_model"
    keeper.runs_on(host_versions(interpreter.path, ["mlflow"] if by_mlflow else []))
    interpreter.close()
    for note in interpreter.notes:
        keeper.note(note)

    _score_rounds(job, plan, folder, runner, workers, keeper)
    keeper.finalize()
    return output


def _new_plan(job: JobSpec, workers: WorkerPlan) -> JobPlan:
    """List the input and cut it; the list, some 200 MB for a million files, is gone with this call."""
    data, access = _data_input(job), Access.of(job)
    table = (job.table or read_mltable(data.path, str, access)) if data.type == "mltable" else None
    root, files, skipped = list_mltable(table, access) if table else list_files(data.path, access)
    plan = plan_mini_batches(job, root, files, workers.count, table.reading if table else None)
    return replace(plan, skipped=tuple(skipped))


def _score_rounds(
    job: JobSpec,
    plan: JobPlan,
    folder: JobFolder,
    runner: MiniBatchRunner,
    workers: WorkerPlan,
    keeper: ProgressKeeper,
) -> None:
    """Score the plan, and then what failed in it, as often as that was asked for.

    The error threshold holds for the last round: whatever fails before is tried again.
    """
    whole, rounds = plan, list[list[Commit]]()
    for retry in range(job.retries + 1):
        if retry:
            plan = folder.plan(retry) or folder.write_plan(plan_retry(plan, failed_in(rounds[-1]), workers.count))
        commits, last = folder.commits(retry), retry == job.retries
        allowed = job.deployment.settings.error_threshold if last else -1
        if last or totals(commits.committed(plan)).mini_batches < plan.mini_batches:
            if retry:
                again = counted(Totals(items_failed=plan.items, rows_failed=plan.rows))
                keeper.note(f"retry {retry}: {again} tried again")
            before = Totals(whole.mini_batches - plan.mini_batches, whole.items - plan.items, rows=total(rounds).rows)
            _score(plan, before, folder, runner, workers, keeper, allowed)

        rounds.append(committed := commits.committed(plan))
        done = totals(committed)
        if over_threshold(done.failures, allowed):
            what = f"{counted(done)} failed, more than error_threshold ({allowed}) allows"
            raise _Failed(job_error(committed, what))
        if done.mini_batches < plan.mini_batches:
            if folder.cancel_asked:
                raise Stopped
            raise RuntimeError(f"the workers ended with {plan.mini_batches - done.mini_batches} mini-batches left")
        if gap := unaccounted(plan, committed):
            raise _Failed(JobError(code="ItemsUnaccountedFor", message=f"the counts of items do not add up: {gap}"))
    if lost := accounts(whole, rounds)["items"].not_scored:
        what = f"{lost} of {whole.items} items have neither succeeded nor failed"
        raise _Failed(JobError(code="ItemsUnaccountedFor", message=f"the counts of items do not add up: {what}"))
    if nothing_succeeded(total(rounds).items_succeeded, done.items_failed):
        raise _Failed(job_error(committed, "There is no succeeded mini batch item returned from run()"))


def _score(
    plan: JobPlan,
    before: Totals,
    folder: JobFolder,
    runner: MiniBatchRunner,
    workers: WorkerPlan,
    keeper: ProgressKeeper,
    error_threshold: int,
) -> None:
    """Run what is not committed yet; stops early where the job cannot succeed any more, or is canceled.

    Args:
        before: what the job has done outside of this plan.
    """
    commits = folder.commits(plan.retry)
    chains = commits.chains(plan)
    keeper.begin_run(
        before.mini_batches + plan.mini_batches,
        before.items_succeeded + plan.items,
        {index: totals(chain) for index, chain in chains.items()},
        before,
        waits_for="nodes" if workers.to_come else "workers",
    )
    left = remaining(plan, {index: chain[-1].end for index, chain in chains.items() if chain})

    def too_many_failed() -> bool:
        return over_threshold(keeper.failures, error_threshold)

    asked: list[float] = []

    def stop_in_time() -> None:
        """Let the workers commit what they have done, and end what does not end by itself."""
        if too_many_failed():
            asked.append(time.monotonic())
            folder.ask_to_stop()
            if asked[-1] - asked[0] >= STOP_SECONDS:
                runner.stop()

    if not left or too_many_failed():
        return
    with (
        follow_commits(keeper, commits, left, workers.count, stop_in_time),
        closing(runner.run(left, workers, plan.root, keeper)) as outcomes,
    ):
        for outcome in outcomes:
            so_far = (outcome.mini_batches, outcome.items_succeeded, outcome.items_failed, outcome.rows)
            keeper.bundle(outcome.bundle, Totals(*so_far, outcome.rows_failed))
            if outcome.fatal:
                known = Commit.model_validate_json(outcome.left) if outcome.left else None
                raise _Failed(JobError.model_validate_json(outcome.fatal), known)
            if too_many_failed() or folder.cancel_asked:
                return


def _write_output(job: JobSpec, output: NamedOutput, folder: JobFolder, keeper: ProgressKeeper) -> JobOutput:
    if not job.overwrite and (other := folder.output_taken_by):  # while this job was scored
        output.check_free(other)
    folder.begin_output()
    with _writing(output):
        take_over(output, folder)
        written = output.write(folder.files, read_rounds(folder))
    write_renamed(folder.files, written.renamed)
    keeper.rename(written.renamed)
    return written.output


@contextmanager
def _writing(output: NamedOutput) -> Iterator[None]:
    """Raises _Failed where the output's place cannot be written to."""
    try:
        yield
    except OSError as error:  # another driver would meet it too: stores were asked with patience
        raise _Failed(
            JobError(
                code="OutputFailed",
                message=f"the output '{shown(output.folder)}' cannot be written: {error.strerror or error}",
                details=f"It is about '{error.filename}'. When that is mended, `batch-endpoints job resume` goes on.",
            )
        ) from error


def _end(
    folder: JobFolder,
    keeper: ProgressKeeper,
    status: JobStatus,
    *,
    error: JobError | None = None,
    outputs: Mapping[str, JobOutput] | None = None,
    left: Commit | None = None,
) -> None:
    """The last word, which agrees with the list of failed items.

    Args:
        left: what had failed of a mini-batch that was left in the middle.
    """
    rounds = read_rounds(folder)
    if left:
        rounds = [*rounds[:-1], [*rounds[-1], left]]
    done = total(rounds)
    write_failed_items(folder.files, failed := still_failed(rounds))
    if failed:
        keeper.note(
            f"{counted(done)} failed; the first, {named(failed[0])}: {failed[0].reason}; "
            "failed_items.jsonl in the job folder has all"
        )
    commits = list(chain.from_iterable(rounds))
    if first := next((commit.unattributed for commit in commits if commit.unattributed), ""):
        keeper.note(first)
    for said in dict.fromkeys(said for commit in commits for said in commit.notes):
        keeper.note(said)
    plan = folder.plan()
    sums = accounts(plan, rounds) if plan else {}
    keeper.end(status, done, error=error, outputs=outputs, accounts=sums)


def _data_input(job: JobSpec) -> JobInput:
    data = [given for given in job.inputs.values() if given.type in DATA_TYPES]
    if len(data) != 1:
        raise InputError(f"a model deployment takes one data input, and job '{job.name}' has {len(data)}")
    return data[0]
