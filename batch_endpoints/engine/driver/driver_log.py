"""The driver's own log: in the job folder, or on its way there."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_endpoints.errors import BatchEndpointError
from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.specs.log_lines import LogFormatter

NAME = "logs/driver.log"
STORE_SECONDS = 10.0  # what a driver that is killed has told before is not lost


def log_to(place: Path | None) -> Path:
    """Log to standard output, and into the job folder; where that is remote, into a file for ``stored_log``.

    Args:
        place: the job folder, where it is on a disk.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    log = (place / "logs" if place else Path(tempfile.mkdtemp(prefix="batch-endpoints-"))) / "driver.log"
    if place is None or place.is_dir():
        log.parent.mkdir(exist_ok=True)
        handlers.append(logging.FileHandler(log))
    for handler in handlers:
        handler.setFormatter(LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("ray").setLevel(logging.WARNING)
    return log


@contextmanager
def stored_log(files: WritablePlace, log: Path, seconds: float = STORE_SECONDS) -> Iterator[None]:
    """While the block runs, and at its end, add this driver's log to those of earlier ones; then remove it here.

    Args:
        files: the job folder.
        seconds: between two times; a store cannot append, so each time it gets the whole.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_store, args=(files, log, ended, seconds), name="driver log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        shutil.rmtree(log.parent, ignore_errors=True)


def _store(files: WritablePlace, log: Path, ended: threading.Event, seconds: float) -> None:
    earlier: bytes | None = None
    told, last = b"", False
    while not last:
        last = ended.wait(seconds)
        if (now := log.read_bytes()) == told:
            continue
        try:
            if earlier is None:
                earlier = _earlier(files)
            files.replace(NAME, earlier + now)
            told = now
        except (OSError, BatchEndpointError) as error:
            if last:
                print(f"the driver's log could not be stored: {error}", file=sys.stderr)


def _earlier(files: WritablePlace) -> bytes:
    try:
        return files.read(NAME)
    except FileNotFoundError:
        return b""
