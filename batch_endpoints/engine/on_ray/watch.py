"""Which workers of a job are up, and what the job reports of those that are not."""

from __future__ import annotations

import time

from batch_endpoints.engine.on_ray.cluster import free_resources
from batch_endpoints.engine.on_ray.internals import Execution, Pool
from batch_endpoints.engine.on_ray.start_turn import StartTurn
from batch_endpoints.errors import WorkersLost
from batch_endpoints.interfaces.runner import RunListener
from batch_endpoints.planning.resources import WorkerPlan

MEND = "The logs of Ray on the nodes say more; `batch-endpoints job resume` goes on from here."
_MOST_LOST_STARTS = 10  # of one worker before any is up: a node may be lost while one comes up, but not so often
_UP_SECONDS = 0.1  # between two looks at whether the first worker is up
_LOOK_SECONDS = 10.0  # and afterwards; how long nothing is reported while workers are missing
_TURN_SECONDS = 20.0  # at most, for the workers of one job to come up while those of others wait


class Watch:
    """Looks at the workers now and then.

    Args:
        noted: what was noted before in this job: True where some workers were up, False where none was.
        turn: of this job to start its workers; ends when all are up.
    """

    def __init__(
        self,
        execution: Execution,
        workers: WorkerPlan,
        listener: RunListener | None,
        noted: set[bool],
        turn: StartTurn,
    ) -> None:
        self._execution, self._workers, self._listener, self._noted = execution, workers, listener, noted
        self._turn = turn
        self._began = self._looked = time.monotonic()
        self._up = False

    @property
    def seconds(self) -> float:
        """How long to wait for something else before the next look."""
        until = self._looked + (_LOOK_SECONDS if self._up and not self._turn.held else _UP_SECONDS)
        return max(0.0, until - time.monotonic())

    def one_is_up(self) -> None:
        """It has reported something."""
        if not self._up and self._listener:
            self._listener.worker_up()
        self._up = True

    def look(self) -> None:
        """Look, if it is time for that.

        Raises:
            WorkersLost: again and again, before any is up.
        """
        if self.seconds:
            return
        self._looked = time.monotonic()
        pool = self._execution.pool()
        if pool.up:
            self.one_is_up()
        elif pool.lost_starts >= _MOST_LOST_STARTS:
            raise WorkersLost(
                f"a worker has ended {pool.lost_starts} times, one behind the other, before it was up", mend=MEND
            )
        if (pool.up and not pool.coming) or self._looked - self._began >= _TURN_SECONDS:
            self._turn.end()
        if pool.coming and self._looked - self._began >= _LOOK_SECONDS:
            self._note(pool)

    def _note(self, pool: Pool) -> None:
        """Once where no worker is up, and once where some are."""
        some = bool(pool.up)
        if some in self._noted or not self._listener:
            return
        self._noted.add(some)
        up = f"{pool.up} of {pool.up + pool.coming} workers were up" if some else "no worker was up"
        each = f"{self._workers.each} each{self._workers.where}"
        asked = f"{pool.coming} {'more ' if some else ''}with {each} are asked for"
        self._listener.note(f"{up} after {_LOOK_SECONDS:g} seconds: {asked}, and {free_resources()}")
