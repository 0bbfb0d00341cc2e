"""One pipeline, from its folder to its outputs: each step starts as soon as what it reads is there.

The driver opens no database. What is finished it reads from the folders of the steps, so a driver that is lost at any
moment is followed by another one that runs what is missing and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from batch_endpoints.engine.driver.scoring_rounds import Stopped
from batch_endpoints.engine.pipeline.graph_state import GraphState, added_up, utc_now
from batch_endpoints.engine.pipeline.reuse import Reuse
from batch_endpoints.engine.pipeline.step_run import StepFailed, StepRunner, StepStopped, finished, forget
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.interfaces.runner import CommandRunner, MiniBatchRunner
from batch_endpoints.planning.pipeline.graph import Graph, build_graph
from batch_endpoints.planning.pipeline.output_places import all_places, own_places, place_notes
from batch_endpoints.planning.pipeline.step_jobs import step_job
from batch_endpoints.specs import JobError, JobOutput, JobState, PipelineJob
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, PATIENT_SECONDS, patience
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder
from batch_endpoints.storage.outputs.pipeline_outputs import check_free, publish, publish_step

LOOK_SECONDS = 0.5  # how often the progress of steps is looked at
END_SECONDS = 4.0  # that steps get to end when their job does
MOST_AT_ONCE = 64  # threads that wait for steps; what runs at once the cluster decides
logger = logging.getLogger(__name__)

Ended = Mapping[str, JobOutput] | BaseException


def run_pipeline(
    folder: JobFolder, make_commands: Callable[[], CommandRunner], make_runner: Callable[[str], MiniBatchRunner]
) -> JobState:
    """Run one pipeline, or what is left of it.

    Args:
        folder: the job's folder, whose ``job.json`` is a pipeline's.
        make_commands: makes what runs attempts of command steps.
        make_runner: as of ``run_job``, for parallel steps.

    Returns: the job's last state, which is also in ``report.json``.

    Raises:
        Stopped: the process was told to end though nobody canceled the job; another driver may go on.
    """
    with patience(PATIENT_SECONDS):
        job = folder.job()
        assert isinstance(job, PipelineJob)
        folder = folder.run_of(job)
        before = folder.state()
        if before is not None and before.ended_at:
            logger.info("job '%s' has ended before: %s", job.name, before.status)
            return before
        logger.info("pipeline '%s' begins", job.name)
        graph = build_graph(job.component)
        state = GraphState(job, graph, folder)
        for note in place_notes(graph):
            state.note(note)
        if before is not None:
            state.note("its driver ended in the middle; another one went on")
        try:
            if folder.cancel_asked:
                raise Stopped
            check_free(job, graph, folder)
            run = _GraphRun(job, graph, folder, state, make_commands(), make_runner)
            failed = run.to_its_end()
            made = {
                name: run.outputs[of.step][of.output] for name, of in graph.outputs.items() if of.step in run.outputs
            }
            outputs = publish(job, made, folder)
            sums = added_up(run.reports())
            return state.end("Failed" if failed else "Completed", error=failed, outputs=outputs, **sums)
        except BatchEndpointError as error:
            details = "\n".join(part for part in (error.where, error.mend) if part)
            return state.end("Failed", error=JobError(code=error.code, message=error.what, details=details))
        except Stopped:
            with patience(HURRIED_SECONDS):
                if not folder.cancel_asked:
                    raise
                return state.end("Canceled")


@dataclass
class _GraphRun:
    job: PipelineJob
    graph: Graph
    folder: JobFolder
    state: GraphState
    commands: CommandRunner
    make_runner: Callable[[str], MiniBatchRunner]

    def __post_init__(self) -> None:
        self.outputs: dict[str, Mapping[str, JobOutput]] = {}  # of steps that have ended well
        self._lost: dict[
            str, JobError | None
        ] = {}  # steps that have no outputs, each with its own error if it has one
        self._running: set[str] = set()
        self._ended: SimpleQueue[tuple[str, Ended]] = SimpleQueue()
        self._reuse = Reuse(self.job)
        self._places = all_places(self.graph, self.job)
        self._own = own_places(self.graph, self.job.name)
        self._steps = StepRunner(self.commands, self.make_runner, self.state)

    def to_its_end(self) -> JobError | None:
        """Run all steps that can be run; returns why the pipeline fails, None where it does not.

        Raises:
            Stopped: the process was told to end.
        """
        try:
            self._take_finished()
            while self._start_ready() or self._running:
                self._wait()
                if self.folder.cancel_asked:
                    raise Stopped
        except BaseException:
            self._stop()
            raise
        finally:
            self.commands.close()
        failed = [(path, error) for path, error in self._lost.items() if error]
        if not failed:
            return None
        path, error = failed[0]
        more = f"; {len(failed) - 1} more failed: {', '.join(path for path, _ in failed[1:6])}" if failed[1:] else ""
        return error.model_copy(update={"message": f"step '{path}' failed: {error.message}{more}"})

    def reports(self) -> list[JobState]:
        """Of the parallel steps that have one."""
        folders = (self._folder_of(path) for path, step in self.state.state.steps.items() if step.type == "scoring")
        known = (folder.run_of(folder.job()).state() for folder in folders if folder.files.exists("job.json"))
        return [state for state in known if state and state.items]

    def _take_finished(self) -> None:
        for path, step in self.graph.steps.items():
            folder = self._folder_of(path)
            if not all(before in self.outputs for before in step.after):
                forget(folder)
            elif (outputs := finished(folder, self.job.retries)) is not None:
                try:
                    self._publish(path, folder, outputs)
                except StepFailed:  # it is begun again, which states why
                    continue
                self.outputs[path] = outputs
                self.state.step(path, **_known(folder))

    def _start_ready(self) -> bool:
        """Start what can be started; is there anything that was?"""
        started = False
        for path, step in self.graph.steps.items():
            if path in self.outputs or path in self._lost or path in self._running:
                continue
            if gone := next((before for before in step.after if before in self._lost), None):
                self._leave_out(path, f"not run: step '{gone}' {'failed' if self._lost[gone] else 'was not run'}")
            elif self._stops_at_failures and any(self._lost.values()):
                self._leave_out(path, "not run: another step failed, and continue_on_step_failure is false")
            elif len(self._running) < MOST_AT_ONCE and all(before in self.outputs for before in step.after):
                self._running.add(path)
                threading.Thread(target=self._run, args=(path,), name=f"step {path}", daemon=True).start()
                started = True
        self.state.write()
        return started

    def _run(self, path: str) -> None:
        ended: Ended
        try:
            with patience(PATIENT_SECONDS):
                folder = self._folder_of(path)
                disk = str(self.folder.files.disk) if self.folder.files.disk else ""
                step = self.graph.steps[path]
                job = step_job(self.job, step, self.outputs, disk, self._places)
                folder = folder.run_of(job)
                same = {"deterministic": step.component.is_deterministic}
                key = self._reuse.key(job, **same)
                if earlier := self._reuse.find(key):
                    self._steps.take(path, job, folder, earlier)
                    ended = earlier.outputs
                else:
                    ended = self._steps.run(path, job, folder)
                    done = self.state.state.steps[path].progress
                    # what failed may be tried again; and its data may have changed while it ran
                    if key and not (done.items_failed or done.rows_failed) and key == self._reuse.key(job, **same):
                        self._reuse.note(key, path, ended)
                self._publish(path, folder, ended)
        except BaseException as error:
            ended = error
        self._ended.put((path, ended))

    def _publish(self, path: str, folder: JobFolder, made: Mapping[str, JobOutput]) -> None:
        """Outputs that have a place of their own also get there; those that read them read what the step wrote.

        Raises:
            StepFailed: a place that cannot be written to.
        """
        if not (own := {of.output: place for of, place in self._own.items() if of.step == path}):
            return
        try:
            outputs = publish_step(self.job, self.folder, folder, made, own)
        except BatchEndpointError as error:
            raise StepFailed(JobError(code=error.code, message=error.what, details=error.mend)) from error
        folder = folder.run_of(folder.job())
        if (state := folder.state()) and state.outputs != outputs:
            folder.write_state(state.model_copy(update={"outputs": outputs}))

    def _wait(self) -> None:
        """Until a step has ended, but not for long: meanwhile others get on."""
        try:
            self._take(*self._ended.get(timeout=LOOK_SECONDS))
            while True:
                self._take(*self._ended.get_nowait())
        except Empty:
            pass
        for path in self._running:
            if self.state.state.steps[path].type == "scoring":
                self.state.step(path, **_known(self._folder_of(path)))
        self.state.write()

    def _take(self, path: str, ended: Ended) -> None:
        self._running.discard(path)
        now = utc_now()
        if isinstance(ended, StepFailed):
            logger.error("step '%s' failed: %s", path, ended.error.message)
            self._lost[path] = ended.error
            self.state.step(path, status="Failed", ended_at=now, error=ended.error)
            if self._stops_at_failures:
                self._steps.stop(for_good=True)
        elif isinstance(ended, StepStopped | Stopped):
            self._lost[path] = None
            self.state.step(path, status="Canceled", ended_at=now)
        elif isinstance(ended, BaseException):
            raise ended
        else:
            logger.info("step '%s' has ended: Completed", path)
            self.outputs[path] = ended
            self.state.step(path, status="Completed", ended_at=now)

    def _leave_out(self, path: str, why: str) -> None:
        self._lost[path] = None
        self.state.step(path, status="Canceled", ended_at=utc_now(), note=why)

    def _stop(self) -> None:
        """End all that runs, within a few seconds."""
        self._steps.stop(for_good=self.folder.cancel_asked)
        until = time.monotonic() + END_SECONDS
        while self._running and time.monotonic() < until:
            try:
                self._take(*self._ended.get(timeout=max(0.0, until - time.monotonic())))
            except (Empty, Exception):
                continue
        for path in [*self._running]:
            self.state.step(path, status="Canceled", ended_at=utc_now())

    @property
    def _stops_at_failures(self) -> bool:
        return not self.job.settings.continue_on_step_failure

    def _folder_of(self, path: str) -> JobFolder:
        uri = f"{self.folder.uri}/steps/{path}"
        return JobFolder(writable_place(uri), uri)


def _known(folder: JobFolder) -> dict[str, object]:
    """What the folder of a step states of it, as changes of its ``StepState``."""
    state = folder.run_of(folder.job()).state() if folder.files.exists("job.json") else None
    if state is None:
        return {}
    known: dict[str, object] = {"status": state.status, "progress": state.progress, "started_at": state.started_at}
    return known | ({"ended_at": state.ended_at} if state.ended_at else {})
