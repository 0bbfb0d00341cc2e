"""The files below a folder of a disk: links are followed, and nothing is left out in silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from batch_endpoints.errors import InputError
from batch_endpoints.interfaces.files import PathPattern
from batch_endpoints.interfaces.records import Found
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import SkippedFile
from batch_endpoints.storage.files.access import LEADS_OUT, Access


def files_below(top: Path, pattern: PathPattern | None, access: Access) -> Iterator[Found]:
    """Follow links where they lead to what is open; visit each folder once, by its own name rather than by a link.

    Raises:
        InputError: a folder that cannot be read, or a name that is not UTF-8.
    """
    prefix = os.path.join(top, "")
    seen: dict[str, str] = {}  # real path -> by which name it is in the input
    folders, links = [top], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        real, name = os.path.realpath(folder), _relative(str(folder), prefix)
        if real in seen:
            yield skipped(name, f"a link to a folder that is listed as '{seen[real] or '.'}' already")
            continue
        if not access.opens(real):
            yield skipped(name, f"a link {LEADS_OUT}")
            continue
        seen[real] = name
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise InputError(f"the input folder '{folder}' cannot be read: {error.strerror}") from None
        for entry in entries:
            path = _relative(entry.path, prefix)
            if _is_folder(entry):
                if pattern is None or pattern.may_hold_matches(path):
                    (links if entry.is_symlink() else folders).append(Path(entry.path))
            elif pattern is None or pattern.matches(path):
                if entry.is_symlink() and not access.opens(entry.path):
                    yield skipped(path, f"a link {LEADS_OUT}")
                elif _is_file(entry):
                    yield InputFile(_utf8(path), _size(entry))
                else:
                    yield skipped(path, "neither a file nor a folder: a pipe, a socket or a device")


def skipped(path: str, reason: str) -> SkippedFile:
    """Something that is no file to be scored; its name need not be text."""
    return SkippedFile(file=path.encode("utf-8", "backslashreplace").decode(), reason=reason)


def _relative(path: str, prefix: str) -> str:
    """Below the top, with forward slashes; "" is the top itself."""
    return path[len(prefix) :].replace(os.sep, "/")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Also a link that leads nowhere: it must become a failed item instead of vanishing."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name of the input file {os.fsencode(path)!r} is not UTF-8", mend="Give it another name."
        ) from None
    return path
