"""What is fetched ahead: the next mini-batch, while this one is scored."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, InvalidStateError
from contextvars import copy_context
from queue import SimpleQueue
from typing import Generic, TypeVar

from batch_endpoints.scoring.worker import WorkerStopped

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Ahead(Generic[K, V]):
    """Fetches things in threads of its own, before they are asked for.

    What fails is told to whoever asks for it. The threads are daemons: nobody has to wait for a store that hangs.
    They are as patient with it as whoever makes this.

    Args:
        fetch: called once for each thing, by any of the threads.
        threads: how many.
    """

    def __init__(self, fetch: Callable[[K], V], threads: int) -> None:
        self._fetch = fetch
        self._begun: dict[K, Future[V]] = {}
        self._queue: SimpleQueue[tuple[K, Future[V]] | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._work,), daemon=True) for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, wanted: Collection[K]) -> None:
        """Fetch these, in their order; what was begun before and is not among them is forgotten."""
        for gone in self._begun.keys() - set(wanted):
            self._begun.pop(gone).cancel()
        for thing in wanted:
            if thing not in self._begun:
                self._begun[thing] = future = Future[V]()
                self._queue.put((thing, future))

    def get(self, thing: K) -> V:
        """One of them, when it is there; it is forgotten then.

        Raises:
            WorkerStopped: ``stop`` was called.
            Exception: what ``fetch`` has raised.
        """
        if thing not in self._begun:
            self.begin([*self._begun, thing])
        future = self._begun[thing]
        if self._stopped.is_set():  # nobody may be there to fetch it
            raise WorkerStopped
        try:
            return future.result()
        finally:
            self._begun.pop(thing, None)

    def stop(self) -> None:
        """Fetch nothing more, and let nobody wait; from any thread."""
        self._stopped.set()
        for future in list(self._begun.values()):
            with contextlib.suppress(InvalidStateError):
                future.set_exception(WorkerStopped())
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        while (begun := self._queue.get()) is not None:
            thing, future = begun
            if self._stopped.is_set() or future.done():
                continue
            try:
                found = self._fetch(thing)
            except Exception as error:
                with contextlib.suppress(InvalidStateError):  # nobody waits for it any more
                    future.set_exception(error)
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(found)
