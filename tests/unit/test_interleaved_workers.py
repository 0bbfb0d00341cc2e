"""The workers' own loop and timers, with other workers, crashes and bad stores between any two of their steps."""

import tempfile
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turns import Stepper, StepwiseFilesystem, StepwiseLock, step

from batch_endpoints.engine.worker import bundle as bundle_module
from batch_endpoints.engine.worker import commit_timer, when_to_stop
from batch_endpoints.engine.worker.bundle import BundleScorer
from batch_endpoints.engine.worker.mini_batch_scorer import MiniBatchScorer
from batch_endpoints.engine.worker.outcome import Failure
from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.scoring.contract import UserError
from batch_endpoints.scoring.script_output import ScriptOutput
from batch_endpoints.specs import ScoringJob
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import CommitLog
from batch_endpoints.storage.job.job_folder import JobFolder

SPEC = {
    "name": "job",
    "deployment": {
        "name": "echo",
        "model": {"name": "m", "version": "1", "path": "file:///m"},
        "code_configuration": {"code": "file:///c", "scoring_script": "score.py"},
    },
    "inputs": {"data": {"type": "uri_folder", "path": "file:///in"}},
}
KINDS = ["plain", "slow", "writes", "writes in two tries", "fails in part"]  # of mini-batches


class Crash(BaseException):
    """The end of the process, in the middle of anything."""


ERRORS = {"crash": Crash, "disk": OSError, "store": lambda: StoreUnavailable("the store does not answer")}


def files_of(number, kind):
    """The names of the files that a mini-batch writes."""
    return [f"{number}-{part}.txt" for part in range({"writes": 1, "writes in two tries": 2}.get(kind, 0))]


class Code(MiniBatchScorer):
    """Has no host: what comes of a mini-batch is what its kind says."""

    def __init__(self, race, scratch, worker):
        super().__init__(race.job, race.spec, "/in", scratch, scratch / "log")
        self._race, self._worker, self._output = race, worker, scratch / "output"
        output = ScriptOutput(self._output)
        host = SimpleNamespace(
            has_written=lambda: not output.is_empty(),
            files_of_init=output.take_of_init,
            shut_down=int,
            stop=int,
            close=int,
        )
        self._ready = SimpleNamespace(output_folder=self._output, scratch=scratch), host

    def score(self, mini_batch, following, outcome, before_try):
        kind = self._race.kinds[mini_batch.number]
        step()
        self._race.now += 11 if kind == "slow" else 0.6
        for name in files_of(mini_batch.number, kind):
            before_try(0)
            (self._output / name).write_text(self._worker)
        items = list(mini_batch.files)
        if kind == "fails in part":
            outcome.failed[items.pop()] = Failure(UserError("ValueError", "bad"))
        outcome.tables.append((items[0], 0, pa.table({"item": items, "worker": [self._worker] * len(items)})))
        step()


class Worker(BundleScorer):
    """A worker with such code."""

    def __init__(self, race):
        super().__init__(race.job.uri, "/in")
        self._race = race
        self._job, self._parts_format = race.spec, "arrow"  # until Python 3.12 these have one lock for all workers
        self._code = Code(race, self._scratch, self._name)

    def work(self):
        """A pool may have given it the next bundle before it hears that it cannot go on."""
        for bundle in self._race.bundles:
            with suppress(StoreUnavailable):
                self.run(bundle)


class Race:
    """Several workers at two bundles, none of which goes on before it is told to.

    Args:
        kinds: of its mini-batches.
    """

    def __init__(self, folder, kinds):
        self.kinds, self.now = kinds, 0.0
        files = tuple((f"{n}.a", f"{n}.b") for n in range(len(kinds)))
        half = len(kinds) // 2
        self.bundles = Bundle(0, 0, files[:half]), Bundle(1, half, files[half:])
        self.job = JobFolder(Disk(folder), folder.as_uri())
        self.spec = ScoringJob.model_validate(SPEC)
        self.workers, self.steppers = [], []  # the latter are the threads of workers and their timers

    def start_worker(self):
        self.workers.append(Worker(self))
        self.steppers.append(Stepper(self.workers[-1].work))

    def timer(self, seconds, act, arguments):
        """Stands for ``threading.Timer``: its time comes when it is told to go on."""
        return SimpleNamespace(start=lambda: self.steppers.append(Stepper(lambda: act(*arguments))), cancel=int)

    def go_to_the_end(self, begin=0):
        """The threads from that number on."""
        while going := [stepper for stepper in self.steppers[begin:] if not stepper.ended]:
            for stepper in going:
                stepper.advance()


