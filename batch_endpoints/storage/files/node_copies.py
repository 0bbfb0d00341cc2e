"""Copies of folders on this machine's disk for user code: one for each version, read-only, used by many jobs.

    <folder>/<key>/<n>/<name>     the copy; its folder holds nothing else
    <folder>/<key>/<n>.json       written last: each file of it, as it was when it was made
    <folder>/<key>/lock           held exclusively by who makes or removes a copy, shared by who uses one

A copy shares nothing with what it was made of: whoever can change the one cannot change the other. It is used again
as long as each file has the device, inode, size and ctime that are noted; the last is the system's alone to set.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
UNUSED_SECONDS = 30 * 24 * 3600.0
_CLONE = 0x40049409  # ioctl(2), FICLONE: the same blocks until one of them is written
_PIECE = 4 << 20


class NodeCopy:
    """A copy in use.

    Args:
        place: the copy of what was named.
        note: what a user should know of it; "" for nothing.
    """

    def __init__(self, place: Path, note: str = "", lock: IO[bytes] | None = None) -> None:
        self.place, self.note, self._lock = place, note, lock

    def close(self) -> None:
        """Let go of it: it may be removed when nobody has used it for long. The process's end does the same."""
        if self._lock:
            self._lock.close()


def node_copy(source: Path, folder: Path) -> NodeCopy:
    """The copy of a file or folder, made if there is none yet of what it holds now.

    Args:
        folder: of all copies on this machine.

    Raises:
        OSError: it cannot be read, or there is no room for a copy.
    """
    place = folder / _version(source)
    place.mkdir(parents=True, exist_ok=True)
    lock = (place / "lock").open("ab")
    try:
        note = ""
        while True:
            fcntl.flock(lock, fcntl.LOCK_SH)
            number, changed = _latest(place)
            if number and not changed:
                os.utime(place / f"{number}.json")
                _remove_unused_daily(folder, time.time())
                return NodeCopy(place / str(number) / source.name, note, lock)
            fcntl.flock(lock, fcntl.LOCK_UN)
            with (place / "making").open("ab") as making:  # others go on using what they have
                fcntl.flock(making, fcntl.LOCK_EX)
                if _latest(place) != (number, changed):  # another one has made it while this one waited
                    continue
                if changed:
                    note = f"the copy of '{source.name}' on this node was changed ({changed}): it is made anew"
                    logger.warning(note)
                _make(source, place, number + 1)
    except BaseException:
        lock.close()
        raise


def copy_tree(source: Path, target: Path) -> dict[str, str]:
    """Make ``target`` hold what ``source`` holds, and share nothing with it.

    Returns: path relative to ``target`` -> SHA-256, of each file; a file alone is "".
    """
    digests: dict[str, str] = {}

    def copy(one: str, other: str) -> None:
        if not os.path.isfile(one):  # a socket, or a link that leads nowhere
            return
        digests[os.path.relpath(other, target) if source.is_dir() else ""] = _copy_file(one, other)

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy)
    else:
        copy(str(source), str(target))
    return digests


def clone_file(source: str, target: str) -> None:
    """Copy a file with its times and mode, without its bytes where the disk can; anything else is left out."""
    if not os.path.isfile(source):
        return
    with open(source, "rb") as given, open(target, "xb") as copy:
        try:
            fcntl.ioctl(copy, _CLONE, given.fileno())
        except OSError:  # another disk, or one that cannot
            shutil.copyfile(source, target)
    shutil.copystat(source, target)


def _copy_file(source: str, target: str) -> str:
    """Returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with open(source, "rb") as given, open(target, "xb") as copy:
        try:
            fcntl.ioctl(copy, _CLONE, given.fileno())
            reading: str = target
        except OSError:  # another disk, or one that cannot
            reading = ""
            while piece := given.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
    if reading:
        with open(reading, "rb") as copy:
            while piece := copy.read(_PIECE):
                digest.update(piece)
    shutil.copystat(source, target)
    return digest.hexdigest()


def _make(source: Path, place: Path, number: int) -> None:
    """Make a copy, or leave nothing."""
    home = place / str(number)
    try:
        digests = copy_tree(source, home / source.name)
        for at, _, names in os.walk(home, topdown=False):
            for name in names:
                path = os.path.join(at, name)
                os.chmod(path, os.stat(path).st_mode & ~0o222)
            if at != str(home):  # which is ours to remove from
                os.chmod(at, os.stat(at).st_mode & ~0o222)
        os.chmod(home, 0o555)
        noted = [[*entry, digests.get(_within(entry[0], source.name), "")] for entry in _entries(home)]
        aside = place / f"{number}.json.aside"
        aside.write_text(json.dumps(noted), encoding="utf-8")
        aside.replace(place / f"{number}.json")
    except BaseException:
        _remove(home)
        raise


def _within(path: str, name: str) -> str:
    return path[len(name) + 1 :]


def _latest(place: Path) -> tuple[int, str]:
    """The number of the last copy, 0 for none; and what has changed of it since it was made."""
    numbers = [int(file.stem) for file in place.glob("*.json") if file.stem.isdecimal()]
    number = max(numbers, default=0)
    if not number:
        return 0, ""
    noted = {path: tuple(entry) for path, *entry, _ in json.loads((place / f"{number}.json").read_bytes())}
    found = {path: tuple(entry) for path, *entry in _entries(place / str(number))}
    different = sorted(path for path in noted.keys() | found.keys() if noted.get(path) != found.get(path))
    return number, different[0] if different else ""


def _entries(home: Path) -> Iterator[tuple[str, int, int, int, int]]:
    """Of each file and folder in there: relative path, device, inode, size and ctime."""
    top = os.path.join(home, "")
    for at, folders, names in os.walk(home):
        for name in (*folders, *names):
            path = os.path.join(at, name)
            found = os.lstat(path)
            yield path[len(top) :], found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def _version(source: Path) -> str:
    """A digest of where it is, and of each file's size, time and inode."""
    digest = hashlib.sha256(os.fsencode(source))
    files = [str(source)]
    if source.is_dir():
        files = sorted(os.path.join(at, n) for at, _, names in os.walk(source, followlinks=True) for n in names)
    for file in filter(os.path.isfile, files):
        found = os.stat(file)
        digest.update(os.fsencode(f"\0{file}\0{found.st_size} {found.st_mtime_ns} {found.st_dev} {found.st_ino}"))
    return digest.hexdigest()[:32]


def _remove_unused_daily(folder: Path, now: float) -> None:
    """Remove copies that no job has used for long, once a day on this machine."""
    mark = folder / "last-cleaning"
    with suppress(OSError):
        if mark.exists() and 0 <= now - mark.stat().st_mtime < 24 * 3600:
            return
        mark.touch()
        os.utime(mark, (now, now))
        for place in [one for one in folder.iterdir() if one.is_dir()]:
            with suppress(OSError), (place / "lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody uses any of its copies
                latest = _latest(place)[0]
                used = (place / f"{latest}.json").stat().st_mtime if latest else 0.0
                for home in [one for one in place.iterdir() if one.is_dir()]:
                    if home.name != str(latest) or used < now - UNUSED_SECONDS:
                        (place / f"{home.name}.json").unlink(missing_ok=True)
                        _remove(home)


def _remove(home: Path) -> None:
    for at, _, _ in os.walk(home):
        with suppress(OSError):
            os.chmod(at, 0o755)
    shutil.rmtree(home, ignore_errors=True)
