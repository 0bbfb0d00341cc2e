"""Downloads: the files of a job's output, wherever it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow.fs

from batch_endpoints.errors import InputError, NotFound
from batch_endpoints.storage.filesystem import local_path, open_uri


class OutputFile(NamedTuple):
    """One file of an output."""

    path: str  # relative to the output; of an output that is one file, its name
    size: int  # bytes


def output_files(uri: str) -> list[OutputFile]:
    """What an output has, by path; nothing where there is nothing.

    Raises:
        InputError: it cannot be read.
    """
    top = local_path(uri)
    if top is None:
        return sorted(_remote_files(uri))
    if top.is_file():
        return [OutputFile(top.name, top.stat().st_size)]
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".aside-") and _inside(path, top):
                found.append(OutputFile(path.relative_to(top).as_posix(), path.stat().st_size))
    return sorted(found)


def open_output_file(uri: str, path: str) -> Path | BinaryIO:
    """One file of an output.

    Args:
        uri: the output.
        path: as ``output_files`` gives it.

    Returns: its place on this machine, or a stream of its bytes.

    Raises:
        NotFound: it is not there, or not inside the output.
    """
    top = local_path(uri)
    if top is not None:
        if top.is_file() and path == top.name:
            return top
        if _inside(top / path, top):
            return top / path
    elif ".." not in path.split("/"):
        files, root = open_uri(uri)
        found = files.get_file_info(root)
        if found.type != pyarrow.fs.FileType.File:
            found = files.get_file_info(f"{root}/{path}")
        if found.type == pyarrow.fs.FileType.File and f"/{found.path}".endswith(f"/{path}"):
            return cast(BinaryIO, files.open_input_stream(found.path))
    raise NotFound(f"the output '{uri}' has no file '{path}'")


def _inside(file: Path, top: Path) -> bool:
    """Is it a file, really below ``top``? Neither ``..`` nor a link leads out."""
    try:
        real = file.resolve(strict=True)
    except (OSError, ValueError):  # not there; a NUL in its name
        return False
    return real.is_file() and real.is_relative_to(top.resolve())


def _remote_files(uri: str) -> list[OutputFile]:
    files, root = open_uri(uri)
    try:
        info = files.get_file_info(root)
        if info.type == pyarrow.fs.FileType.File:
            return [OutputFile(info.base_name, info.size)]
        below = files.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    except OSError as error:
        raise InputError(f"the output '{uri}' cannot be read: {error}") from None
    return [
        OutputFile(found.path[len(root) :].lstrip("/"), found.size)
        for found in below
        if found.type == pyarrow.fs.FileType.File
    ]