@contextmanager
def race(kinds):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        one = Race(Path(folder), kinds)
        clock = SimpleNamespace(monotonic=lambda: one.now)
        patched.setattr(bundle_module, "writable_place", lambda uri: StepwiseFilesystem(one.job.files))
        patched.setattr(bundle_module, "time", clock)
        patched.setattr(when_to_stop, "time", clock)
        patched.setattr(commit_timer, "threading", SimpleNamespace(Lock=StepwiseLock, Timer=one.timer))
        try:
            yield one
        finally:
            one.go_to_the_end()
            for worker in one.workers:
                worker.close()


def rows_of(part):
    return pa.ipc.open_file(part).read_all().to_pylist()


def check(race):
    """What counts is whole: rows and files of each commit are those of its range and of the worker that it names.

    Returns: it, by bundle and start.
    """
    log, counting = CommitLog(race.job.files), {}
    for bundle in race.bundles:
        at = bundle.start
        for commit in log.chain(bundle):
            assert commit.start == at < commit.end <= bundle.end
            check_commit(race, bundle, commit)
            counting[bundle.index, at] = commit
            at = commit.end
    return counting


def check_commit(race, bundle, commit):
    numbers = range(commit.start, commit.end)
    rows = [row for part in commit.parts for row in rows_of(race.job.files.open_input(part))]
    failed = [f"{n}.b" for n in numbers if race.kinds[n] == "fails in part"]
    assert [item.file for item in commit.failed] == failed
    assert [row["item"] for row in rows] == [item for n in numbers for item in bundle.items(n) if item not in failed]
    assert [file.name for file in commit.files] == [name for n in numbers for name in files_of(n, race.kinds[n])]
    writers = {race.job.files.read(file.stored).decode() for file in commit.files}
    assert writers | {row["worker"] for row in rows} == {commit.worker}


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_goes_wrong_at_any_one_step_every_mini_batch_counts_once(error):
    kinds = ["writes in two tries", "writes", "plain", "writes"]
    for steps in count(1):
        with race(kinds) as workers:
            workers.start_worker()
            for _ in range(steps):
                workers.steppers[0].advance()
            if workers.steppers[0].ended:
                return
            workers.steppers[0].advance(ERRORS[error]())
            workers.go_to_the_end()
            before = check(workers)
            workers.start_worker()
            workers.go_to_the_end()
            done = check(workers)
            assert {key: done.get(key) for key in before} == before
            assert sum(commit.end - commit.start for commit in done.values()) == len(kinds)


ACTION = st.one_of(
    st.tuples(st.just("go on"), st.integers(0, 9), st.integers(1, 25)),
    st.tuples(st.sampled_from([*ERRORS, "start"]), st.integers(0, 9), st.just(1)),
)


@settings(max_examples=60)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=6), schedule=st.lists(ACTION, max_size=25))
def test_whatever_comes_between_two_steps_of_workers_every_mini_batch_counts_once(kinds, schedule):
    with race(kinds) as workers:
        for _ in range(2):  # one was given up for lost, and goes on all the same
            workers.start_worker()
        seen = {}
        for action, number, steps in schedule:
            if action == "start":
                workers.start_worker()
            chosen = workers.steppers[number % len(workers.steppers)]
            for _ in range(steps if action == "go on" else 0):
                chosen.advance()
            if action in ERRORS:
                chosen.advance(ERRORS[action]())
            counting = check(workers)
            assert {key: counting.get(key) for key in seen} == seen, "what counted once counts for ever"
            seen = counting

        begin = len(workers.steppers)
        workers.start_worker()
        workers.go_to_the_end(begin)
        done = check(workers)
        assert sum(commit.end - commit.start for commit in done.values()) == len(kinds)
        assert {key: done.get(key) for key in seen} == seen

        workers.go_to_the_end()  # those that were only slow
        assert check(workers) == done
        failures = [stepper.failure for stepper in workers.steppers if stepper.failure]
        assert all(isinstance(failure, Crash) for failure in failures), failures
