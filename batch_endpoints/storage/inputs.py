"""Inputs: which files a URI stands for, and how one of them gets onto this machine's disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow.fs

from batch_endpoints.errors import BatchEndpointError, InputError, Refused, StoreUnavailable
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import SkippedFile
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.file_list import FileList
from batch_endpoints.storage.files.access import AMBIENT, LEADS_OUT, Access
from batch_endpoints.storage.files.addresses import local_path
from batch_endpoints.storage.files.atomic_files import whole_file
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, patience
from batch_endpoints.storage.files.place import in_store, open_uri, store_filesystem
from batch_endpoints.storage.files.read_errors import cannot_read
from batch_endpoints.storage.globs import split_pattern
from batch_endpoints.storage.listing import is_streamed, walk


class InputListing(NamedTuple):
    """What an input has: its files sorted by path, and what is left out of them. ``fetch`` takes root and path."""

    root: str
    files: Sequence[InputFile]
    skipped: list[SkippedFile]


def list_files(uri: str, access: Access = AMBIENT) -> InputListing:
    """All files of an input; folders are walked to the bottom.

    Args:
        uri: a bare path, or a URI that ``schemes`` knows; a folder, a file, or a pattern of files.
        access: credentials for what is remote.

    Raises:
        InputError: missing, empty or unreadable.
        Refused: it is not open.
    """
    root, found = walk(uri, access)
    skipped: list[SkippedFile] = []

    def files() -> Iterator[InputFile]:
        for one in found:
            if isinstance(one, InputFile):
                yield one
            else:
                skipped.append(one)

    listed = FileList(files())
    if not listed:
        raise _nothing(uri, skipped)
    return InputListing(root, listed, sorted(skipped, key=attrgetter("file")))


def check_readable(uri: str, type: str, access: Access = AMBIENT) -> None:
    """Is there at least one file to read? Looks no further than the first, and waits for no store for long.

    Raises:
        InputError: missing, empty or unreadable.
        Refused: it is not open.
    """
    skipped: list[SkippedFile] = []
    with patience(HURRIED_SECONDS):
        root, found = walk(uri, access)
        for first in found:
            if isinstance(first, InputFile):
                break
            skipped.append(first)
        else:
            raise _nothing(uri, skipped)
    if (folder := local_path(root)) is not None and not os.access(folder / first.path, os.R_OK):
        raise _unreadable(folder / first.path)


def fetch(root: str, path: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file of an input on this machine's disk: in place where it is local, otherwise a copy in ``scratch``.

    Raises:
        InputError: it cannot be read (any more).
        StoreUnavailable: it may be read later.
    """
    given = local_path(root) if root else None
    root, path, scratch = own_root(root, path, scratch)
    if (folder := local_path(root)) is not None:
        return Path(in_place(folder, path, access, given))
    if any(part in (".", "..") for part in path.split("/")):  # keys of a store may be anything
        named = shown(f"{root}/{path}")
        raise InputError(f"'{named}' has a name that no disk can keep", mend="Give it another name.")
    target = scratch / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if is_streamed(root):
            from batch_endpoints.storage.files.web import copy_stream  # its libraries take time to load

            copy_stream(root, target, access)
        elif in_store(root):
            store_filesystem(root, access).download(path, target)
        else:
            files, top = open_uri(root, access)
            stream = files.open_input_stream(f"{top}/{path}", compression=None)  # the file as it is
            with stream as source, whole_file(target, replace=True) as copy:
                shutil.copyfileobj(source, copy)
    except OSError as error:
        raise cannot_read(f"{root}/{path}", error) from None
    except Refused as error:  # it was not so when it was listed
        raise InputError(f"'{shown(root)}' cannot be read: {error.what}", mend=error.mend) from None
    return target


def in_place(folder: Path, path: str, access: Access, root: Path | None) -> str:
    """The place of a file on this machine's disk; there are many, and so this makes no ``Path`` of each.

    Args:
        folder: what ``path`` is relative to.
        root: the input's folder, if it has one; where that cannot be read, no file of it has failed.

    Raises:
        InputError: it cannot be read (any more).
        StoreUnavailable: it may be read later.
    """
    place = f"{folder}/{path}"
    if not access.opens(place):
        raise InputError(f"the input file '{place}' cannot be read: it is a link {LEADS_OUT}")
    if not os.access(place, os.R_OK):
        raise _unreadable(Path(place), root)
    return place


