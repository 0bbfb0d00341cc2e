"""The log of one worker, in its job's folder."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from batch_endpoints.interfaces import Filesystem
from batch_endpoints.storage.filesystem import local_path
from batch_endpoints.storage.job_folder import upload_log

logger = logging.getLogger(__name__)

_SHORT_BYTES = 1 << 20
_STORE_SECONDS = 10.0


class StoredLog:
    """What the code of one worker prints: a file on this machine, in the job folder or on its way there.

    Args:
        scratch: where the file is when the job folder is not on a disk.
        worker: its name.
    """

    def __init__(self, files: Filesystem, folder_uri: str, scratch: Path, worker: str) -> None:
        self._files, self._worker = files, worker
        self._remote = local_path(folder_uri) is None
        self.path = (local_path(folder_uri) or scratch) / "logs" / f"worker-{worker}.log"
        self._stored = (0, 0.0)  # bytes, and when

    def store(self, *, closing: bool = False) -> None:
        """Bring it to a job folder that is remote; on a disk it is there already.

        A store cannot append, so a long log goes there as a whole every few seconds.
        """
        if not self._remote or not self.path.exists():
            return
        size, now = self.path.stat().st_size, time.monotonic()
        stored, when = self._stored
        if size == stored or (size > _SHORT_BYTES and now - when < _STORE_SECONDS and not closing):
            return
        try:
            upload_log(self._files, self.path)
            self._stored = size, now
        except OSError as error:  # no reason to lose a worker
            logger.warning("the log of worker '%s' cannot be stored now: %s", self._worker, error)
