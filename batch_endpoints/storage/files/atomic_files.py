"""Files of a disk that appear whole or not at all, and of which nothing is left where their writer is killed.

Where the system knows files without a name (Linux, on its own disks), one has none before it is whole, and goes with
whoever writes it. Elsewhere it is written aside, under a name that nobody takes for a file's; a kill leaves it there.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown

ASIDE = ".aside-"  # what the names begin with of files that are not whole
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}  # what disks say that know no such files


@contextmanager
def whole_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to be written; it is there when the block has ended, and not where that raises.

    Args:
        target: in a folder that exists.
        replace: what is there by then goes; otherwise it stays.

    Raises:
        FileExistsError: there is something, which is not to be replaced.
    """
    aside = target.with_name(f"{ASIDE}{uuid.uuid4().hex}")
    unnamed = _unnamed(target.parent)
    try:
        # whoever writes may close it, as what compresses does, and it would be gone with its descriptor
        with aside.open("wb") if unnamed is None else open(unnamed, "wb", closefd=False) as file:
            yield file
        if unnamed is not None:
            try:
                _name(unnamed, target)
                return
            except FileExistsError:
                if not replace:
                    raise
            _name(unnamed, aside)
        if replace:
            aside.replace(target)
        else:
            os.link(aside, target)  # fails where the name exists, so of all racers one wins
    finally:
        if unnamed is not None:
            os.close(unnamed)
        aside.unlink(missing_ok=True)


def copy_target(scratch: Path, path: str, uri: str) -> Path:
    """Where the copy of a remote file goes; its folder is there then.

    Args:
        path: below ``scratch``: keys of a store may be anything.
        uri: of the file, for the error.

    Raises:
        InputError: no disk can keep such a name.
    """
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise InputError(f"'{shown(uri)}' has a name that no disk can keep", mend="Give it another name.")
    target = scratch / path
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _unnamed(folder: Path) -> int | None:
    """A descriptor of a new file without a name, on the disk of a folder; None where there are none."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise


def _name(unnamed: int, target: Path) -> None:
    """Raises FileExistsError where the name exists."""
    # a folder to be relative to, which the path is not, makes Python call linkat(2), the one that can do this
    os.link(f"/proc/self/fd/{unnamed}", target, src_dir_fd=unnamed, follow_symlinks=True)
