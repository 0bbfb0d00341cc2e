"""Inputs: which files a URI stands for, and how one of them gets onto this machine's disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from batch_endpoints.errors import InputError, Refused
from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.specs import SkippedFile
from batch_endpoints.specs.uris import shown
from batch_endpoints.storage.file_list import FileList
from batch_endpoints.storage.files.access import AMBIENT, Access
from batch_endpoints.storage.files.addresses import plain, split_file
from batch_endpoints.storage.files.patience import HURRIED_SECONDS, patience
from batch_endpoints.storage.files.place import open_place
from batch_endpoints.storage.files.read_errors import cannot_read
from batch_endpoints.storage.globs import split_pattern
from batch_endpoints.storage.listing import walk


class InputListing(NamedTuple):
    """What an input has: its files sorted by path, and what is left out of them. ``fetch`` takes root and path."""

    root: str
    files: Sequence[InputFile]
    skipped: list[SkippedFile]


def list_files(uri: str, access: Access = AMBIENT) -> InputListing:
    """All files of an input; folders are walked to the bottom.

    Args:
        uri: a bare path, or a URI that ``addresses`` knows; a folder, a file, or a pattern of files.
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
    place = open_place(root, access)
    if place.disk:
        place.fetch(first.path, place.disk)


def fetch(root: str, path: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file of an input on this machine's disk: in place where it is local, otherwise a copy in ``scratch``.

    Raises:
        InputError: it cannot be read (any more).
        StoreUnavailable: it may be read later.
    """
    root, path, scratch = own_root(root, path, scratch)
    try:
        return open_place(root, access).fetch(path, scratch)
    except OSError as error:
        raise cannot_read(f"{root}/{path}", error) from None
    except Refused as error:  # it was not so when it was listed
        raise InputError(f"'{shown(root)}' cannot be read: {error.what}", mend=error.mend) from None


def own_root(root: str, path: str, scratch: Path) -> tuple[str, str, Path]:
    """Root, path and scratch folder of a file that is named by its whole URI, because the input's root is "";
    otherwise as given."""
    if root:
        return root, path, scratch
    root, name = split_file(path)
    digest = hashlib.sha256(root.encode()).hexdigest()[:12]  # two folders may hold the same name
    return root, name, scratch / digest


def fetch_tree(uri: str, scratch: Path, access: Access = AMBIENT) -> Path:
    """A file or folder with all that is in it on this machine's disk: in place where it is local.

    Raises:
        InputError: it does not exist or cannot be read.
        StoreUnavailable: it may be read later.
    """
    place = open_place(uri, access)
    try:
        if place.exists():
            return place.fetch("", scratch)
        for file in place.walk().found:
            if isinstance(file, InputFile):
                place.fetch(file.path, scratch / place.name)
    except FileNotFoundError:
        here = " on this machine" if place.disk else ""
        raise InputError(f"'{shown(uri)}' does not exist{here}", mend="Every node must be able to read it.") from None
    except OSError as error:
        raise cannot_read(uri, error) from None
    return scratch / place.name


def read_texts(uri: str, names: Iterable[str], access: Access = AMBIENT) -> dict[str, str]:
    """The text of those files of a folder that exist, by name; the rest of the folder stays where it is.

    Raises:
        InputError: no file system for this kind of URI, or it does not give them.
        Refused: one of them is not open.
        StoreUnavailable: they may be read later.
    """
    place = open_place(uri, access)
    try:
        return {name: place.read(name).decode() for name in names if place.exists(name)}
    except OSError as error:
        raise cannot_read(uri, error) from None


def _nothing(uri: str, skipped: Sequence[SkippedFile]) -> InputError:
    if split_pattern(plain(uri)):
        return InputError(
            f"the input '{shown(plain(uri))}' matches no file",
            mend="Check the pattern: ** crosses folders, * does not.",
        )
    mend = "Name a folder that has some."
    if skipped:
        mend = f"All that is in it is left out; the first, '{skipped[0].file}': {skipped[0].reason}."
    return InputError(f"the input '{shown(uri)}' is a folder without files", mend=mend)
