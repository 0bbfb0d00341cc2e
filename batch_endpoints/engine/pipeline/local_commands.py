"""Attempts of command steps on this machine, without Ray."""

from __future__ import annotations

import os
import threading

from batch_endpoints.engine.pipeline.command_step import run_attempt
from batch_endpoints.interfaces.runner import AttemptOutcome

_LOOK_SECONDS = 0.1


class LocalCommands:
    """Each attempt in the thread that asks for it; as many at once as there are CPUs."""

    def __init__(self) -> None:
        self._room = threading.Semaphore(os.cpu_count() or 1)
        self._stop = threading.Event()

    def run(self, folder_uri: str, attempt: int) -> AttemptOutcome:
        """See ``CommandRunner``."""
        while not self._room.acquire(timeout=_LOOK_SECONDS):
            if self._stop.is_set():
                return AttemptOutcome(stopped=True)
        try:
            if self._stop.is_set():
                return AttemptOutcome(stopped=True)
            return run_attempt(folder_uri, attempt, self._stop)
        finally:
            self._room.release()

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        """Nothing is held."""
