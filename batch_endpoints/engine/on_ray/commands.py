"""Attempts of command steps as tasks of the Ray cluster that a driver belongs to.

Ray runs none of them again by itself: it would do so while the first one still runs on a node that was only cut off.
The process beside a program ends it when its Ray worker ends, so that a lost driver, worker or raylet leaves nothing.
Ray does not report an attempt as lost whose node was given up while it was only silent: so each says where it runs.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError, TaskCancelledError

from batch_endpoints.engine.on_ray import cluster
from batch_endpoints.engine.pipeline.command_step import run_attempt
from batch_endpoints.errors import BatchEndpointError, ResourcesUnavailable, StepLost
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.interfaces.runner import AttemptOutcome
from batch_endpoints.planning.resources import WorkerPlan, plan_workers
from batch_endpoints.settings import PRIVATE_UMASK
from batch_endpoints.specs import CommandJob, JobError, Resources
from batch_endpoints.storage.files.place import writable_place
from batch_endpoints.storage.job.job_folder import JobFolder

_LOOK_SECONDS = 0.2  # how soon a stop that came while a task was made is noticed
_NODE_SECONDS = 2.0  # between two looks at whether its node is up
_END_SECONDS = 3.0  # for an attempt to end its program, before its worker is killed


class RayCommands:
    """Each attempt in a worker of Ray, which goes on with others when it has ended; the driver is connected."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._task = ray.remote(max_retries=0)(_attempt)

    def run(self, folder_uri: str, attempt: int) -> AttemptOutcome:
        """See ``CommandRunner``."""
        files = writable_place(folder_uri)
        job = JobFolder(files, folder_uri).job()
        assert isinstance(job, CommandJob)
        try:
            reserves = _reserved(job)
        except ResourcesUnavailable as error:
            return AttemptOutcome(error=JobError(code=error.code, message=error.what, details=error.mend))
        if self._stop.is_set():
            return AttemptOutcome(stopped=True)
        task = self._task.options(
            name=f"{job.name} {job.component.name}".strip(),
            num_cpus=reserves.cpus,
            num_gpus=reserves.gpus,
            memory=reserves.memory or None,
        ).remote(folder_uri, attempt, place := f"attempts/nodes/{uuid4().hex}")
        return self._outcome(task, _Node(files, place))

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        """Nothing is held."""

    def _outcome(self, task: Any, node: _Node) -> AttemptOutcome:
        """Raises as ``run``."""
        try:
            while not self._stop.is_set():
                try:
                    return _result(task)
                except GetTimeoutError:
                    node.check()
            ray.cancel(task, force=False)
            try:
                return _result(task, _END_SECONDS)
            except GetTimeoutError:
                ray.cancel(task, force=True)
                return AttemptOutcome(stopped=True)
        except RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, BatchEndpointError):
                raise cause from None
            raise
        except TaskCancelledError:
            return AttemptOutcome(stopped=True)
        except RayError as error:
            if self._stop.is_set():
                return AttemptOutcome(stopped=True)
            why = str(error).strip().splitlines()[0]
            raise StepLost(f"the node or the worker that ran the step was lost: {why}") from None


class _Node:
    """The node on which an attempt runs.

    Args:
        files: the step's folder.
        place: where the attempt writes the node's id.
    """

    def __init__(self, files: WritablePlace, place: str) -> None:
        self._files, self._place = files, place
        self._id, self._looked = "", time.monotonic()

    def check(self) -> None:
        """Look now and then whether it is up; raises StepLost where Ray has given it up."""
        if time.monotonic() - self._looked < _NODE_SECONDS:
            return
        self._looked = time.monotonic()
        if not self._id:
            try:
                self._id = self._files.read(self._place).decode()
            except FileNotFoundError:  # it waits for its turn
                return
        if self._id not in cluster.alive_nodes():
            raise StepLost("the node that ran the step was lost: it has been silent for too long")


def _result(task: Any, seconds: float = _LOOK_SECONDS) -> AttemptOutcome:
    outcome: AttemptOutcome = ray.get(task, timeout=seconds)
    return outcome


def _attempt(folder_uri: str, attempt: int, place: str) -> AttemptOutcome:
    """Ray runs this in the main thread of a worker, where a cancel raises KeyboardInterrupt."""
    os.umask(PRIVATE_UMASK)  # on a cluster of the user's it is whatever that was started with
    writable_place(folder_uri).replace(place, ray.get_runtime_context().get_node_id().encode())
    return run_attempt(folder_uri, attempt, threading.Event())


def _reserved(job: CommandJob) -> WorkerPlan:
    """What an attempt reserves of its node: one CPU where nothing else is stated, and no GPU.

    Raises:
        ResourcesUnavailable: no node has, or could have, as much.
    """
    stated = job.component.resources
    properties = dict(stated.properties) if stated else {}
    resources = Resources(properties={"num_gpus": 0, **properties})
    return plan_workers(resources, 1, cluster.shape())
