"""An input of a command step as a path of this machine, below which its program can change nothing.

Where the system can make a path read-only for one program, the input stays in place. So it does where this process
could not write to it either. Otherwise the program gets a copy of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from batch_endpoints.errors import InputError
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.node_copies import clone_file
from batch_endpoints.storage.inputs.fetch import fetch_tree


def local_input(
    uri: str, kind: str, scratch: Path, can_protect: Callable[[], bool], access: Access = AMBIENT
) -> tuple[Path, tuple[str, ...]]:
    """The path of a file or folder.

    Args:
        kind: the type of the input: a ``uri_file`` is a file, a ``uri_folder`` and an ``mltable`` are folders.
        scratch: folder for what has to be fetched or copied; of this input alone.
        can_protect: asked where it matters: will the path be read-only for the program?

    Returns: the path, and what a user should know.

    Raises:
        InputError: it does not exist, cannot be read, or is of the other kind.
        StoreUnavailable: it may be read later.
    """
    scratch.mkdir(parents=True)
    path = fetch_tree(uri, scratch, access)
    if local_path(uri) is None and not path.exists():  # an empty folder
        path.mkdir()
    _check_kind(uri, kind, path)
    if local_path(uri) is None:
        _protect(scratch)
        return path, ()
    left_out: list[str] = []
    if (access.folders is None or not _leads_out(path, access)) and (can_protect() or not _is_writable(path)):
        return path, ()
    copy = scratch / (path.name or "input")
    _copy(path, copy, access, left_out)
    _protect(scratch)
    why = "is a link that leads out of the folders that are open: it is left out"
    return copy, tuple(f"'{shown(name)}' of the input '{shown(uri)}' {why}" for name in left_out)


def remove_scratch(scratch: Path) -> None:
    """Remove a folder with read-only ones in it."""
    if os.geteuid():
        for at, _, _ in os.walk(scratch):
            try:
                os.chmod(at, 0o700)
            except OSError:
                continue
    shutil.rmtree(scratch, ignore_errors=True)


def _check_kind(uri: str, kind: str, path: Path) -> None:
    is_folder = path.is_dir()
    if kind == "uri_file" and is_folder:
        raise InputError(
            f"'{shown(uri)}' is a folder, where the component takes a file (uri_file)",
            mend="Name a file, or let the component's input be of type uri_folder.",
        )
    if kind in ("uri_folder", "mltable") and not is_folder:
        raise InputError(
            f"'{shown(uri)}' is a file, where the component takes a folder ({kind})",
            mend="Name its folder, or let the component's input be of type uri_file.",
        )


def _is_writable(path: Path) -> bool:
    """Could this process write to something of it?"""
    if not os.geteuid() or os.access(path, os.W_OK):
        return True
    for at, folders, names in os.walk(path):
        for name in (*folders, *names):
            if os.access(os.path.join(at, name), os.W_OK):
                return True
    return False


def _leads_out(path: Path, access: Access) -> bool:
    return any(
        os.path.islink(place := os.path.join(at, name)) and not access.opens(place)
        for at, folders, names in os.walk(path)
        for name in (*folders, *names)
    )


def _copy(source: Path, target: Path, access: Access, left_out: list[str]) -> None:
    def leads_out(folder: str, names: list[str]) -> list[str]:
        places = [os.path.join(folder, name) for name in names]
        out = [place for place in places if os.path.islink(place) and not access.opens(place)]
        left_out.extend(os.path.relpath(place, source) for place in out)
        return [os.path.basename(place) for place in out]

    if source.is_dir():
        shutil.copytree(source, target, copy_function=clone_file, ignore=leads_out)
    else:
        clone_file(str(source), str(target))


def _protect(folder: Path) -> None:
    """Let nobody write to what is in there whom mode bits stop."""
    for at, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & ~0o222)
        os.chmod(at, os.stat(at).st_mode & ~0o222)
