"""The pool's decisions, with workers that are lost, out of reach, unfit or slow between any two of their steps."""

import random
from collections import deque
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from batch_endpoints.engine.on_ray import crashes, placement
from batch_endpoints.engine.on_ray import pool as ray_pool
from batch_endpoints.engine.on_ray.placement import Placement
from batch_endpoints.errors import InitFailed, StoreUnavailable
from batch_endpoints.interfaces.runner import BundleOutcome
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import WorkerPlan
from batch_endpoints.scoring.worker import WorkerStopped
from batch_endpoints.specs import JobError
from batch_endpoints.storage.files.disk import Disk
from batch_endpoints.storage.job.commits import Commit, CommitLog, totals


class Reference:
    """To what a call will answer."""

    def __init__(self, answer):
        self.future = lambda: answer


class Actor:
    """A worker that goes on step by step: by one mini-batch, or to the end of a call."""

    def __init__(self, commits, unfit):
        self._commits, self._unfit, self.pace = commits, unfit, 1.0
        self.calls, self.ends, self._stopped, self.visible = deque(), None, False, set()
        self._asked_back, self.began, self.given_back = set(), set(), 0
        for name in ("ready", "load", "run", "ask_back", "stop", "close", "__ray_terminate__"):
            setattr(self, name, SimpleNamespace(remote=lambda *given, name=name: self._call(name, given)))

    def _call(self, name, given):
        answer = Future()
        self.visible |= {given[3]} if name == "run" else set()
        self._stopped |= name == "stop"  # it has a thread of its own
        if self.ends:
            answer.set_exception(self.ends)
        elif name == "ask_back":
            self._asked_back.add(given[0])
        else:
            self.calls.append((name, given, answer))
        return Reference(answer)

    def step(self, second):
        """Args: second: rather of the second run than of the first, where it is at two."""
        at = int(second and [name for name, *_ in self.calls][:2] == ["run", "run"])
        name, given, answer = self.calls[at]
        try:
            if name == "run" and not (back := self._is_asked_back(given[0])) and not self._is_done(given[0]):
                return
            result = "the node" if name != "run" else None if back else self._outcome(given[0])
        except Exception as error:
            del self.calls[at]
            answer.set_exception(RayTaskError("run", "its stack", error))
            return
        del self.calls[at]
        answer.set_result(result)
        if name == "__ray_terminate__":
            self.die(ActorDiedError())

    def _is_asked_back(self, bundle):
        if bundle.index not in self._asked_back or bundle.index in self.began:
            self.began.add(bundle.index)
            return False
        self._asked_back.remove(bundle.index)
        self.given_back += 1
        return True

    def _is_done(self, bundle):
        """Scores one more mini-batch of it."""
        if self._stopped:
            raise WorkerStopped
        if self._unfit == "disk":
            raise StoreUnavailable("the disk is full")
        at = self._end(bundle)
        if at < bundle.end and self._unfit != "code":
            self._commits.add(Commit(bundle=bundle.index, start=at, end=at + 1, items_succeeded=1))
        return self._unfit == "code" or self._end(bundle) == bundle.end

    def _end(self, bundle):
        chain = self._commits.chain(bundle)
        return chain[-1].end if chain else bundle.start

    def _outcome(self, bundle):
        done = totals(self._commits.chain(bundle))
        fatal = JobError(code=InitFailed.code, message="no").model_dump_json() if self._unfit == "code" else ""
        return BundleOutcome(bundle.index, *done, fatal=fatal if done.mini_batches < len(bundle.mini_batches) else "")

    def lose_an_answer(self):
        """It is out of reach for a moment, and goes on."""
        name, given, answer = self.calls.popleft()
        self.calls.appendleft((name, given, Future()))
        answer.set_exception(ActorUnavailableError("out of reach", None))

    def die(self, error):
        self.ends = error
        while self.calls:
            self.calls.popleft()[2].set_exception(error)


