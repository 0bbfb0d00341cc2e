"""One job, from its folder to its output: prepare, plan, run, finalize.

The driver opens no database. All it knows it reads from the job folder, and all it has to say it writes there; a
driver that is lost at any moment is followed by another one that goes on from the commits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache, partial
from itertools import chain

from batch_endpoints.engine.driver.accounts import accounts
from batch_endpoints.engine.driver.headline import counted, named
from batch_endpoints.engine.driver.plan_groups import plan_partitions
from batch_endpoints.engine.driver.plan_input import plan_mini_batches
from batch_endpoints.engine.driver.progress import ProgressKeeper
from batch_endpoints.engine.driver.scoring_rounds import JobAborted, Stopped, score_rounds
from batch_endpoints.engine.driver.versions import driver_versions, host_versions
from batch_endpoints.engine.interpreter import job_interpreter, needs_mlflow
from batch_endpoints.errors import BatchEndpointError, InputError
from batch_endpoints.interfaces.runner import MiniBatchRunner
from batch_endpoints.planning.job_plan import JobPlan
from batch_endpoints.planning.resources import WorkerPlan, plan_workers
from batch_endpoints.settings import Settings
from batch_endpoints.specs import (
    DATA_TYPES,
    JobError,
    JobInput,
    JobOutput,
    JobState,
    JobStatus,
    ParallelStep,
    RenamedFile,
    ScoringJob,
)
from batch_endpoints.specs.log_lines import stamp
from batch_endpoints.specs.rows_file import DEFAULT_NAME
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import Access
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, PATIENT_SECONDS, patience
from batch_endpoints.storage.inputs.listing import list_files
from batch_endpoints.storage.inputs.mltable import list_mltable, read_mltable
from batch_endpoints.storage.job.commits import Commit
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.job.rounds import read_rounds, still_failed, total
from batch_endpoints.storage.outputs.claims import claim, release, take_over
from batch_endpoints.storage.outputs.item_lists import write_failed_items, write_renamed, write_skipped
from batch_endpoints.storage.outputs.named_output import NamedOutput, named_outputs

logger = logging.getLogger(__name__)


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
    job = folder.scoring_job()
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
        outputs = _run(job, folder, make_runner, keeper)
        _end(folder, keeper, "Completed", outputs=_write_outputs(job, outputs, folder, keeper))
    except JobAborted as failed:
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
        done = keeper.state.progress
        whole = keeper.state.status == "Completed" and not (done.items_failed or done.rows_failed)
        if whole or not folder.holds_output:
            release(job, folder)
    logger.info("job '%s' has ended: %s", job.name, keeper.state.status)
    return keeper.state


def _run(
    job: ScoringJob, folder: JobFolder, make_runner: Callable[[str], MiniBatchRunner], keeper: ProgressKeeper
) -> Sequence[NamedOutput]:
    """Prepare and score; returns where the outputs are to be written."""
    if folder.cancel_asked:
        raise Stopped
    outputs = named_outputs(job, folder.uri)
    asked = job.deployment.settings.output_file_name
    for output in outputs:
        if output.rows and asked not in (None, DEFAULT_NAME, output.file_name):
            keeper.note(
                f"the rows are in '{shown(output.file_name)}', the file that the output '{output.name}' names, and "
                f"not in '{asked}', the output_file_name"
            )
    plan = folder.plan()
    if plan is None:
        folder.check_exclusive()
    for output in outputs:
        with _writing(output):
            claim(output, folder)
            if not (job.overwrite or folder.holds_output):
                output.check_free(folder.output_taken_by)
    with closing(make_runner(folder.uri)) as runner:
        _score(job, plan, folder, runner, keeper)
    keeper.finalize()
    return outputs


def _score(
    job: ScoringJob, plan: JobPlan | None, folder: JobFolder, runner: MiniBatchRunner, keeper: ProgressKeeper
) -> None:
    settings = job.deployment.settings
    workers = plan_workers(job.deployment.resources, settings.max_concurrency_per_instance, runner.shape())
    for note in workers.notes:
        keeper.note(note)

    find_interpreter = cache(partial(_find_interpreter, job, keeper))

    def begin(root: str) -> None:
        """Let workers come up while the rest of the input is looked into."""
        find_interpreter()
        runner.prepare(workers, root, keeper)
        keeper.enter("list")

    if plan is None:  # a resumed job never lists again: its input may have changed
        keeper.enter("list")
        plan = folder.write_plan(_new_plan(job, workers, begin, folder))
    write_skipped(folder.files, plan.skipped)
    keeper.leave_out(plan.skipped)
    if plan.mini_batches > 1:
        runner.prepare(workers, plan.root, keeper)
    find_interpreter()

    score_rounds(job, plan, folder, runner, workers, keeper)


def _find_interpreter(job: ScoringJob, keeper: ProgressKeeper) -> None:
    """To be done before any worker asks: one that cannot be built fails the job once, and at once."""
    keeper.enter("environment")
    interpreter = job_interpreter(job, Settings.read().cache)
    keeper.runs_on(host_versions(interpreter.path, ["mlflow"] if needs_mlflow(job) else []))
    interpreter.close()
    for note in interpreter.notes:
        keeper.note(note)


def _new_plan(job: ScoringJob, workers: WorkerPlan, begin: Callable[[str], None], folder: JobFolder) -> JobPlan:
    """List the input and cut it; the list, some 200 MB for a million files, is gone with this call.

    Args:
        begin: called where much is left to be cut, with what the plan's paths are relative to.
    """
    data, access = _data_input(job), Access.of(job)
    table = (job.table or read_mltable(data.path, str, access)) if data.type == "mltable" else None
    root, files, skipped = list_mltable(table, access) if table else list_files(data.path, access)
    reading = table.reading if table else None
    if isinstance(job.deployment, ParallelStep) and (keys := job.deployment.partition_keys):
        plan = plan_partitions(keys, root, files, workers.count, reading, access, folder)
    else:
        plan = plan_mini_batches(job, root, files, workers.count, reading, lambda: begin(root))
    return replace(plan, skipped=tuple(skipped))


def _write_outputs(
    job: ScoringJob, outputs: Sequence[NamedOutput], folder: JobFolder, keeper: ProgressKeeper
) -> dict[str, JobOutput]:
    if not job.overwrite and (other := folder.output_taken_by):  # while this job was scored
        for output in outputs:
            output.check_free(other)
    folder.begin_output()
    found, renamed = dict[str, JobOutput](), list[RenamedFile]()
    for output in outputs:
        with _writing(output):
            take_over(output, folder)
            written = output.write(folder.files, read_rounds(folder))
        found[output.name] = written.output
        renamed += written.renamed
        if output.rows:
            keeper.describe_columns(written.columns)
        for note in written.notes:
            keeper.note(note)
    write_renamed(folder.files, renamed)
    keeper.rename(renamed)
    return found


@contextmanager
def _writing(output: NamedOutput) -> Iterator[None]:
    """Raises JobAborted where the output's place cannot be written to."""
    try:
        yield
    except OSError as error:  # another driver would meet it too: stores were asked with patience
        about = error.filename2 or error.filename  # the second is what a file without a name was to become
        raise JobAborted(
            JobError(
                code="OutputFailed",
                message=f"the output '{shown(output.folder)}' cannot be written: {error.strerror or error}",
                details=f"It is about '{about}'. When that is mended, `batch-endpoints job resume` goes on.",
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
    writes_rows = folder.scoring_job().deployment.settings.output_action == "append_row"
    sums = accounts(plan, rounds, writes_rows=writes_rows) if plan else {}
    keeper.end(status, done, error=error, plan=plan, outputs=outputs, accounts=sums)


def _data_input(job: ScoringJob) -> JobInput:
    if isinstance(job.deployment, ParallelStep):
        return job.inputs[job.deployment.input_data]
    data = [given for given in job.inputs.values() if given.type in DATA_TYPES]
    if len(data) != 1:
        raise InputError(f"a model deployment takes one data input, and job '{job.name}' has {len(data)}")
    return data[0]
