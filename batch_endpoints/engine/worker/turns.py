"""Who may use a worker's code: one bundle at a time, until something ends that for all that come behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.scoring.worker import WorkerStopped

_GIVE_WAY_SECONDS = 0.001  # to the next one, who would wait for the interpreter until this thread waits for something


class Turns:
    """A lock that is broken by the first error: another try would end like that one.

    Where it is a store that cannot be reached, what a script wrote is still in its output folder, and would be taken
    for what it writes next.

    Args:
        worker: its name, for people.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._changed = threading.Condition()
        self._taken, self._waiting = False, 0
        self._ended: Exception | None = None

    @contextmanager
    def next(self) -> Iterator[None]:
        """A turn.

        Raises:
            Exception: what ended one before, or this one; see ``end``.
        """
        with self.last():
            if self._ended:
                raise self._ended
            try:
                yield
            except WorkerStopped:
                raise
            except Exception as error:
                self.end(error)

    @contextmanager
    def last(self) -> Iterator[None]:
        """To be held while the code is let go of."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._taken)
            self._waiting -= 1
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
                others = self._waiting
            if others:
                time.sleep(_GIVE_WAY_SECONDS)

    def end(self, error: Exception) -> NoReturn:
        """Let nobody have a turn any more. Raises the error; where it is about a store, one that names the worker."""
        told = error
        if error is not self._ended and isinstance(error, (OSError, StoreUnavailable)):
            why = error.what if isinstance(error, StoreUnavailable) else error
            told = StoreUnavailable(
                f"worker '{self._worker}' cannot go on: {why}",
                mend="When that is mended, `batch-endpoints job resume` goes on from what is committed.",
            )
            told.__cause__ = error
        self._ended = self._ended or told
        raise told