class Cluster:
    """Stands for Ray, its clock and the queue of answers: while the pool waits for one, something happens.

    Args:
        faults: how many may happen.
        unfit: what is wrong with some of the workers that come up when something is committed.
    """

    def __init__(self, seed, folder, faults, unfit):
        self.rng, self.now, self.faults, self.unfit = random.Random(seed), 0.0, faults, unfit
        self._step_seconds = self.rng.choice([0.001, 0.001, 1.0])  # short bundles are handed out ahead
        self._gpus = self.rng.choice([0, 2])
        self._files = Disk(folder)
        self.commits, self.actors, self.answers, self.killed = CommitLog(self._files), [], deque(), []

    def remote(self, **options):
        def start(*arguments):
            unfit = self.unfit and self._files.names("commits") and self._chance(0.5)
            self.actors.append(Actor(self.commits, self.unfit.pop() if unfit else ""))
            return self.actors[-1]

        return lambda cls: SimpleNamespace(options=lambda **more: SimpleNamespace(remote=start))

    def nodes(self):
        return [{"NodeID": "the node", "Alive": self._chance(0.7), "Resources": {"GPU": self._gpus}}]

    def kill(self, actor):
        self.killed.append(actor)

    def wait(self, refs, **more):
        return refs, []

    def put(self, answer):
        self.answers.append(answer)

    def get(self, timeout=None):
        while not self.answers or self._chance(0.3):
            self._go_on()
        return self.answers.popleft()

    def _go_on(self):
        self.now += self._step_seconds
        busy = [actor for actor in self.actors if actor.calls]
        if self.killed and (self._chance(0.3) or not busy):
            self.killed.pop().die(ActorDiedError())
            return
        if not busy:
            assert self.answers, "the pool waits, and nobody is at anything"
            return
        (actor,) = self.rng.choices(busy, [actor.pace for actor in busy])
        if self._chance(0.05):
            self.rng.choice(busy).pace = self.rng.choice([1.0, 0.01])
        if self.faults and self._chance(0.15):
            self.faults -= 1
            self.rng.choice([lambda: actor.die(ActorDiedError()), actor.lose_an_answer])()
        else:
            actor.step(second=self._chance(0.3))

    def _chance(self, of):
        return self.rng.random() < of


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """Runs a pool of some workers over bundles on such a cluster; returns the cluster, the bundles and outcomes."""

    def run(seed, unfit=(), most_faults=11, sizes=(1, 4, 15, 40)):
        rng = random.Random(seed)
        (folder := tmp_path / str(seed)).mkdir()
        cluster = Cluster(seed, folder, faults=rng.randint(0, most_faults), unfit=list(unfit))
        bundles, start = [], 0
        for index in range(rng.choice(sizes)):
            end = start + rng.randrange(1, 3)
            bundles.append(Bundle(index, start, tuple((f"{n}.txt",) for n in range(start, end))))
            start = end
        workers = WorkerPlan(rng.randrange(1, 5), 1.0)
        for module in (ray_pool, placement):
            monkeypatch.setattr(module, "ray", cluster)
        monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=lambda: cluster.now))
        monkeypatch.setattr(ray_pool, "SimpleQueue", lambda: cluster)
        pool = ray_pool.Pool(workers, Placement(workers, nodes=1), folder.as_uri(), "", None)
        if rng.random() < 0.3 and len(bundles) >= workers.count:
            pool.prepare()
        outcomes = []
        for outcome in pool.outcomes(bundles):
            assert len(pool._at) <= workers.count
            outcomes.append(outcome)
        pool.close()
        return cluster, bundles, outcomes

    return run


def check(cluster, bundles, outcomes):
    """All is scored once, and told; and no worker is forgotten."""
    for bundle in bundles:
        chain = cluster.commits.chain(bundle)
        assert [commit.start for commit in chain] == list(range(bundle.start, bundle.end))
        assert all(commit.items_succeeded for commit in chain)
    whole = {outcome.bundle for outcome in outcomes if not outcome.fatal}
    assert whole == {bundle.index for bundle in bundles}
    assert all(len(actor.visible) <= 1 for actor in cluster.actors), "a GPU is chosen once"
    going = [actor for actor in cluster.actors if not (actor.ends or actor in cluster.killed)]
    assert all("__ray_terminate__" in [name for name, _, _ in actor.calls] for actor in going)


@pytest.mark.parametrize("seed", range(100))
def test_whoever_is_lost_everything_is_scored_and_the_pool_comes_to_its_end(walk, monkeypatch, seed):
    monkeypatch.setattr(crashes, "MOST_CRASHES", 1000)
    check(*walk(seed))


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("unfit", ["disk", "code"])
def test_two_workers_that_are_unfit_are_replaced(walk, monkeypatch, seed, unfit):
    monkeypatch.setattr(crashes, "MOST_CRASHES", 1000)
    check(*walk(seed, [unfit, unfit]))


def test_what_a_free_worker_gets_of_a_slow_one_has_not_begun(walk):
    given_back = 0
    for seed in range(50):
        cluster, bundles, outcomes = walk(seed, most_faults=0, sizes=(40,))
        check(cluster, bundles, outcomes)
        begun = sorted(index for actor in cluster.actors for index in actor.began)
        assert begun == [bundle.index for bundle in bundles], "none is scored twice"
        given_back += sum(actor.given_back for actor in cluster.actors)
    assert given_back > 2