def own_root(root: str, path: str, scratch: Path) -> tuple[str, str, Path]:
    """Root, path and scratch folder of a file that is named by its whole URI, because the input's root is "";
    otherwise as given."""
    if root:
        return root, path, scratch
    folder, _, name = path.rpartition("/")
    if is_streamed(path):
        folder, name = path, unquote(urlsplit(path).path.rpartition("/")[2]) or "input"
    digest = hashlib.sha256(folder.encode()).hexdigest()[:12]  # two folders may hold the same name
    return folder or "/", name, scratch / digest


def fetch_tree(uri: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file or folder with all that is in it on this machine's disk: in place where it is local.

    Raises:
        InputError: it does not exist or cannot be read.
        StoreUnavailable: it may be read later.
    """
    place = local_path(uri)
    if place is not None:
        if not place.exists():
            raise InputError(f"'{uri}' does not exist on this machine", mend="Every node must be able to read it.")
        return place
    if in_store(uri):
        return _fetch_store_tree(uri, scratch, access)
    files, path = open_uri(uri, access)
    target = scratch / path.rpartition("/")[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        pyarrow.fs.copy_files(path, str(target), files, pyarrow.fs.LocalFileSystem())
    except OSError as error:
        raise cannot_read(uri, error) from None
    return target


def read_texts(uri: str, names: Iterable[str], access: Access = AMBIENT) -> dict[str, str]:
    """The text of those files of a folder that exist, by name; the rest of the folder stays where it is.

    Raises:
        InputError: no file system for this kind of URI, or it does not give them.
        Refused: one of them is not open.
        StoreUnavailable: they may be read later.
    """
    folder = local_path(uri)
    if folder is not None:
        places = {name: folder / name for name in names}
        for place in places.values():
            access.check_open(place, f"'{place}'")
        return {name: place.read_text(encoding="utf-8") for name, place in places.items() if place.is_file()}
    try:
        if in_store(uri):
            store = store_filesystem(uri, access)
            return {name: store.read(name).decode() for name in names if store.exists(name)}
        files, top = open_uri(uri, access)
        found = {name: files.get_file_info(f"{top}/{name}") for name in names}
        return {
            name: files.open_input_file(info.path).read().decode() for name, info in found.items() if info.is_file
        }
    except OSError as error:
        raise cannot_read(uri, error) from None


def _fetch_store_tree(uri: str, scratch: Path, access: Access) -> Path:
    store = store_filesystem(uri, access)
    target = scratch / store.uri.rpartition("/")[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if store.key and store.exists(""):
            store.download("", target)
            return target
        for file in store.files():
            fetch(uri, file.path, target, access)
    except OSError as error:
        raise cannot_read(uri, error) from None
    if not target.exists():
        raise InputError(f"'{shown(uri)}' does not exist")
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


def _nothing(uri: str, skipped: Sequence[SkippedFile]) -> InputError:
    place = local_path(uri)
    if split_pattern(str(place or uri)):
        return InputError(
            f"the input '{place or shown(uri)}' matches no file",
            mend="Check the pattern: ** crosses folders, * does not.",
        )
    mend = "Name a folder that has some."
    if skipped:
        mend = f"All that is in it is left out; the first, '{skipped[0].file}': {skipped[0].reason}."
    return InputError(f"the input '{shown(uri)}' is a folder without files", mend=mend)


def _unreadable(file: Path, root: Path | None = None) -> BatchEndpointError:
    """Why a file of this machine cannot be read; where its root cannot either, none of its files has failed."""
    if root is not None:
        try:
            os.stat(root)
        except OSError as error:  # most often a mount that has gone
            return StoreUnavailable(f"the input folder '{root}' cannot be read now: {error.strerror}")
    try:
        os.stat(file)
        why = "permission denied"
    except OSError as error:
        if isinstance(broken := cannot_read(str(file), error), StoreUnavailable):
            return broken
        why = "it is a link that leads nowhere" if file.is_symlink() else "it is gone"
    return InputError(f"the input file '{file}' cannot be read: {why}")
