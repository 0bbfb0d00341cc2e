"""Who gets which piece of work next: known one piece ahead, and yet nothing waits behind a slow worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Worker = TypeVar("Worker", bound=Hashable)
Work = TypeVar("Work")


class WorkQueue(Generic[Worker, Work]):
    """Work that nobody has begun, in its order.

    Each worker that takes a piece is told which one is kept for it, so that it can fetch what that needs. Where
    nothing else is left, a worker gets what is kept for another one that is still busy.
    """

    def __init__(self, work: Iterable[Work]) -> None:
        self._waiting = deque(work)
        self._kept: dict[Worker, Work] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._kept)

    def take(self, worker: Worker) -> tuple[Work, Work | None]:
        """A piece for a worker that is free, and the one that it will probably get behind it.

        Raises:
            IndexError: none is left.
        """
        if worker in self._kept:
            work = self._kept.pop(worker)
        elif self._waiting:
            work = self._waiting.popleft()
        elif self._kept:
            _, work = self._kept.popitem()  # the one whose turn would come last
        else:
            raise IndexError("no work is left")
        if self._waiting:
            self._kept[worker] = self._waiting.popleft()
        return work, self._kept.get(worker)

    def give_back(self, worker: Worker, work: Work | None = None) -> None:
        """A worker is lost, with what it was at: others get that first, and then what was kept for it."""
        if worker in self._kept:
            self._waiting.appendleft(self._kept.pop(worker))
        if work is not None:
            self._waiting.appendleft(work)
