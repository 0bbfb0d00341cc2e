"""Environments on this machine's disk: each is made once, whoever asks, and removed when nobody has used it for long.

    <folder>/<key>/                  the environment
    <folder>/<key>/ready.json        written last: without it the rest is what a crash has left
    <folder>/<key>.lock              held exclusively by who makes or removes it, shared by who uses it
    <folder>/last-cleaning           its time is that of the last look for what is unused

The time of ``ready.json`` is that of the last use. Locks end with their process, so nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
UNUSED_SECONDS = 30 * 24 * 3600.0
CLEANING_SECONDS = 24 * 3600.0
_READY = "ready.json"


@dataclass(frozen=True)
class Built:
    """An environment that is there.

    Args:
        python: path of its interpreter.
        version: of that Python.
        packages: name -> version of all that is installed.
        seconds: that it took.
        notes: what a user should know of it.
    """

    python: str
    version: str
    packages: dict[str, str]
    seconds: float
    notes: tuple[str, ...] = ()


class Lease:
    """Keeps an environment from being removed; let go of by ``close()``, or with the process."""

    def __init__(self, lock: IO[bytes]) -> None:
        self._lock = lock

    def close(self) -> None:
        self._lock.close()


class EnvironmentCache:
    """The environments below one folder, which processes may share.

    Args:
        folder: on a disk of this machine; an environment cannot be moved.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, build: Callable[[Path, int], Built]) -> tuple[Built, Lease, bool]:
        """The environment of this key, built where it is not there.

        Args:
            build: makes it in the folder given. The number is the lock's descriptor: whatever it starts inherits it,
                so that the next one waits also for what a killed process has left running.

        Returns: the environment, what keeps it, and whether this call has built it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        place, has_built = self._folder / key, False
        lock = (self._folder / f"{key}.lock").open("ab")
        try:
            while True:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if built := _ready(place):
                    os.utime(place / _READY)
                    return built, Lease(lock), has_built
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not _ready(place):  # nobody has made it while this one waited
                    _remove(place)
                    _make(place, build, lock.fileno())
                    has_built = True
        except BaseException:
            lock.close()
            raise

    def remove_unused(self, now: float, unused_seconds: float = UNUSED_SECONDS) -> list[str]:
        """Remove what nobody has used for long, and what crashes have left.

        Args:
            now: seconds since 1970.

        Returns: the keys of what was removed. What is in use or being built stays.
        """
        removed = []
        for place in sorted(self._folder.glob("*/")):
            try:
                if self._remove_old(place, now - unused_seconds):
                    removed.append(place.name)
            except OSError as error:  # another user's, or removed by another process meanwhile
                logger.debug("environment %s stays: %s", place.name, error)
        return removed

    def remove_unused_daily(self, now: float) -> list[str]:
        """``remove_unused``, but once a day on this machine, so that it costs whoever begins a job nothing."""
        mark = self._folder / "last-cleaning"
        try:
            if mark.exists() and 0 <= now - mark.stat().st_mtime < CLEANING_SECONDS:
                return []
            mark.touch()
            os.utime(mark, (now, now))  # first, so that the next one need not look as well
        except OSError:  # there is no cache yet, or it is another user's
            return []
        return self.remove_unused(now)

    def _remove_old(self, place: Path, before: float) -> bool:
        with (self._folder / f"{place.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _last_use(place) >= before:
                return False
            _remove(place)
            logger.info("unused environment removed: %s", place.name)
            return True


def _ready(place: Path) -> Built | None:
    try:
        said = json.loads((place / _READY).read_bytes())
        built = Built(**{**said, "notes": tuple(said["notes"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not os.access(built.python, os.X_OK):  # the Python it was built on is gone
        return None
    return built


def _make(place: Path, build: Callable[[Path, int], Built], lock: int) -> None:
    """Build it, or leave nothing. The lock is held: whoever only waits for it may be in another one's way."""
    aside = place / f"{_READY}.aside"
    try:
        aside.write_text(json.dumps(asdict(build(place, lock))), encoding="utf-8")
        aside.replace(place / _READY)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _remove(place: Path) -> None:
    (place / _READY).unlink(missing_ok=True)  # first: what is half removed is not there
    if place.exists():
        shutil.rmtree(place)


def _last_use(place: Path) -> float:
    ready = place / _READY
    return (ready if ready.exists() else place).stat().st_mtime
