"""Commits what is finished when its time has come, though the next mini-batch is still being scored."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType

from batch_endpoints.engine.worker.unforeseen import Unforeseen
from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.storage.job.commits import Commit

logger = logging.getLogger(__name__)


class InTime:
    """Commits what is finished when its time has come, though the next mini-batch is still being scored.

    It does so in a thread of its own, once at most, and only within ``with``: elsewhere its owner changes what is
    finished.

    Args:
        commit: returns what counts then. Where it fails, its owner will see that, who commits the same later.
    """

    def __init__(self, commit: Callable[[], Commit]) -> None:
        self.done: Commit | None = None
        self._commit = commit
        self._owned = threading.Lock()
        self._owned.acquire()
        self._timer: threading.Timer | None = None
        self._closed = False

    def begin(self, seconds: float) -> None:
        """It is time in so many seconds; of several calls the first one counts."""
        if self._timer is None:
            self._timer = threading.Timer(max(0.0, seconds), copy_context().run, (self._act,))
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        self._closed = True
        if self._timer:
            self._timer.cancel()
        self._owned.release()  # it may have been waiting

    def __enter__(self) -> None:
        self._owned.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._owned.acquire()

    def _act(self) -> None:
        with self._owned:
            if self._closed:
                return
            try:
                self.done = self._commit()
            except (OSError, BatchEndpointError, Unforeseen) as error:
                logger.warning("what is finished cannot be committed yet: %s", error)
