"""The log of a worker, or of a step's attempt: a job folder that is remote gets a copy, on a disk it is there."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.storage.job.job_folder import upload_log

logger = logging.getLogger(__name__)

_SHORT_BYTES = 1 << 20
_SECONDS = 10.0  # between copies of a longer one: a store cannot append, so it goes there as a whole


class StoredLog:
    """One log.

    Args:
        files: the job folder.
        scratch: where the log is written if the job folder is remote.
        name: of the log, without its ending.
    """

    def __init__(self, files: WritablePlace, scratch: Path, name: str) -> None:
        self.file = (files.disk or scratch) / "logs" / f"{name}.log"
        self._files, self._is_there = files, files.disk is not None
        self._stored = (0, 0.0)  # bytes, and when
        self._storing = threading.Lock()

    def store(self, *, closing: bool = False) -> None:
        """Bring what the code printed to the job folder, at the end in any case."""
        if self._is_there:
            return
        with self._storing:
            try:
                self._store(closing)
            except FileNotFoundError:  # nothing was printed yet
                return
            except OSError as error:  # no reason to lose a worker
                logger.warning("the log '%s' cannot be stored now: %s", self.file.name, error)

    def _store(self, closing: bool) -> None:
        size, now = self.file.stat().st_size, time.monotonic()
        stored, when = self._stored
        if size == stored or (size > _SHORT_BYTES and now - when < _SECONDS and not closing):
            return
        upload_log(self._files, self.file)
        self._stored = size, now
