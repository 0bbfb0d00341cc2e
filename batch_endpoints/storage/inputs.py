"""Inputs: which files a URI stands for, and how one of them gets onto this machine's disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs

from batch_endpoints.errors import InputError
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.storage.filesystem import local_path, open_uri

_STREAMED = ("http", "https")  # one file, no listing: smart-open reads it


def list_files(uri: str) -> tuple[str, list[InputFile]]:
    """All files of an input; folders are walked to the bottom.

    Args:
        uri: a bare path, or any URI that pyarrow.fs or smart-open opens; a folder or one file.

    Returns: the root and the files below it, sorted by path. ``fetch`` takes both.

    Raises:
        InputError: missing, empty or unreadable.
    """
    root, files = _walk(uri)
    found = sorted(files)
    if not found:
        raise InputError(f"the input '{uri}' is a folder without files", mend="Name a folder that has some.")
    return root, found


def check_readable(uri: str, type: str) -> None:
    """Is there at least one file to read? Looks no further than the first.

    Raises:
        InputError: missing, empty or unreadable.
    """
    root, files = _walk(uri)
    first = list(islice(files, 1))
    if not first:
        raise InputError(f"the input '{uri}' is a folder without files", mend="Name a folder that has some.")
    if (folder := local_path(root)) is not None and not os.access(folder / first[0].path, os.R_OK):
        raise InputError(f"the input file '{folder / first[0].path}' cannot be read: permission denied")


def fetch(root: str, path: str, scratch: Path) -> Path:
    """A file of an input on this machine's disk: in place where it is local, otherwise a copy in ``scratch``.

    Raises:
        InputError: it cannot be read (any more).
    """
    folder = local_path(root)
    if folder is not None:
        return folder / path
    target = scratch / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if urlsplit(root).scheme in _STREAMED:
            import smart_open

            with smart_open.open(f"{root}/{path}", "rb", compression="disable") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        else:
            files, top = open_uri(root)
            pyarrow.fs.copy_files(f"{top}/{path}", str(target), files, pyarrow.fs.LocalFileSystem())
    except OSError as error:
        raise InputError(f"cannot read '{root}/{path}': {error}") from None
    return target


def fetch_tree(uri: str, scratch: Path) -> Path:
    """A file or folder with all that is in it on this machine's disk: in place where it is local.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    place = local_path(uri)
    if place is not None:
        if not place.exists():
            raise InputError(f"'{uri}' does not exist on this machine", mend="Every node must be able to read it.")
        return place
    files, path = open_uri(uri)
    target = scratch / path.rpartition("/")[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        pyarrow.fs.copy_files(path, str(target), files, pyarrow.fs.LocalFileSystem())
    except OSError as error:
        raise InputError(f"cannot read '{uri}': {error}") from None
    return target


def copy_tree(source: Path, target: Path) -> None:
    """Make ``target`` hold what ``source`` holds, by links to the same content where the disk allows it."""

    def link(one: str, other: str) -> None:
        try:
            os.link(os.path.realpath(one), other)
        except OSError:
            shutil.copy2(one, other)

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=link)
    else:
        link(str(source), str(target))


def _walk(uri: str) -> tuple[str, Iterator[InputFile]]:
    """The root of an input, and its files in no order."""
    place = local_path(uri)
    if place is not None:
        if not place.exists():
            raise InputError(f"the input '{uri}' does not exist", mend="Check the path; it is read on the server.")
        if place.is_file():
            return str(place.parent), iter([InputFile(place.name, place.stat().st_size)])
        return str(place), _walk_local(place)
    if urlsplit(uri).scheme in _STREAMED:
        root, _, name = uri.rpartition("/")
        return root, iter([InputFile(name, _size_over_http(uri))])
    return _walk_remote(uri)


def _walk_local(top: Path) -> Iterator[InputFile]:
    """Files below a folder; links to folders are followed, each folder is visited once."""
    seen: set[str] = set()
    folders = [top]
    while folders:
        folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise InputError(f"the input folder '{folder}' cannot be read: {error.strerror}") from None
        for entry in entries:
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif entry.is_file():
                yield InputFile(os.path.relpath(entry.path, top).replace(os.sep, "/"), entry.stat().st_size)


def _walk_remote(uri: str) -> tuple[str, Iterator[InputFile]]:
    files, path = open_uri(uri)
    try:
        found = files.get_file_info(path)
        if found.type == pyarrow.fs.FileType.NotFound:
            raise InputError(f"the input '{uri}' does not exist")
        if found.type == pyarrow.fs.FileType.File:
            root, _, name = uri.rstrip("/").rpartition("/")
            return root, iter([InputFile(name, found.size or 0)])
        below = files.get_file_info(pyarrow.fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise InputError(f"the input '{uri}' cannot be read: {error}") from None
    return uri.rstrip("/"), (
        InputFile(info.path[len(path) :].lstrip("/"), info.size or 0)
        for info in below
        if info.type == pyarrow.fs.FileType.File
    )


def _size_over_http(uri: str) -> int:
    import requests

    try:
        with requests.get(uri, stream=True, timeout=30) as answer:
            answer.raise_for_status()
            return int(answer.headers.get("content-length", 0))
    except requests.RequestException as error:
        raise InputError(f"the input '{uri}' cannot be read: {error}") from None
