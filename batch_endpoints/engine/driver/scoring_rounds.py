"""The rounds of a job: all of its plan is scored, and then, where that was asked for, what has failed."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import chain

from batch_endpoints.engine.driver.accounts import accounts, unaccounted
from batch_endpoints.engine.driver.headline import counted, job_error
from batch_endpoints.engine.driver.progress import ProgressKeeper, follow_commits
from batch_endpoints.interfaces.runner import MiniBatchRunner
from batch_endpoints.planning.job_plan import JobPlan, plan_retry, remaining
from batch_endpoints.planning.resources import WorkerPlan
from batch_endpoints.policies.error_threshold import nothing_succeeded, over_threshold
from batch_endpoints.specs import JobError, ParallelStep, ScoringJob
from batch_endpoints.storage.job.commits import Commit, Totals, totals
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.rounds import failed_in, total

STOP_SECONDS = 3.0  # for a mini-batch to end by itself when too much has failed


class Stopped(BaseException):
    """This process was told to end."""


class JobAborted(Exception):
    """The job fails, for a reason that lies in its data or code."""

    def __init__(self, error: JobError, left: Commit | None = None) -> None:
        super().__init__(error.message)
        self.error, self.left = error, left  # see BundleOutcome


def score_rounds(
    job: ScoringJob,
    plan: JobPlan,
    folder: JobFolder,
    runner: MiniBatchRunner,
    workers: WorkerPlan,
    keeper: ProgressKeeper,
) -> None:
    """Score what is not committed yet of a plan, and then what failed in it, as often as that was asked for.

    The error threshold holds for the last round: whatever fails before is tried again.

    Raises:
        JobAborted: too much has failed, or what a worker met fails the job at once.
        Stopped: somebody has canceled the job.
    """
    whole, rounds = plan, list[list[Commit]]()
    for retry in range(job.retries + 1):
        if retry:
            plan = folder.plan(retry) or folder.write_plan(plan_retry(plan, failed_in(rounds[-1]), workers.count))
        commits, last = folder.commits(retry), retry == job.retries
        allowed = job.deployment.settings.error_threshold if last else -1
        step = job.deployment
        batches_allowed = step.mini_batch_error_threshold if last and isinstance(step, ParallelStep) else -1
        if last or totals(commits.committed(plan)).mini_batches < plan.mini_batches:
            again = counted(Totals(items_failed=plan.items, rows_failed=plan.rows))
            if retry and again:
                keeper.note(f"retry {retry}: {again} tried again")
            before = Totals(whole.mini_batches - plan.mini_batches, whole.items - plan.items, rows=total(rounds).rows)
            _score(plan, before, folder, runner, workers, keeper, allowed, batches_allowed)

        rounds.append(committed := commits.committed(plan))
        done = totals(committed)
        if over_threshold(done.failures, allowed):
            what = f"{counted(done)} failed, more than error_threshold ({allowed}) allows"
            raise JobAborted(job_error(committed, what))
        if over_threshold(batches := len(failed_in(committed)), batches_allowed):
            what = f"{batches} mini-batches failed, more than mini_batch_error_threshold ({batches_allowed}) allows"
            raise JobAborted(job_error(committed, what))
        if done.mini_batches < plan.mini_batches:
            if folder.cancel_asked:
                raise Stopped
            raise RuntimeError(f"the workers ended with {plan.mini_batches - done.mini_batches} mini-batches left")
        if gap := unaccounted(plan, committed):
            raise JobAborted(
                JobError(code="ItemsUnaccountedFor", message=f"the counts of items do not add up: {gap}")
            )
    if lost := accounts(whole, rounds)["items"].not_scored:
        what = f"{lost} of {whole.items} items have neither succeeded nor failed"
        raise JobAborted(JobError(code="ItemsUnaccountedFor", message=f"the counts of items do not add up: {what}"))
    if nothing_succeeded(total(rounds).items_succeeded, done.items_failed):
        raise JobAborted(job_error(committed, "There is no succeeded mini batch item returned from run()"))


def _score(
    plan: JobPlan,
    before: Totals,
    folder: JobFolder,
    runner: MiniBatchRunner,
    workers: WorkerPlan,
    keeper: ProgressKeeper,
    error_threshold: int,
    mini_batch_error_threshold: int,
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
        {index: totals(committed) for index, committed in chains.items()},
        before,
        waits_for="nodes" if workers.to_come else "workers",
    )
    left = remaining(plan, {index: committed[-1].end for index, committed in chains.items() if committed})

    bundles = {bundle.index: bundle for bundle in left}
    batches_failed = set(failed_in(chain.from_iterable(chains.values())))

    def too_many_failed() -> bool:
        if over_threshold(keeper.failures, error_threshold):
            return True
        return over_threshold(len(batches_failed), mini_batch_error_threshold)

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
            if mini_batch_error_threshold >= 0 and outcome.items_failed + outcome.rows_failed:
                batches_failed |= failed_in(commits.chain(bundles[outcome.bundle])).keys()
            if outcome.fatal:
                error = JobError.model_validate_json(outcome.fatal)
                if not outcome.left:
                    raise JobAborted(error)
                known = Commit.model_validate_json(outcome.left)
                raise JobAborted(job_error([*commits.committed(plan), known], error.details.rstrip(".")), known)
            if too_many_failed() or folder.cancel_asked:
                return
