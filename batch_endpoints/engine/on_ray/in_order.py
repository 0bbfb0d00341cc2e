"""Bundles of a worker's blocks, in the order in which they came: one is scored while the one before is committed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


class InOrder(Generic[Work, Result]):
    """Does pieces of work one after the other; each lets the next one begin before it has ended itself.

    Args:
        do: does a piece in a thread; its second argument is to be called when the next piece may begin, and returns
            that piece, None where there is none yet. Where it is not called, the next one begins at the end.
    """

    def __init__(self, do: Callable[[Work, Callable[[], Work | None]], Result]) -> None:
        self._do = do
        self._changing = threading.Lock()
        self._waiting: deque[tuple[Work, Future[Result]]] = deque()
        self._begins = False  # a piece that has not let the next one begin
        self._threads = ThreadPoolExecutor(2)

    def submit(self, work: Work) -> Future[Result]:
        """Do it when all that came before lets it begin; from any thread."""
        future = Future[Result]()
        with self._changing:
            self._waiting.append((work, future))
        self._begin_next()
        return future

    def _begin_next(self) -> None:
        with self._changing:
            if self._begins or not self._waiting:
                return
            self._begins = True
            work, future = self._waiting.popleft()
        self._threads.submit(self._run, work, future)

    def _run(self, work: Work, future: Future[Result]) -> None:
        let_on = threading.Event()

        def next_may_begin() -> Work | None:
            with self._changing:
                following = self._waiting[0][0] if self._waiting else None
                if not let_on.is_set():
                    let_on.set()
                    self._begins = False
            self._begin_next()
            return following

        try:
            future.set_result(self._do(work, next_may_begin))
        except BaseException as error:
            future.set_exception(error)
        finally:
            next_may_begin()
