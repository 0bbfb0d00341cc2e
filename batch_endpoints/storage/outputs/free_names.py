"""Names of files that can all be in one folder: where two want the same one, the second gets a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

_LONGEST = 255  # bytes that a disk allows for one name


class FreeNames:
    """No two names are alike, and none is a folder of another.

    Args:
        files: that are there already.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._files, self._folders = set[str](), set[str]()
        # the last number that each name was given, of a file and of a folder, which may be one that is there
        self._of_files, self._of_folders = dict[str, int](), dict[str, int]()
        for file in files:
            self._add(file)

    def take(self, wanted: str) -> str:
        """This name, or one like it with a number in the part that is in the way."""
        *folders, last = wanted.split("/")
        at = ""
        for folder in folders:
            at = f"{_numbered(at + folder, self._of_folders, self._files)}/"
        name = _numbered(at + last, self._of_files, self._files, self._folders)
        self._add(name)
        return name

    def _add(self, name: str) -> None:
        self._files.add(name)
        while (name := name.rpartition("/")[0]) and name not in self._folders:
            self._folders.add(name)


def _numbered(path: str, numbers: dict[str, int], *taken: Collection[str]) -> str:
    if not any(path in names for names in taken):
        return path
    number = numbers.get(path, 2)  # those before it were taken, and no name becomes free again
    while any((free := _with_number(path, number)) in names for names in taken):
        number += 1
    numbers[path] = number
    return free


def _with_number(path: str, number: int) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{short_name(name, f'-{number}')}"


def short_name(name: str, mark: str = "") -> str:
    """A file's name with a mark before its suffix, shortened before that where it would be too long for a disk."""
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    if len(suffix.encode()) > _LONGEST // 2:
        stem, suffix = name, ""
    left = _LONGEST - len(f"{mark}{suffix}".encode())
    return f"{stem.encode()[:left].decode(errors='ignore')}{mark}{suffix}"
