"""Jobs start their workers in turn where many start at once, so that those of a job are up soon, and together.

A worker needs a second of a core for its imports, and more without compiled modules. Where many jobs start theirs at
once on few cores, all are late, and the second worker of a job may be up long after the first.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
_PER_CPU = 2  # workers that start at once
_LOOK_SECONDS = 0.05
_MOST_SECONDS = 60.0  # for the turns of others; one of them may hang


def turns_at_once(cpus: float, workers: int) -> int:
    """How many jobs of so many workers may start them at once.

    Args:
        cpus: of the cluster.
    """
    return max(1, int(cpus * _PER_CPU // workers))


class StartTurn:
    """One of a few turns, each held by one process at a time; it ends with ``end``, or with the process.

    Args:
        folder: on a disk of this machine, for the locks.
        turns: how many jobs may start their workers at the same time.
    """

    def __init__(self, folder: Path, turns: int) -> None:
        self._folder, self._turns = folder, turns
        self._lock: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._lock is not None

    def take(self, given_up: Callable[[], bool], seconds: float = _MOST_SECONDS) -> None:
        """Wait for a turn; where none comes in time, or the locks cannot be used, go on without one.

        Args:
            given_up: asked while it waits; where it is True, go on without a turn.
        """
        until = time.monotonic() + seconds
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while not (self._try() or given_up() or time.monotonic() >= until):
                time.sleep(_LOOK_SECONDS)
        except OSError as error:  # another user's folder, or a disk without locks
            logger.debug("workers start without a turn: %s", error)

    def end(self) -> None:
        """Let another job start its workers."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def _try(self) -> bool:
        for number in range(self._turns):
            lock = (self._folder / f"{number}.lock").open("ab")
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock = lock
                return True
            lock.close()
        return False
