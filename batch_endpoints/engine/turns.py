"""Who may use a worker's code: one bundle at a time, until something ends that for all that come behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from batch_endpoints.errors import StoreUnavailable
from batch_endpoints.scoring.worker import WorkerStopped


class Turns:
    """A lock that is broken by the first error: another try would end like that one.

    Where it is a store that cannot be reached, what a script wrote is still in its output folder, and would be taken
    for what it writes next.

    Args:
        worker: its name, for people.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._ended: Exception | None = None

    @contextmanager
    def next(self) -> Iterator[None]:
        """A turn.

        Raises:
            Exception: what ended one before, or this one; see ``end``.
        """
        with self._lock:
            if self._ended:
                raise self._ended
            try:
                yield
            except WorkerStopped:
                raise
            except Exception as error:
                self.end(error)

    def last(self) -> threading.Lock:
        """To be held while the code is let go of."""
        return self._lock

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
