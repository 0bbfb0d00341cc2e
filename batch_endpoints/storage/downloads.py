"""Downloads: the files of a job's output, wherever it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow.fs

from batch_endpoints.errors import InputError, NotFound
from batch_endpoints.specs.uris import shown, shown_text
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.atomic_files import ASIDE
from batch_endpoints.storage.files.place import in_store, open_uri, store_filesystem


class OutputFile(NamedTuple):
    """One file of an output."""

    path: str  # relative to the output; of an output that is one file, its name
    size: int  # bytes


def output_files(uri: str, access: Access = AMBIENT) -> list[OutputFile]:
    """What an output has, by path; nothing where there is nothing.

    Raises:
        InputError: it cannot be read.
    """
    if in_store(uri):
        return sorted(_store_files(uri, access))
    top = local_path(uri)
    if top is None:
        return sorted(_remote_files(uri, access))
    if top.is_file():
        return [OutputFile(top.name, top.stat().st_size)]
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if not name.startswith(ASIDE) and _inside(path, top):
                found.append(OutputFile(path.relative_to(top).as_posix(), path.stat().st_size))
    return sorted(found)


def open_output_file(uri: str, path: str, access: Access = AMBIENT) -> Path | BinaryIO:
    """One file of an output.

    Args:
        uri: the output.
        path: as ``output_files`` gives it.
        access: credentials for what is remote.

    Returns: its place on this machine, or a stream of its bytes.

    Raises:
        NotFound: it is not there, or not inside the output.
    """
    if in_store(uri):
        return _open_store_file(uri, path, access)
    top = local_path(uri)
    if top is not None:
        if top.is_file() and path == top.name:
            return top
        if _inside(top / path, top):
            return top / path
    elif ".." not in path.split("/"):
        files, root = open_uri(uri, access)
        found = files.get_file_info(root)
        if found.type != pyarrow.fs.FileType.File:
            found = files.get_file_info(f"{root}/{path}")
        if found.type == pyarrow.fs.FileType.File and f"/{found.path}".endswith(f"/{path}"):
            return cast(BinaryIO, files.open_input_stream(found.path))
    raise NotFound(f"the output '{shown(uri)}' has no file '{path}'")


def _store_files(uri: str, access: Access) -> list[OutputFile]:
    try:
        store = store_filesystem(uri, access)
        if store.key and store.exists(""):
            return [OutputFile(store.key.rpartition("/")[2], store.stat("").size)]
        return [OutputFile(file.path, file.size) for file in store.files()]
    except OSError as error:
        raise InputError(f"the output '{shown(uri)}' cannot be read: {error.strerror}") from None


def _open_store_file(uri: str, path: str, access: Access) -> BinaryIO:
    folder, _, name = uri.rpartition("/")
    for root in (uri, folder) if name == path else (uri,):
        try:
            return store_filesystem(root, access).open_input(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"the output '{shown(uri)}' cannot be read: {error.strerror}") from None
    raise NotFound(f"the output '{shown(uri)}' has no file '{path}'")


def _inside(file: Path, top: Path) -> bool:
    """Is it a file, really below ``top``? Neither ``..`` nor a link leads out."""
    try:
        real = file.resolve(strict=True)
    except (OSError, ValueError):  # not there; a NUL in its name
        return False
    return real.is_file() and real.is_relative_to(top.resolve())


def _remote_files(uri: str, access: Access) -> list[OutputFile]:
    files, root = open_uri(uri, access)
    try:
        info = files.get_file_info(root)
        if info.type == pyarrow.fs.FileType.File:
            return [OutputFile(info.base_name, info.size)]
        below = files.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    except OSError as error:
        raise InputError(f"the output '{shown(uri)}' cannot be read: {shown_text(error)}") from None
    return [
        OutputFile(found.path[len(root) :].lstrip("/"), found.size)
        for found in below
        if found.type == pyarrow.fs.FileType.File
    ]
