"""Bundles on a Ray cluster: a pool of scoring actors, each with one bundle at a time.

Where bundles are short, each has another one behind it, which it scores while it commits the first: that, and the way
to the driver and back, would cost too much of them.

Only descriptors go to the actors and outcomes come back; data is read and written where it is scored. Ray places the
actors (``placement``), has its autoscaler bring nodes where they do not fit, and says which of them are lost. What a
lost one was at goes to the next that is free, and what it had committed counts.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from batch_endpoints.engine.on_ray.actor import CONCURRENCY, ScoringActor
from batch_endpoints.engine.on_ray.crashes import Crashes
from batch_endpoints.engine.on_ray.placement import Placement, free_cpus, gpus_of_nodes, is_alive
from batch_endpoints.errors import EnvironmentFailed, InitFailed, StoreUnavailable, WorkersLost
from batch_endpoints.interfaces.runner import BundleOutcome, RunListener
from batch_endpoints.planning.job_plan import Bundle
from batch_endpoints.planning.resources import WorkerPlan, visible_gpu
from batch_endpoints.policies.short_work import ShortWork
from batch_endpoints.policies.work_queue import WorkQueue
from batch_endpoints.specs import JobError
from batch_endpoints.storage.files.place import writable_place

# of which actor, to which bundle: None is `ready`
_Answer = tuple[Any, Bundle | None, "Future[BundleOutcome | str | None]"]
Actor = Any  # a handle: Ray's own type does not have the methods of the class behind it
logger = logging.getLogger(__name__)

_MOST_LOST_STARTS = 10  # for each worker of a pool: a node may be lost while one comes up, but not so often
_MOST_UNFIT = 3  # workers that cannot load, read or write what others can, in a row; or as many as the pool has
_CLOSE_SECONDS = 5.0
_SHORT_CLOSE_SECONDS = 1.0  # where none has been given anything
_LOOK_SECONDS = 10.0  # how long nothing is said while no worker is up
_PLACE_SECONDS = 60.0  # how long to wait for room on all instances at once
_NODES_SECONDS = 900.0  # and where an autoscaler has to bring them first


class Pool:
    """Actors, and what each is at."""

    def __init__(
        self,
        workers: WorkerPlan,
        places: Placement,
        folder_uri: str,
        input_root: str,
        listener: RunListener | None,
    ) -> None:
        self._waiting: WorkQueue[Actor, Bundle] = WorkQueue(())
        self._workers, self._size, self._places = workers, workers.count, places
        options: dict[str, Any] = {
            "num_cpus": workers.cpus,
            "concurrency_groups": CONCURRENCY,
            "max_restarts": 0,  # another actor takes its place, and whoever is free its bundle
        }
        self._class = ray.remote(**options)(ScoringActor)
        self._arguments, self._listener = (folder_uri, input_root), listener
        self._at: dict[Actor, deque[Bundle]] = {}  # none: it is coming up
        self._short_work = ShortWork()
        self._idle: list[Actor] = []  # may get what others are asked to give back
        self._asked_back: set[int] = set()  # the indexes of these bundles
        self._instance: dict[Actor, int] = {}
        self._node: dict[Actor, str] = {}
        self._fresh: set[Actor] = set()  # that have loaded the code, or are at it, and were not given anything yet
        self._slot: dict[Actor, int] = {}  # on nodes with GPUs
        self._visible: dict[Actor, str] = {}  # there
        self._gpus: dict[str, int] = {}
        self._files = writable_place(folder_uri)
        self._crashes = Crashes(self._files)
        self._closing: dict[ray.ObjectRef[None], Actor] = {}
        # answers come as futures, not from ray.wait: a signal ends this wait at once, and it costs the same for any
        # number of actors
        self._answers: SimpleQueue[_Answer | None] = SimpleQueue()
        self._lost_starts = self._unfit = 0
        self._told = False  # that no worker is up

    def prepare(self) -> None:
        """Start all actors before there is any work."""
        for _ in range(self._size):
            self._fresh.add(actor := self._start())
            actor.load.remote()

    def outcomes(self, bundles: Sequence[Bundle]) -> Generator[BundleOutcome, None, None]:
        self._waiting = WorkQueue(bundles)
        while left := len(self._waiting) + sum(map(len, self._at.values())):
            # while nothing is done by others, one that was unfit is not replaced: it might come up on the same node
            while len(self._at) < min(max(1, self._size - self._unfit), left):
                self._start()
            idle, self._idle = self._idle, []
            for actor in idle:
                self._hand_out(actor)
            if (answered := self._next_answer()) is None:
                return
            actor, bundle, answer = answered
            if actor not in self._at:  # nobody waits for it any more
                continue
            error = answer.exception()
            if isinstance(error, RayError) and not isinstance(error, RayTaskError):
                self._forget(actor, error)
                continue
            self._lost_starts = 0
            if isinstance(error, RayTaskError) and isinstance(error.cause, StoreUnavailable):
                self._give_up(actor, error.cause)
                continue
            if not error and isinstance(node := answer.result(), str):
                self._is_up(actor, node)
            elif bundle and not error and answer.result() is None:  # it was asked back
                self._at[actor].remove(bundle)
                self._give_back(actor, [bundle])
            elif not error and self._is_unfit(answer.result()):
                self._let_go(actor)
                continue
            elif bundle:
                self._at[actor].remove(bundle)
                self._asked_back.discard(bundle.index)
                self._crashes.clear(bundle)
                self._short_work.one_is_done(time.monotonic())
            self._hand_out(actor)  # before anybody hears of the outcome: the actor shall not wait for that
            outcome = answer.result()
            if isinstance(outcome, BundleOutcome):
                yield outcome

    def stop(self) -> None:
        """Let ``outcomes`` end now; from any thread."""
        self._answers.put(None)

    def close(self) -> None:
        """End all actors, whatever they are at."""
        actors = list(self._at)
        for actor in actors:
            actor.stop.remote()
            self._release(actor)
        seconds = _CLOSE_SECONDS if self._node else _SHORT_CLOSE_SECONDS
        slow = ray.wait(list(self._closing), num_returns=len(self._closing), timeout=seconds)[1]
        for actor in {*actors, *(self._closing[answer] for answer in slow)}:
            ray.kill(actor)
        self._places.close()

    def _start(self) -> Actor:
        instance = self._places.next(self._instance[actor] for actor in self._at)
        strategy = self._places.strategy(instance)
        actor: Actor = self._class.options(scheduling_strategy=strategy).remote(*self._arguments)
        self._instance[actor], self._at[actor] = instance, deque()
        self._call(actor, None, actor.ready.remote())
        return actor

    def _hand_out(self, actor: Actor) -> None:
        bundles = self._at[actor]
        while self._waiting and len(bundles) <= self._one_ahead:
            self._run(actor, *self._waiting.take(actor))
        if bundles:
            return
        if others := [(other, its[-1].index) for other, its in self._at.items() if len(its) > 1]:
            self._idle.append(actor)
            if asked := next((one for one in others if one[1] not in self._asked_back), None):
                other, index = asked
                self._asked_back.add(index)
                other.ask_back.remote(index)
            return
        if actor in self._fresh:
            actor.stop.remote()  # it need not end what it loads
        self._release(actor)

    def _run(self, actor: Actor, bundle: Bundle, kept: Bundle | None) -> None:
        self._at[actor].append(bundle)
        following = kept.mini_batch(kept.start) if kept else None
        self._fresh.discard(actor)
        how = following, self._crashes.known(bundle), self._visible.get(actor)
        self._call(actor, bundle, actor.run.remote(bundle, *how))

    @property
    def _one_ahead(self) -> bool:
        if self._crashes.suspected:
            return False  # with one bundle at a time it is plain which one it is
        return self._short_work.one_ahead(time.monotonic(), len(self._node.keys() & self._at), len(self._waiting))

    def _is_up(self, actor: Actor, node: str) -> None:
        self._node[actor] = node
        if node not in self._gpus:
            self._gpus = gpus_of_nodes()
        if gpus := self._gpus.get(node):
            beside = {self._slot[other] for other in self._at if other in self._slot and self._node[other] == node}
            self._slot[actor] = slot = min(set(range(len(beside) + 1)) - beside)
            self._visible[actor] = visible_gpu(slot, gpus)
        if self._listener:
            self._listener.worker_up()

    def _is_unfit(self, outcome: BundleOutcome | str | None) -> bool:
        """Is it this worker alone that cannot load code or interpreter, which others of the job could?

        So it is where something is committed; but not again and again.
        """
        if not isinstance(outcome, BundleOutcome) or not outcome.fatal:
            self._unfit = 0
            return False
        error = JobError.model_validate_json(outcome.fatal)
        if error.code not in (InitFailed.code, EnvironmentFailed.code) or not self._files.names("commits"):
            return False
        logger.warning("a worker cannot begin: %s", error.message)
        self._unfit += 1
        return self._unfit < max(_MOST_UNFIT, self._size)

    def _next_answer(self) -> _Answer | None:
        """Waits for it; while no worker is up, says so, and goes where there is room when that takes too long.

        Who waits for a node that is lost does so only where nothing else is left.
        """
        began = time.monotonic()
        up = any(self._at.values())
        coming = [actor for actor in self._at if actor not in self._node]
        while True:
            try:
                return self._answers.get(timeout=_LOOK_SECONDS if coming or not up else None)
            except Empty:
                lost = self._places.lost(self._instance[actor] for actor in self._at) if coming else ()
                for actor in (one for one in coming if self._instance[one] in lost):  # others take their place
                    ray.kill(actor)
                if up:
                    continue
                patience = _NODES_SECONDS if self._workers.to_come else _PLACE_SECONDS
                if time.monotonic() - began >= patience and self._places.wait_for_room:
                    self._note(self._places.give_up())
                    for actor in self._at:  # others take their place
                        ray.kill(actor)
                if not self._told:
                    each = f"{self._size} with {self._workers.cpus:g} CPUs each are asked for"
                    self._note(f"no worker was up after {_LOOK_SECONDS:g} seconds: {each}, and {free_cpus()}")
                self._told = True

    def _note(self, note: str) -> None:
        if self._listener:
            self._listener.note(note)

    def _call(self, actor: Actor, bundle: Bundle | None, answer: ray.ObjectRef[Any]) -> None:
        answer.future().add_done_callback(lambda future: self._answers.put((actor, bundle, future)))

    def _release(self, actor: Actor) -> None:
        """Let it close, end and give its CPU back."""
        del self._at[actor]
        self._closing[actor.close.remote()] = actor
        actor.__ray_terminate__.remote()  # behind what it was told before

    def _give_up(self, actor: Actor, error: StoreUnavailable) -> None:
        """It cannot read or write; another one may be able to, elsewhere or later."""
        logger.warning("%s", error.what)
        self._unfit += 1
        if self._unfit >= max(_MOST_UNFIT, self._size):
            raise error
        self._node.pop(actor, None)
        self._let_go(actor)

    def _let_go(self, actor: Actor) -> None:
        """Let others have what it was given, and it begin nothing of that."""
        self._give_back(actor, self._at[actor])
        actor.stop.remote()
        self._release(actor)

    def _give_back(self, actor: Actor, bundles: Sequence[Bundle]) -> None:
        self._waiting.give_back(actor)
        for bundle in reversed(bundles):
            self._asked_back.discard(bundle.index)
            self._waiting.give_back(actor, bundle)

    def _forget(self, actor: Actor, error: RayError) -> None:
        """Its process or node is lost, or out of reach; it may still write, and the commits bear with that."""
        ray.kill(actor)
        bundles, node = self._at.pop(actor), self._node.pop(actor, "")
        why = str(error).strip().splitlines()[-1]
        logger.warning("a worker is lost%s: %s", f" at bundle {bundles[0].index}" if bundles else "", why)
        if bundles:
            if isinstance(error, ActorDiedError) and is_alive(node):
                for bundle in bundles:  # the one was perhaps being committed
                    self._crashes.count(bundle, why)
            self._give_back(actor, bundles)
            return
        self._lost_starts += 1
        if self._lost_starts == _MOST_LOST_STARTS * self._size:
            raise WorkersLost(
                f"{self._lost_starts} workers ended, one behind the other, before they were up: {why}",
                mend="The logs of Ray on the nodes say more; `batch-endpoints job resume` goes on from here.",
            )
