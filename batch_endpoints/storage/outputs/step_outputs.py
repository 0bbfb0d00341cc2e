"""What an attempt of a command step has written to an output: checked, and brought to the step's folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from batch_endpoints.interfaces.files import WritablePlace
from batch_endpoints.storage.files.patience import at_once


class NotWritten(Exception):
    """An output that was promised is not there; what is there instead, in words."""


def collect(name: str, place: Path, is_file: bool) -> list[str]:
    """Check that an output was written, and take out of it what is neither a file nor a folder.

    Args:
        place: the folder, or the file where it is to be one.

    Returns: notes for the user.

    Raises:
        NotWritten: it was not.
    """
    try:
        mode = os.lstat(place).st_mode
    except OSError:
        raise NotWritten(f"the command wrote no {'file' if is_file else 'folder'} there") from None
    if is_file:
        if not stat.S_ISREG(mode):
            raise NotWritten(f"what is there is {_kind(mode)}, where a file is expected")
        return []
    if not stat.S_ISDIR(mode):
        raise NotWritten(f"what is there is {_kind(mode)}, where a folder is expected")
    notes = []
    empty = True
    for at, folders, names in os.walk(place):
        for entry in (*folders, *names):
            path = os.path.join(at, entry)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                empty = False
            elif not stat.S_ISDIR(mode):
                os.unlink(path)
                shown = os.fsencode(os.path.relpath(path, place)).decode("utf-8", "backslashreplace")
                notes.append(f"'{shown}' in the output '{name}' is {_kind(mode)}: it is left out")
    if empty:
        notes.append(f"the output '{name}' is an empty folder")
    return notes


def upload(files: WritablePlace, target: str, place: Path) -> None:
    """Bring an output to the step's folder, several files at once.

    Args:
        target: where it goes there.
        place: the folder or file.
    """

    def put(path: str) -> None:
        with open(path, "rb") as source, files.open_output(f"{target}/{_below(path, place)}") as copy:
            while block := source.read(1 << 20):
                copy.write(block)

    if not at_once(put, _files(place)):
        files.replace(f"{target}/", b"")  # an object that stands for a folder: there is something to be read


def _files(place: Path) -> Iterable[str]:
    if place.is_file():
        yield str(place)
    for at, _, names in os.walk(place):
        yield from (os.path.join(at, name) for name in names)


def _below(path: str, place: Path) -> str:
    name = place.name if path == str(place) else path[len(str(place)) + 1 :]
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _kind(mode: int) -> str:
    for is_kind, word in (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if is_kind(mode):
            return word
    return "a device"
